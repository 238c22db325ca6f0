"""What a bundle holds, laid out: its parts, compositions, scores, licences and sizes."""

from collections.abc import Iterator, Sequence

from composer.bundle.difference import Change
from composer.bundle.manifest import Manifest
from composer.bundle.reader import OpenedBundle
from composer.bundle.records import ScoreRecord, TrimmedRecord
from composer.bundle.sizes import WeightRow, size_report, weight_report
from composer.report.layout import count, number_of, size, table_lines
from composer.report.tables import size_values

Subject = tuple[str, str, str, str]  # composition, language, split, score


def inspect_lines(opened: OpenedBundle) -> Iterator[str]:
    """Tell all that a bundle says of itself, as lines of text."""
    manifest = opened.manifest
    yield from _head_lines(opened)
    yield ""
    yield from _composition_lines(manifest)
    if manifest.scores:
        yield ""
        yield from score_lines(manifest)
    yield ""
    yield from weight_lines(weight_report(opened))
    whole = sum(row.bytes for row in size_report(manifest))
    yield f"all files: {size(whole)}"
    yield ""
    rows = [["licence of", "is"], *([name, one] for name, one in sorted(manifest.licences.items()))]
    yield from table_lines(rows)


def inspect_values(opened: OpenedBundle) -> dict[str, object]:
    """Give the same as JSON has it."""
    manifest = opened.manifest
    report = size_report(manifest)
    return {
        "bundle": str(opened.path),
        "digest": manifest.digest,
        "composer": manifest.composer,
        "backbone": manifest.backbone.model_dump(mode="json"),
        "graphs": {name: one.model_dump(mode="json") for name, one in manifest.graphs.items()},
        "parts": {
            row.name: {
                "kind": row.kind,
                "role": manifest.parts[row.name].role,
                "parameters": row.parameters,
                "bytes": row.stored,
                "float32_bytes": row.float32,
                "used_by": list(row.used_by),
            }
            for row in weight_report(opened)[2:]
        },
        "frozen": {
            row.name: {
                "parameters": row.parameters,
                "bytes": row.stored,
                "float32_bytes": row.float32,
            }
            for row in weight_report(opened)[:2]
        },
        "compositions": {
            name: one.model_dump(mode="json") for name, one in manifest.compositions.items()
        },
        "scores": [one.model_dump(mode="json") for one in manifest.scores],
        "licences": manifest.licences,
        "files": size_values(report),
        "bytes": sum(row.bytes for row in report),
    }


def weight_lines(rows: Sequence[WeightRow]) -> list[str]:
    """Lay out what backbone and parts weigh, in float32 and as they are stored."""
    table = [["weights", "kind", "parameters", "float32", "stored", "used by"]]
    for row in rows:
        stored = size(row.stored) if row.stored else "not in it"
        users = ", ".join(row.used_by)
        table.append([row.name, row.kind, count(row.parameters), size(row.float32), stored, users])
    return table_lines(table, right=(2, 3, 4))


def score_lines(manifest: Manifest) -> list[str]:
    """Lay out scores: float32 beside what the bundle's own graph reached, and the points lost."""
    found: dict[Subject, dict[str, ScoreRecord]] = {}
    for one in manifest.scores:
        subject: Subject = (one.composition, one.language, one.split, one.score)
        found.setdefault(subject, {})[one.variant] = one
    others = sorted({one.variant for one in manifest.scores} - {"float32"})
    lost = ["points"] if others else []
    table = [["scores", "language", "split", "score", "n", "float32", *others, *lost]]
    for subject, by in sorted(found.items()):
        cells = [f"{by[name].value:.3f}" if name in by else "-" for name in ("float32", *others)]
        some = next(iter(by.values()))
        if others:
            pair = (by.get("float32"), by.get(others[0]))
            cells.append(_lost(*pair))
        table.append([*subject, count(some.n), *cells])
    return table_lines(table, right=range(4, len(table[0])))


def change_words(change: Change) -> str:
    """Say how something changed, with its sizes where it has some."""
    if change.section not in ("part", "size"):
        return change.how
    sizes = [size(int(one)) for one in (change.before, change.after) if one is not None]
    weight = " -> ".join(dict.fromkeys(sizes))
    return ", ".join(part for part in (change.how, weight) if part)


def _lost(exact: ScoreRecord | None, rounded: ScoreRecord | None) -> str:
    if exact is None or rounded is None:
        return "-"
    return f"{100 * (rounded.value - exact.value):+.1f}"


def _head_lines(opened: OpenedBundle) -> Iterator[str]:
    manifest, backbone = opened.manifest, opened.manifest.backbone
    revision = f" at {backbone.revision}" if backbone.revision else ""
    rows = [
        ["bundle", str(opened.path)],
        ["digest", manifest.digest],
        ["backbone", f"{backbone.name} ({backbone.source}{revision}), {backbone.model_type}"],
        ["", f"{number_of(backbone.layers, 'layer')} of {count(backbone.hidden_size)}"],
        ["fingerprints", f"body {backbone.body[:12]}, vocabulary {backbone.vocabulary[:12]}"],
    ]
    if backbone.trimmed:
        rows += trimmed_rows(backbone.trimmed)
    for name, graph in sorted(manifest.graphs.items()):
        users = [n for n, one in sorted(manifest.compositions.items()) if one.graph == name]
        rows.append([name, f"{graph.precision}, runs {', '.join(users) or 'nothing yet'}"])
    if not manifest.graphs:
        rows.append(["graphs", "none: parts only"])
    yield from table_lines(rows)


def trimmed_rows(trimmed: TrimmedRecord) -> Iterator[list[str]]:
    """Say how much of a vocabulary is kept, and what share of texts that changes."""
    yield ["vocabulary", f"{count(trimmed.kept)} of {count(trimmed.rows)} token embeddings"]
    for one in trimmed.changed:
        share = f"{one.changed / one.texts:.1%} of {number_of(one.texts, 'text')}"
        yield ["", f"{one.language}: {share} cut into other pieces than before"]


def _composition_lines(manifest: Manifest) -> list[str]:
    rows = [["composition", "expression", "type", "labels", "languages"]]
    for name, one in sorted(manifest.compositions.items()):
        languages = " ".join(one.languages)
        rows.append([name, one.expression, one.type, count(len(one.labels)), languages])
    return table_lines(rows, right=[3])
