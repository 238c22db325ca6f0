"""What depends on the backbone's shape: whether a recipe fits, and how much is trained."""
