"""`composer schema`: the grammar of recipes, for editors."""

import click

from composer.cli.texts import print_json


@click.command()
@click.option("--part", is_flag=True, help="Of a file that a recipe includes: nothing is needed.")
def command(part: bool) -> None:
    """Print the JSON schema of recipes, for editors.

    Editors with the YAML language server complete keys and show what they mean when the first
    line of a recipe is `# yaml-language-server: $schema=recipe.schema.json`.

    \b
    Example:
      composer schema > recipe.schema.json
      composer schema --part > part.schema.json
    """
    from composer.recipe.grammar.editors import recipe_schema

    print_json(recipe_schema(part=part))
