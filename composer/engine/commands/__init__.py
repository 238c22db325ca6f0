"""What commands without a recipe need: recipes of one stage, with stored results used by name.

Begin with `single`; `parts` and `scores` find stored results, `copies` trims a backbone, and
`starting` writes a recipe to begin with.
"""
