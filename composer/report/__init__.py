"""Tables of a run, and how numbers are written."""
