"""What `composer debug-data` prints: tables of what the data is, then what may be wrong with it.

task/intent: text-classification, data intent
split       language  examples  repeats  tokens: median  95 %  max  cut
train       en           1,600       12              14    23   41    0
label       train  validation  test
HassTurnOn    400          51    49
"""

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from composer.data.inspecting.inspection import Inspection, PartFacts
from composer.data.inspecting.parts import SPLITS
from composer.engine.looking.datalook import DataLook
from composer.recipe.grammar.data import Split
from composer.report.layout import count, number_of, table_lines

LABELS = 20  # in the table; `--json` gives all


def look_values(look: DataLook) -> dict[str, object]:
    """Give all of it as JSON has it."""
    return {
        "max_tokens": look.max_tokens,
        "without_lengths": look.without_lengths or None,
        "data": [inspection_values(one) for one in look.inspections],
    }


def look_lines(look: DataLook) -> Iterator[str]:
    """Lay all of it out, but for warnings and faults."""
    if look.without_lengths:
        yield f"lengths in tokens are unknown: {look.without_lengths}"
    for number, one in enumerate(look.inspections):
        if number:
            yield ""
        yield f"{one.name}: {one.type or 'plain text'}, data {one.source}"
        yield from table_lines(_part_rows(one), right=range(2, 9))
        if one.labels:
            yield ""
            yield from _label_lines(one)


def inspection_values(one: Inspection) -> dict[str, Any]:
    """Give what was found in one task's or language's data as JSON has it."""
    found = asdict(one)
    found["labels"] = {label: dict(splits) for label, splits in one.labels.items()}
    return found


def _part_rows(one: Inspection) -> list[list[str]]:
    spans = one.type == "token-classification"
    heads = ["split", "language", "examples", "repeats", "tokens: median", "95 %", "max", "cut"]
    rows = [[*heads, "no span"] if spans else [*heads, ""]]
    for part in one.parts:
        rows.append([part.split, part.language, count(part.n), count(part.duplicates)])
        rows[-1] += [*_length_cells(part), count(part.without_spans) if spans else ""]
    return rows


def _length_cells(part: PartFacts) -> list[str]:
    found = part.lengths
    if found is None:
        return ["-"] * 4
    return [f"{found.median:g}", f"{found.most:.0f}", count(found.longest), count(found.cut)]


def _label_lines(one: Inspection) -> Iterator[str]:
    noun = "span" if one.type == "token-classification" else "label"
    whole = sum(_of(splits, "train") for splits in one.labels.values())
    rows = [[noun, *SPLITS, "share"]]
    for label, splits in list(one.labels.items())[:LABELS]:
        counts = [_of(splits, split) for split in SPLITS]
        share = f"{100 * counts[0] / whole:.1f} %" if whole else "-"
        rows.append([label, *map(count, counts), share])
    yield from table_lines(rows, right=range(1, 5))
    rest = len(one.labels) - LABELS
    if rest > 0:
        yield f"and {number_of(rest, 'label')} more"
    trained = sorted(_of(splits, "train") for splits in one.labels.values())
    yield (
        f"{number_of(len(one.labels), 'label')}; training has {count(trained[0])} to "
        f"{count(trained[-1])} of each, {statistics.median(trained):g} in the middle"
    )


def _of(splits: Mapping[Split, int], split: Split) -> int:
    return splits.get(split, 0)
