"""The grammar as a JSON schema, by which editors complete and check recipes as they are typed.

    # yaml-language-server: $schema=recipe.schema.json

The descriptions are those of the blocks' docstrings. What needs the rest of the recipe, such as a
name that must be declared elsewhere, is left to `composer check`.
"""

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from pydantic import BaseModel

from composer.recipe.grammar.adapters import BottleneckAdapter
from composer.recipe.grammar.backbones import SampleBackbone
from composer.recipe.grammar.block import Block
from composer.recipe.grammar.schema import Recipe
from composer.recipe.grammar.training import Training

DIALECT = "https://json-schema.org/draft/2020-12/schema"
IDENTITY = "urn:adapter-composer:recipe:1"

Schema = dict[str, object]

_FIELD = re.compile(r"^(\w+): (.+?)(?=^\w+: |\Z)", re.MULTILINE | re.DOTALL)
# Blocks whose docstring says of a key "See ..." -> the block that says it.
_TOLD_IN: Mapping[str, type[BaseModel]] = {
    "FolderBackbone": SampleBackbone,
    "HubBackbone": SampleBackbone,
    "MAdapter": BottleneckAdapter,
    "AdaMix": BottleneckAdapter,
    "Grid": Training,
    "TrainingChanges": Training,
}
_CHANGED = "Changed"  # ends the names of blocks in which nothing is needed


def recipe_schema(*, part: bool = False) -> Schema:
    """Give the JSON schema of a recipe.

    Args:
        part: Of a file that another one includes: nothing is needed in it.
    """
    schema: dict[str, Any] = Recipe.model_json_schema()
    blocks: dict[str, dict[str, Any]] = {"Recipe": schema, **schema.pop("$defs")}
    kinds = block_types()
    for name, block in blocks.items():
        _describe(block, kinds.get(name))
    changed: dict[str, Any] = {
        f"{name}{_CHANGED}": _partial(deepcopy(block)) for name, block in blocks.items()
    }
    # A profile is merged over the recipe, so it may say a part of anything.
    profiles = {"type": "object", "additionalProperties": _ref(f"Recipe{_CHANGED}")}
    properties = schema["properties"]
    properties["profiles"] = {**properties["profiles"], **profiles}
    properties["profiles"].pop("patternProperties", None)
    for inner in (one for one in changed.values() if one.get("title") == "Recipe"):
        for key in ("profiles", "include"):
            if not part:
                inner["properties"].pop(key, None)
    # What a recipe needs may stand in what it includes.
    schema["else"] = {"required": schema.pop("required")}
    schema["if"] = {"required": ["include"]}
    whole = changed[f"Recipe{_CHANGED}"] if part else schema
    head: Schema = {"$schema": DIALECT, "$id": f"{IDENTITY}:part" if part else IDENTITY}
    return {**head, **whole, "$defs": {**blocks, **changed}}


def block_types() -> dict[str, type[BaseModel]]:
    """Give every block of the grammar by its name."""
    found = list(Block.__subclasses__())
    for kind in found:
        found += kind.__subclasses__()
    return {kind.__name__: kind for kind in found}


def block_texts(block: type[BaseModel]) -> tuple[str, dict[str, str]]:
    """Split a block's docstring into its text and the meaning of each key, in the same order.

    >>> block_texts(block_types()["StaticShape"])[1]["batch"]
    'Texts at a time.'
    """
    text, _, attributes = (block.__doc__ or "").partition("Attributes:")
    lines = "\n".join(line.strip() for line in attributes.splitlines())
    found = {key: " ".join(meaning.split()) for key, meaning in _FIELD.findall(lines)}
    return " ".join(text.split()), found


def _describe(block: Schema, kind: type[BaseModel] | None) -> None:
    """Put a block's docstring into its schema, key by key."""
    if kind is None:
        return
    block["description"], meanings = block_texts(kind)
    told = block_texts(_TOLD_IN.get(kind.__name__, kind))[1]
    for key, text in told.items():
        if meanings.get(key, "").startswith("See "):
            meanings[key] = text
    properties = block.get("properties")
    for key, value in (properties if isinstance(properties, dict) else {}).items():
        value.pop("title", None)
        if key in meanings:
            value["description"] = meanings[key]
        if "patternProperties" in value:
            value["additionalProperties"] = False


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _partial(schema: object) -> Schema:
    """Let everything be left out, or be `null`, which takes a key away."""
    found = _relaxed(schema)
    return found if isinstance(found, dict) else {}


def _relaxed(schema: object) -> object:
    if isinstance(schema, list):
        return [_relaxed(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    found: Schema = {}
    for key, value in schema.items():
        if key in ("required", "discriminator"):
            continue
        if key == "$ref":
            found[key] = f"{value}{_CHANGED}"
        elif key in ("properties", "patternProperties"):
            found[key] = {name: _or_null(_relaxed(one)) for name, one in value.items()}
        elif key == "oneOf":  # which arm is meant, the recipe below may say
            found["anyOf"] = _relaxed(value)
        else:
            found[key] = (
                _relaxed(value) if key in ("anyOf", "items", "additionalProperties") else value
            )
    return found


def _or_null(schema: object) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}
