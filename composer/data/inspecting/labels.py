"""How often each label is there, and which look as if they were not meant.

turn_on / Turn_On       differ only in case, spaces or how letters are stored
HassTurnOnn, 1 time     rare
HassVacuum              in the test split alone
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from composer.data.inspecting.parts import SPLITS, Part
from composer.data.texts import looks, shortened
from composer.errors import Fault
from composer.recipe.grammar.data import Split
from composer.recipe.grammar.tasks import TaskType

RARE = 5  # training examples, below which a label is named
LOPSIDED = 0.9  # share of one label, from which the score of always saying it is told
_NAMED = 10

LabelCounts = Mapping[str, Mapping[Split, int]]


def label_counts(parts: Sequence[Part]) -> LabelCounts:
    """Count labels by split, over all languages; of spans, the spans. Frequent ones come first."""
    found: dict[str, Counter[Split]] = {}
    for part in parts:
        for example in part.examples:
            labels = (
                example.label if isinstance(example.label, tuple)
                else [example.label] if isinstance(example.label, str)
                else [span.label for span in example.spans]
            )  # fmt: skip
            for label in labels:
                found.setdefault(label, Counter())[part.split] += 1
    return dict(sorted(found.items(), key=lambda item: (-item[1].total(), item[0])))


def label_warnings(counts: LabelCounts, parts: Sequence[Part], type: TaskType) -> Iterator[Fault]:
    """Say which labels are probably not meant, or cannot be learnt."""
    place = f"data.{parts[0].source}"
    yield from (Fault(place, said) for said in _look_alikes(counts))
    yield from (Fault(place, said) for said in _in_one_split(counts, parts))
    rare = [(name, n["train"]) for name, n in counts.items() if 0 < n["train"] < RARE]
    if rare:
        named = _listed([f"{shortened(name)} ({n})" for name, n in rare])
        yield Fault(
            place,
            f"fewer than {RARE} training examples for {len(rare)} of {len(counts)} labels: "
            f"{named}; get more of them, or join labels",
        )
    trained = sum(n["train"] for n in counts.values())
    name, most = max(((name, n["train"]) for name, n in counts.items()), key=lambda one: one[1],
                     default=("", 0))  # fmt: skip
    if type == "text-classification" and trained and most / trained >= LOPSIDED:
        yield Fault(
            place,
            f"{100 * most / trained:.1f} % of the training examples are {shortened(name)}: a model "
            "that says nothing else is right as often; score by macro-f1 (`score: macro-f1`)",
        )


def _look_alikes(counts: LabelCounts) -> Iterator[str]:
    alike: dict[str, list[str]] = {}
    for label in counts:
        alike.setdefault(looks(label), []).append(label)
    for group in alike.values():
        if len(group) > 1:
            said = " and ".join(
                f"{ascii(one)} ({sum(counts[one].values()):,})" for one in sorted(group)
            )
            yield (
                f"the labels {said} differ only in case, spaces or how letters are stored, and are "
                "learnt as several; write them alike"
            )


def _in_one_split(counts: LabelCounts, parts: Sequence[Part]) -> Iterator[str]:
    there = [split for split in SPLITS if any(part.split == split for part in parts)]
    for split in there if len(there) > 1 else ():
        alone = [label for label, n in counts.items() if n[split] == sum(n.values())]
        remedy = (
            "no score tells whether they are learnt" if split == "train" else "none can be learnt"
        )
        if alone:
            named = _listed([f"{shortened(one)} ({counts[one][split]})" for one in alone])
            yield f"in the {split} split alone, {remedy}: {named}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
