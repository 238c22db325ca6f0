"""Which key of the recipe decides a setting of a stage, so that a reason names what was edited.

    task/intent, shape.width           ->  adapters.task.width
    task/intent, training.epochs       ->  tasks.intent.training.epochs, or training.epochs
    composition/few-shot, composition  ->  compositions.few-shot.expression
    repeat/main/thin/cola/2, training.clip  ->  compare.main.training.clip, or as for a task

Settings are those of `composer.recipe.expansion.keys`. What no table here knows keeps its own path.
"""

from collections.abc import Mapping

from composer.recipe.expansion.stages import WITHOUT_LANGUAGE

Values = Mapping[str, object]

# First words of a setting's path -> key of the recipe. {name} is the stage's, {adapter}, {data}
# and {task} are what the recipe says there. The longest that fits is taken.
_EVERYWHERE = {
    "precision": "backbone.precision",
    "data.source": "data.{data}",
    "data.digest": "data.{data}",
    "data.max_tokens": "backbone.max_tokens",
}
_KEYS: Mapping[str, Mapping[str, str]] = {
    "language-head": {
        "found": "backbone",
        "texts": "languages.members",
        "pack_tokens": "languages.pack_tokens",
        "whole_words": "languages.whole_words",
    },
    "language": {
        "shape": "adapters.{adapter}",
        "data.languages": "languages.members",
        "data.examples": "languages.examples",
        "pack_tokens": "languages.pack_tokens",
        "whole_words": "languages.whole_words",
        "head": "languages.head",
    },
    "language-loss": {
        "split": "languages.losses.split",
        "data.languages": "languages.losses.languages",
        "pack_tokens": "languages.pack_tokens",
        "whole_words": "languages.whole_words",
    },
    "task": {
        "shape": "adapters.{adapter}",
        "task": "tasks.{name}",
        "over": "tasks.{name}.over",
        "cycle": "tasks.{name}.cycle",
        "data.temperature": "tasks.{name}.temperature",
        "data.languages": "tasks.{name}.languages",
        "data.examples": "tasks.{name}.examples",
    },
    "composition": {
        "composition": "compositions.{name}.expression",
        "task": "tasks.{task}",
        "train_norm": "compositions.{name}.train.train_norm",
        "data.temperature": "compositions.{name}.train.temperature",
        "data.languages": "compositions.{name}.train.languages",
        "data.examples": "compositions.{name}.train.examples",
    },
    "evaluation": {
        "composition": "compositions.{composition}",
        "split": "evaluations.{name}.split",
        "data.languages": "evaluations.{name}.languages",
    },
    "bundle": {
        "bundle_precision": "bundles.{name}.precision",
        "data.languages": "bundles.{name}.vocabulary.languages",
        "pieces": "bundles.{name}.vocabulary.pieces",
        "": "bundles.{name}",
    },
}
# The same for the stages of comparisons; {name} is the task's.
_COMPARED: Mapping[str, Mapping[str, str]] = {
    "trial": _KEYS["task"],
    "repeat": _KEYS["task"],
    "choice": {"trials": "compare.{comparison}.grid", "score": "tasks.{name}.score"},
    "evaluation": {
        "composition": "tasks.{name}.over",
        "split": "compare.{comparison}.split",
        "data.languages": "compare.{comparison}.languages",
    },
}
_PATH = ".path."  # of a file a split: a recipe that gives one path has no key below it


