"""From a recipe to its stages, with the key of each."""
