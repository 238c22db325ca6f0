"""Write what the documentation says twice: the reference of recipes, commands and Python.

    python docs/generate.py            writes the generated parts of pages
    python docs/generate.py --check    writes nothing; exit status 1 if one of them would change

A page is written by hand, except for what stands between these two lines:

    <!-- generated: by docs/generate.py, do not edit -->
    <!-- end of generated -->

The fields of a recipe come from the docstrings of `composer.recipe` (what they mean) and
from its JSON schema (what is allowed), the commands from their own help, which kinds combine
from the table that recipes are checked by, and the names of Python from their docstrings.
"""

import ast
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import FunctionType
from typing import Any

import click

import composer
from composer.cli.main import group
from composer.recipe.checking.combining import table_lines
from composer.recipe.grammar.editors import block_texts, block_types
from composer.recipe.grammar.schema import Recipe

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
_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Example):\n", re.MULTILINE)
_ENTRY = re.compile(r"^([\w.]+): ", re.MULTILINE)
# What annotations say in short, in `composer.api`.
_SHORT = {
    "Place": "str | Path",
    "Changes": "Mapping[str, object]",
    "OnEvent": "Callable[[Event], None]",
    "Text": "str | tuple[str, str]",
}
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def pages() -> dict[Path, str]:
    """Give the whole text of every page that has a generated part."""
    parts: dict[str, Callable[[], str]] = {
        "recipe.md": recipe_reference,
        "cli.md": cli_reference,
        "methods.md": kinds_table,
        "python.md": python_reference,
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


def python_reference() -> str:
    """Describe every public name of `composer`: its signature, and what its docstring says."""
    return "\n\n".join("\n\n".join(_python_name(name)) for name in composer.__all__)


def _python_name(name: str) -> Iterator[str]:
    found = getattr(composer, name)
    yield f"### composer.{name}"
    if not isinstance(found, type):
        yield _signature(f"composer.{name}", found)
        yield from _docstring(found)
        return
    yield from _docstring(found)
    members = dict(_members(found))
    values = {one: member for one, member in members.items() if not callable(member)}
    if values:
        rows = [f"| `{one}` | {_cell(_first(member))} |" for one, member in values.items()]
        yield "\n".join(["| value | |", "| --- | --- |", *rows])
    for one, member in members.items():
        if callable(member):
            yield _signature(f"{name}.{one}", member)
            yield from _docstring(member)


def _members(cls: type) -> Iterator[tuple[str, Any]]:
    """Give the public properties and methods of a class that have a docstring."""
    ours = [one for one in cls.__mro__ if one.__module__.startswith("composer.")]
    names = dict.fromkeys(name for one in ours for name in vars(one))
    for name in names:
        found = next(vars(one)[name] for one in ours if name in vars(one))
        found = getattr(found, "__func__", found)
        known = isinstance(found, property | cached_property | FunctionType)
        if known and not name.startswith("_") and found.__doc__:
            yield name, found


def _signature(name: str, function: Callable[..., object]) -> str:
    """Write how a function is called, a line a parameter where they are many."""
    source = textwrap.dedent(inspect.getsource(function))
    node = next(one for one in ast.walk(ast.parse(source)) if isinstance(one, ast.FunctionDef))
    arguments = node.args
    if arguments.args and arguments.args[0].arg in ("self", "cls"):
        del arguments.args[0]
    whole = f"{name}({ast.unparse(arguments)}) -> {ast.unparse(node.returns)}".replace('"', "'")
    for short, long in _SHORT.items():
        whole = re.sub(rf"\b{short}\b", long, whole)
    whole = re.sub(r"'(\w+)'$", r"\1", whole)
    if len(whole) > WIDTH:
        head, _, rest = whole.partition("(")
        inner, _, end = rest.rpartition(") -> ")
        parts = re.split(r", (?=\*|\w+(?::|=|,|$))", inner)
        whole = "\n".join([f"{head}(", *(f"    {one}," for one in parts), f") -> {end}"])
    return f"```text\n{whole}\n```"


def _first(member: object) -> str:
    """Give the first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(member) or "").partition("\n\n")[0].split())


def _docstring(member: object) -> Iterator[str]:
    """Turn a docstring of Google's form into Markdown."""
    text, *sections = _SECTION.split(f"{inspect.getdoc(member)}\n")
    yield text.strip()
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        inner = textwrap.dedent(body).strip()
        if title == "Example":
            yield f"```text\n{inner}\n```"
        elif title == "Returns":
            yield f"**Returns** {' '.join(inner.split())}"
        else:
            _, *entries = _ENTRY.split(inner)
            rows = zip(entries[::2], entries[1::2], strict=True)
            said = [f"| `{key}` | {_cell(' '.join(value.split()))} |" for key, value in rows]
            yield "\n".join([f"| {title.lower()} | |", "| --- | --- |", *said])


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
