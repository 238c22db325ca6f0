"""From a file to a recipe: included files, profiles, changes, and the places of faults."""
