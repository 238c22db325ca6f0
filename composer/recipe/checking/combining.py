"""Which kind of adapter combines with which, and why not: one table for checks and docs.

    lora > intent            any kinds stack, each where it acts
    average(lora, bitfit)    what is added can be weighted
    fuse(lora, intent)       refused: a fusion mixes what bottlenecks add at a site

A reason in `REASONS` is a refusal; a use that is not there is defined.
"""

from collections.abc import Iterator, Mapping, Sequence

from composer.recipe.document.findings import Finding, Path
from composer.recipe.grammar.adapters import AdapterShape
from composer.recipe.grammar.bundles import Bundle
from composer.recipe.grammar.composition import (
    LANGUAGE,
    NONE,
    Average,
    Composition,
    Fuse,
    Gate,
    Stack,
    adapter_names,
)
from composer.recipe.grammar.meaning import shape_of
from composer.recipe.grammar.schema import Recipe

BOTTLENECK_KINDS = ("bottleneck", "madapter", "adamix")
INNER_KINDS = ("lora", "bitfit", "prefix", "prompt", "full")
KINDS = (*BOTTLENECK_KINDS, *INNER_KINDS)

USES: Mapping[str, str] = {
    "alone": "alone",
    "lower": "lower in a stack",
    "upper": "upper in a stack",
    "average": "in an average",
    "fuse": "in a fusion",
    "gate": "in a gate",
    "over": "as a language's, under `over`",
    "on": "as a task's, over `$language`",
    "language": "trained as a language's",
    "bundle": "in a bundle",
    "graph": "in a device graph",
    "batch": "with others in one batch",
    "sparsity": "with `sparsity`",
    "invertible": "with `invertible`",
    "train_norm": "with `train_norm`",
}
"""What may be done with an adapter, and how it is said."""

_ALONE = "it is a copy of the whole backbone, and adapters are trained on the frozen one"
_SITES_ONLY = "a fusion or gate mixes what bottlenecks add behind a sub-layer, and this adds none"
_NOT_A_SUM = "it lengthens what attention looks at, which has no mean; stack them instead"
_NO_BOTTLENECK = "it has no bottleneck"

REASONS: Mapping[tuple[str, str], str] = {
    **{(kind, use): _SITES_ONLY for kind in INNER_KINDS[:4] for use in ("fuse", "gate")},
    **{(kind, "average"): _NOT_A_SUM for kind in ("prefix", "prompt")},
    **{
        ("full", use): _ALONE
        for use in ("lower", "upper", "average", "fuse", "gate", "over", "on", "language")
    },
    **{
        (kind, "graph"): "a device graph takes adapters in behind sub-layers only"
        for kind in INNER_KINDS
    },
    **{(kind, use): _NO_BOTTLENECK for kind in INNER_KINDS for use in ("sparsity", "invertible")},
    ("adamix", "sparsity"): "its experts are averaged in the end, which would fill their masks",
    ("adamix", "language"): (
        "two routes are held to the same answers, and the text of a language has no labels to "
        "answer"
    ),
    ("full", "train_norm"): "all its norms are trained already",
}
"""(kind, use) -> why it is refused."""


def refusal(shape: AdapterShape, use: str) -> str | None:
    """Say why an adapter cannot be used so; None: it can.

    >>> from composer.recipe.grammar.adapters import BitFit
    >>> refusal(BitFit(kind="bitfit"), "graph")
    'a device graph takes adapters in behind sub-layers only'
    """
    return REASONS.get((shape.kind, use))


def ill_combined(composition: Composition, shapes: Mapping[str, AdapterShape]) -> Iterator[str]:
    """Say which members of a composition cannot stand where they do, and why.

    Args:
        composition: Bound, or with `$language`.
        shapes: Of its adapters, by name; one that is unknown is not judged.
    """
    for name, uses in _uses(composition):
        shape = shapes.get(name)
        reasons = {} if shape is None else {refusal(shape, use): use for use in uses}
        for reason, use in reasons.items():
            if shape is not None and reason is not None:
                yield f"{name} ({shape.kind}) cannot stand {USES[use]}, {composition}: {reason}"


def language_kinds(recipe: Recipe) -> Iterator[Finding]:
    """Find language adapters of a kind that nothing can be put on."""
    languages = recipe.languages
    if languages is None:
        return
    members = languages.members if isinstance(languages.members, dict) else {}
    asked: dict[Path, str | None] = {("languages", "adapter"): languages.adapter}
    asked |= {("languages", "members", tag, "adapter"): one.adapter for tag, one in members.items()}
    for path, name in asked.items():
        shape = recipe.adapters.get(name or "")
        reason = None if shape is None else refusal(shape, "language")
        if shape is not None and reason is not None:
            yield Finding(path, f"{name} ({shape.kind}) cannot be a language's: {reason}")


def bundled_kinds(
    recipe: Recipe, path: Path, bundle: Bundle, compositions: Sequence[Composition | None]
) -> Iterator[Finding]:
    """Find adapters that the graph of a bundle has no place for.

    Args:
        recipe: Of the bundle.
        path: Of the bundle.
        bundle: Whose compositions are looked at.
        compositions: What its names stand for, in order; None for what is not sound.
    """
    languages = recipe.languages.members if recipe.languages else ()
    if bundle.precision is None:
        return  # parts alone, of any kind
    for place, composition in enumerate(compositions):
        names = [] if composition is None else adapter_names(composition)
        adapters = [one for name in names for one in (languages if name == LANGUAGE else (name,))]
        for name in dict.fromkeys(adapters):
            shape = shape_of(recipe, name)
            reason = None if shape is None else refusal(shape, "graph")
            if shape is not None and reason is not None:
                message = f"{name} ({shape.kind}) has no place {USES['graph']}: {reason}"
                yield Finding((*path, "compositions", place), message)


def table_lines() -> list[str]:
    """Write the table in Markdown: uses by kinds, each refusal a number that is explained below."""
    numbers = {reason: number for number, reason in enumerate(dict.fromkeys(REASONS.values()), 1)}
    lines = [
        "| | " + " | ".join(f"`{kind}`" for kind in KINDS) + " |",
        "|---" * (len(KINDS) + 1) + "|",
    ]
    for use, said in USES.items():
        refused = (REASONS.get((kind, use)) for kind in KINDS)
        cells = ["yes" if reason is None else f"no ({numbers[reason]})" for reason in refused]
        lines.append("| " + " | ".join([said, *cells]) + " |")
    return [*lines, "", *(f"{number}. {reason}" for reason, number in numbers.items())]


def _uses(composition: Composition) -> Iterator[tuple[str, list[str]]]:
    """List the adapters, each with how it is used, by the parts around it."""
    found: dict[str, list[str]] = {name: [] for name in adapter_names(composition)}

    def walk(part: Composition, around: tuple[str, ...]) -> None:
        match part:
            case str():
                if part != NONE:
                    found[part] += around or ("alone",)
            case Stack(parts=parts):
                for place, inner in enumerate(parts):
                    walk(inner, (*around, "lower" if place < len(parts) - 1 else "upper"))
            case Average(parts=parts):
                for inner in parts:
                    walk(inner, (*around, "average"))
            case Fuse(parts=parts) | Gate(parts=parts):
                use = "fuse" if isinstance(part, Fuse) else "gate"
                for inner in parts:
                    walk(inner, (*around, use))

    walk(composition, ())
    yield from ((name, list(dict.fromkeys(uses))) for name, uses in found.items())
