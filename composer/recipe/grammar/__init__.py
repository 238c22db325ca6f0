"""What a recipe may say: its blocks, the kinds of adapters, the notation of compositions."""
