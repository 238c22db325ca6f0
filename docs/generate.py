"""Write what the documentation says twice: the reference of recipes, and of the command line.

    python docs/generate.py            writes the generated parts of pages
    python docs/generate.py --check    writes nothing; exit status 1 if one of them would change

A page is written by hand, except for what stands between these two lines:

    <!-- generated: by docs/generate.py, do not edit -->
    <!-- end of generated -->

The fields of a recipe come from the docstrings of `composer.recipe` (what they mean) and
from its JSON schema (what is allowed), the commands from their own help, and which kinds combine
from the table that recipes are checked by.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from composer.cli.main import group
from composer.recipe.combining import table_lines
from composer.recipe.editors import block_texts, block_types
from composer.recipe.schema import Recipe

DOCS = Path(__file__).parent
BEGIN = "<!-- generated: by docs/generate.py, do not edit -->"
END = "<!-- end of generated -->"
WIDTH = 88  # of help texts

Node = Mapping[str, Any]  # of a JSON schema

_PATTERNS = {
    "^[A-Za-z][A-Za-z0-9_-]{0,63}$": ("a name", "NAME"),
    "^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$": ("a language tag", "TAG"),
    "^[0-9a-f]{40}$": ("40 hex digits", "HEX"),
    "^(default|0|[1-9][0-9]{0,4})$": ("a layer or `default`", "LAYER"),
}
_PLAIN = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "mapping",
    "null": "nothing",
}
_HEADINGS = {"Recipe": "the recipe itself", "TrainingChanges": "training, changed"}
_PLURALS = {"a name": "names", "a language tag": "language tags", "whole number": "whole numbers"}
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def pages() -> dict[Path, str]:
    """Give the whole text of every page that has a generated part."""
    parts: dict[str, Callable[[], str]] = {
        "recipe.md": recipe_reference,
        "cli.md": cli_reference,
        "methods.md": kinds_table,
    }
    return {DOCS / name: with_part(DOCS / name, part()) for name, part in parts.items()}


def with_part(page: Path, part: str) -> str:
    """Put a generated part between the two marks of a page."""
    text = page.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{page} must hold {BEGIN!r} and {END!r}, each once")
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{part.strip()}\n\n{END}{rest.partition(END)[2]}"


def recipe_reference() -> str:
    """Describe every block of a recipe, in the order in which a recipe leads to it."""
    root = Recipe.model_json_schema()
    blocks = {"Recipe": _HEADINGS["Recipe"]}
    _find_blocks(root, "", root["$defs"], blocks)
    nodes = {"Recipe": root, **root["$defs"]}
    return "\n\n".join(
        "\n".join(_block(name, heading, nodes[name], blocks)) for name, heading in blocks.items()
    )


def _find_blocks(node: Node, path: str, defs: Node, blocks: dict[str, str]) -> None:
    """Note, depth first, every block that a node leads to, and the path of keys to it."""
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        if name not in blocks:
            blocks[name] = _HEADINGS.get(name, path + _which(defs[name]))
            _find_blocks(defs[name], path, defs, blocks)
        return
    for key, value in node.get("properties", {}).items():
        _find_blocks(value, f"{path}.{key}".lstrip("."), defs, blocks)
    for pattern, value in node.get("patternProperties", {}).items():
        _find_blocks(value, f"{path}.{_PATTERNS[pattern][1]}", defs, blocks)
    for value in (*node.get("anyOf", ()), *node.get("oneOf", ()), *_items(node)):
        _find_blocks(value, path, defs, blocks)


def _which(node: Node) -> str:
    """Tell blocks apart that stand in one place, by the key that a recipe does it with."""
    for key in ("source", "kind"):
        values = node["properties"].get(key, {})
        if "const" in values or "enum" in values:
            return f", {key} {', '.join(map(str, values.get('enum', [values.get('const')])))}"
    return ""


def _block(name: str, heading: str, node: Node, blocks: Mapping[str, str]) -> Iterator[str]:
    summary, meanings = block_texts(block_types()[name])
    yield f"### {heading}\n"
    yield f"{summary}\n"
    if all(text.startswith("See `") for text in meanings.values()):
        keys = ", ".join(f"`{key}`" for key in meanings)
        yield f"Any of {keys}; each as in [{blocks['Training']}](#{slug(blocks['Training'])})."
        return
    yield "| key | value | left out | meaning |"
    yield "| --- | --- | --- | --- |"
    for key, text in meanings.items():
        value = node["properties"][key]
        default = "needed" if key in node.get("required", ()) else _default(value)
        yield f"| `{key}` | {_cell(_value(value, blocks))} | {default} | {_cell(text)} |"


def _value(node: Node, blocks: Mapping[str, str]) -> str:
    """Say what is allowed."""
    if "$ref" in node:
        heading = blocks[node["$ref"].rpartition("/")[2]]
        return f"[{heading}](#{slug(heading)})"
    if "const" in node or "enum" in node:
        return ", ".join(f"`{one}`" for one in node.get("enum", [node.get("const")]))
    choices = (*node.get("anyOf", ()), *node.get("oneOf", ()))
    if choices:
        said = (_value(one, blocks) for one in choices if one.get("type") != "null")
        return " or ".join(dict.fromkeys(said))
    if node.get("type") == "array":
        said = " or ".join(_value(one, blocks) for one in _items(node))
        return f"list of {_PLURALS.get(said, said)}"
    for pattern, value in node.get("patternProperties", {}).items():
        return f"{_PATTERNS[pattern][0]} → {_value(value, blocks)}"
    if isinstance(node.get("additionalProperties"), dict):
        return f"text → {_value(node['additionalProperties'], blocks)}"
    if "pattern" in node:
        return _PATTERNS[node["pattern"]][0]
    bounds = [f"{sign} {node[key]}" for key, sign in _BOUNDS.items() if key in node]
    return " ".join([_PLAIN[node["type"]], ", ".join(bounds)]).strip()


def _items(node: Node) -> list[Node]:
    """List what a list may hold."""
    return [node["items"]] if "items" in node else []


def _default(node: Node) -> str:
    value = node.get("default")
    if value is None:
        return ""
    if isinstance(value, dict | list) and not (isinstance(value, list) and value):
        return ""  # a block: its own keys have defaults
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def slug(heading: str) -> str:
    """Give the anchor that Markdown makes of a heading.

    >>> slug("adapters.NAME, kind `madapter`")
    'adaptersname-kind-madapter'
    """
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def kinds_table() -> str:
    """Say which kind of adapter combines with which, and why not."""
    return "\n".join(table_lines())


def cli_reference() -> str:
    """Give the help of every command, as `--help` prints it."""
    texts = [f"### {name}\n\n```text\n{help_of(name, one)}\n```" for name, one in commands()]
    return "\n\n".join(texts)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Give every command with its full name, groups before what they hold."""
    yield from _commands("composer", group)


def _commands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=name)
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            if found is not None:
                yield from _commands(f"{name} {inner}", found)


def help_of(name: str, command: click.Command) -> str:
    """Give a command's help, at a width that no terminal decides."""
    context = click.Context(
        command,
        info_name=name,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        help_option_names=["-h", "--help"],
    )
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


def main() -> int:
    """Write the pages, or only say which are not current."""
    check = "--check" in sys.argv[1:]
    changed = [p for p, text in pages().items() if p.read_text(encoding="utf-8") != text]
    for page in changed:
        if not check:
            page.write_text(pages()[page], encoding="utf-8")
        click.echo(f"docs/{page.name}: {'not current; run: make docs' if check else 'written'}")
    return int(check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
