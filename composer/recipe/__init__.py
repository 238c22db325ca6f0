"""What a user asks for: the recipe, its notation, its checks, its stages and their keys."""