def recipe_key(values: Values, stage: str, setting: str) -> str:
    """Name the key of the recipe that decides a setting.

    Args:
        values: The recipe as plain values; empty where there is none.
        stage: Name of the stage.
        setting: Dotted path in the stage's settings.

    >>> values = {"tasks": {"intent": {"adapter": "wide"}}}
    >>> recipe_key(values, "task/intent", "shape.width")
    'adapters.wide.width'
    """
    kind, *names = stage.split("/")
    compared = kind in _COMPARED and (kind != "evaluation" or len(names) > 3)
    tables = _COMPARED if compared else _KEYS
    if not values or not names or kind not in tables:
        return setting
    if setting.startswith("training."):
        blocks = _compared_blocks(names) if compared else _blocks(kind, names[0])
        return _training(values, blocks, setting)
    table = {**_EVERYWHERE, **tables[kind]}
    fitting = [key for key in table if setting == key or setting.startswith(f"{key}.") or not key]
    if not fitting:
        return setting
    longest = max(fitting, key=len)
    rest = setting[len(longest) :].lstrip(".") if longest else setting
    known = _compared_names(values, names) if compared else _names(values, kind, names)
    key = table[longest].format(**known)
    if f".{rest}".startswith(_PATH) and not isinstance(_at(values, f"{key}.path"), Mapping):
        rest = "path"
    return f"{key}.{rest}" if rest else key


def _names(values: Values, kind: str, names: list[str]) -> dict[str, object]:
    """Look up what the recipe calls the adapter, the data and the task of a stage."""
    name = names[0]
    known: dict[str, object] = {"name": name}
    task = name
    if kind in ("language", "language-head", "language-loss"):
        name = names[-1]
        block = _at(values, "languages")
        member = _at(values, f"languages.members.{name}")
        for key in ("adapter", "data"):
            known[key] = _of(member, key) or _of(block, key)
        return known
    if kind == "composition":
        task = str(_at(values, f"compositions.{name}.train.task"))
    if kind == "evaluation" and len(names) > 1:
        composition = names[1].removesuffix(WITHOUT_LANGUAGE)
        known["composition"] = composition
        task = _head(values, composition)
    block = _at(values, f"tasks.{task}")
    own = {"evaluation": f"evaluations.{name}.data", "bundle": f"bundles.{name}.vocabulary.data"}
    data = (_at(values, own[kind]) if kind in own else None) or _of(block, "data")
    return {**known, "task": task, "adapter": _of(block, "adapter"), "data": data}


def _compared_names(values: Values, names: list[str]) -> dict[str, object]:
    comparison, adapter, task = names[:3]
    data = _at(values, f"tasks.{task}.data")
    return {"comparison": comparison, "adapter": adapter, "name": task, "data": data}


def _head(values: Values, composition: str) -> str:
    """Name the task whose data a composition is scored on, as far as the recipe says it."""
    block = _at(values, f"compositions.{composition}")
    said = _at(block, "train.task") or _of(block, "task")
    if said or isinstance(_at(values, f"tasks.{composition}"), Mapping):
        return str(said or composition)
    expression = block if isinstance(block, str) else str(_of(block, "expression"))
    return expression.rpartition(">")[2].strip()


def _training(values: Values, blocks: tuple[str, ...], setting: str) -> str:
    """Name the innermost block that gives a field of `training`."""
    field = setting.partition(".")[2]
    if field == "seed" and blocks and blocks[0].endswith(".grid"):
        return f"{blocks[0].removesuffix('.grid')}.seeds"
    for block in blocks:
        if _at(values, f"{block}.{field}") is not None:
            return f"{block}.{field}"
    return setting


def _blocks(kind: str, name: str) -> tuple[str, ...]:
    """Name the blocks that may change `training` for a stage, innermost first."""
    return {
        "language-head": ("languages.head.training", "languages.training"),
        "language": (f"languages.members.{name}.training", "languages.training"),
        "task": (f"tasks.{name}.training",),
        "composition": (f"compositions.{name}.train.training",),
    }.get(kind, ())


def _compared_blocks(names: list[str]) -> tuple[str, ...]:
    comparison, _, task = names[:3]
    return (
        f"compare.{comparison}.grid",
        f"compare.{comparison}.training",
        f"tasks.{task}.training",
    )


def _at(values: object, path: str) -> object:
    for key in path.split("."):
        values = _of(values, key)
    return values


def _of(values: object, key: str) -> object:
    return values.get(key) if isinstance(values, Mapping) else None
