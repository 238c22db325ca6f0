"""What is done to a store between runs: outputs adopted into it, and what nobody wants removed."""
