"""A recipe to begin with: sound, commented, and short.

starter_text(Starter(name="home", task="intent", data="train.csv"))  ->  the text of a recipe
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_WORDS = frozenset({"true", "false", "null", "True", "False", "Null", "TRUE", "FALSE", "NULL"})

_TEXT = """\
# {name}: one task adapter, and its scores{and_bundle}.
#
#   composer check {file}     name every fault
#   composer plan {file}      what a run would do, and why
#   composer run {file}       carry it out; run it again and only what you changed is made anew
#
# For completion in your editor: composer schema > recipe.schema.json, and begin this file with
# the line   # yaml-language-server: $schema=recipe.schema.json
composer: 1
name: {name}

# The frozen transformer: sample:NAME, a folder (source: folder, path: ...), or one of the hub.
backbone: {backbone}

# Shapes of adapters, used by name below. Also: placement, non_linearity, train_norm, ...
adapters:
  {shape}: {{kind: bottleneck, reduction_factor: 16}}

# Where examples come from. `$language` in a path is replaced, so that each language has a file.
data:
  {data_name}: {data}

# What holds for everything that is trained; a task may change it: `training: {{epochs: 4}}`.
training: {{epochs: 8, learning_rate: 1.0e-3, seed: 13, threads: 2}}

tasks:
  {task}: {{type: {type}, data: {data_name}, languages: {languages}, adapter: {shape}}}

# Further adapters can be combined: stacked (a > b), fused (fuse(a, b)) or averaged.
# compositions:
#   few-shot: {{expression: "fuse({task}, other)", train: {{task: {task}, examples: 200}}}}

# Scores on the test split, also in languages without labels.
evaluations:
  all: {{compositions: [{task}], languages: {scored}}}
{bundle}
# Changes that --profile merges over this recipe: a quick try first.
profiles:
  smoke: {{training: {{epochs: 1}}}}
"""
_BUNDLE = """
# What a device is given: `composer export bundle/device --to device/`. precision: int8 puts the
# backbone in, as a graph that runs without torch; left out, the bundle holds the parts only.
bundles:
  device: {{compositions: [{task}]}}
"""


@dataclass(frozen=True, kw_only=True)
class Starter:
    """What a recipe begins with.

    Attributes:
        name: Of the recipe.
        backbone: The recipe's block, as plain values.
        task: Name of the task.
        type: What it predicts.
        data: The recipe's block of its data, as plain values.
        languages: Where labels are.
        scored: Where it is scored; empty: in the same.
        bundle: Whether a bundle is made.
        file: Name of the file, for the comments.
    """

    name: str
    backbone: dict[str, object]
    task: str
    type: str = "text-classification"
    data: dict[str, object] = field(default_factory=dict)
    languages: Sequence[str] = ("en",)
    scored: Sequence[str] = ()
    bundle: bool = True
    file: str = "recipe.yaml"


def starter_text(starter: Starter) -> str:
    """Write the recipe."""
    taken = {starter.task, *starter.languages}
    return _TEXT.format(
        name=starter.name,
        file=starter.file,
        and_bundle=" and a bundle" if starter.bundle else "",
        backbone=flow(starter.backbone),
        shape=next(one for one in ("small", "shape") if one not in taken),
        data_name=next(one for one in ("examples", "rows") if one not in taken),
        data=flow(starter.data),
        task=flow(starter.task),
        type=starter.type,
        languages=flow(list(starter.languages)),
        scored=flow(list(starter.scored or starter.languages)),
        bundle=_BUNDLE.format(task=flow(starter.task)) if starter.bundle else "",
    )


def flow(value: object) -> str:
    """Spell a value in flow style, what YAML would read otherwise in quotes.

    >>> flow({"source": "files", "path": "a b.csv", "columns": {"text": "no: 1"}})
    '{source: files, path: "a b.csv", columns: {text: "no: 1"}}'
    """
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(key)}: {flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(flow, value))}]"
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value not in _WORDS
        return value if plain else json.dumps(value, ensure_ascii=False)
    return json.dumps(value)
