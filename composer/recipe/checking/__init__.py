"""What is wrong with a recipe, all of it, in words that help."""
