"""The model card of what is pushed to a hub: README.md, generated from what was measured.

    ---
    library_name: adapter-composer
    license: apache-2.0
    language:
    - de
    model-index: ...
    ---

    # home

The front matter is YAML as the Hub reads it, the rest is for people. Everything in it stands in
the manifest, or in the stored result; texts from there are written so that they format nothing.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from composer.bundle.files import read_json
from composer.bundle.jsontext import one_line
from composer.bundle.manifest import Manifest
from composer.bundle.records import ScoreRecord
from composer.bundle.sizes import size_report
from composer.engine.planning.record import Record, read_record, read_stage
from composer.engine.storage.manifest import Manifest as StoredManifest
from composer.errors import StoreError
from composer.recipe.expansion.stages import TrainTask
from composer.report.layout import count, number_of, size

UNKNOWN = "unknown"
INSTALL, INSTALL_TRAIN = "pip install adapter-composer", "pip install 'adapter-composer[train]'"

# SPDX -> what the Hub calls it, where that is not the same in small letters.
_HUB_LICENCES = {
    **{one: one.lower() for one in ("Apache-2.0", "MIT", "CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0",
       "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "CC-BY-ND-4.0", "CC-BY-3.0", "CC-BY-SA-3.0",
       "BSD-2-Clause", "BSD-3-Clause", "MPL-2.0", "ISC", "AFL-3.0", "EPL-2.0", "Zlib")},
    **{f"{one}-{how}": one.lower() for one in ("GPL-2.0", "GPL-3.0", "LGPL-2.1", "LGPL-3.0",
       "AGPL-3.0") for how in ("only", "or-later")},
}  # fmt: skip
_PIPELINES = {"token-classification": "token-classification"}
_METRICS = {"macro-f1": "f1", "micro-f1": "f1", "span-f1": "seqeval", "pearson": "pearsonr",
            "spearman": "spearmanr", "matthews": "matthews_correlation",
            "exact-match": "exact_match"}  # fmt: skip
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~&])")


def bundle_card(manifest: Manifest, *, name: str, licence: str | None = None) -> str:
    """Write the card of a bundle.

    Args:
        manifest: Of a bundle that was checked.
        name: Of the repository, `owner/name`.
        licence: An SPDX expression, of all that the repository holds; None: as the bundle says.
    """
    front = {
        **_front(
            languages=manifest.languages,
            licence=licence or _licence(manifest),
            backbone=manifest.backbone,
            types=[one.type for one in manifest.compositions.values()],
            tags=[*sorted({part.kind for part in manifest.parts.values()} - {"head"}),
                  *(["onnx"] if manifest.graphs else [])],
        ),
        **_model_index(name, manifest),
    }  # fmt: skip
    return _card(front, _bundle_lines(manifest, name))


def adapter_card(
    manifest: StoredManifest, folder: Path, *, name: str, licence: str | None = None
) -> str:
    """Write the card of one adapter.

    Args:
        manifest: Of its result.
        folder: Of its files, which were checked.
        name: Of the repository, `owner/name`.
        licence: An SPDX expression; None: unknown.
    """
    record = read_record(manifest)
    stage = read_stage(record, name=manifest.kind)
    types = [stage.task.type] if isinstance(stage, TrainTask) else []
    data = getattr(stage, "data", None)
    languages = data.languages if data else ()
    about = read_json(folder / "adapter.json", error=StoreError)
    shape = about["shape"]
    front = _front(
        languages=languages,
        licence=licence or UNKNOWN,
        backbone=record.backbone,
        types=types,
        tags=[str(shape["kind"]), f"{manifest.kind}-adapter"],
    )
    lines = _adapter_lines(manifest, folder, name=name, record=record, languages=languages)
    return _card(front, lines)


def _front(
    *,
    languages: Sequence[str],
    licence: str,
    backbone: object,
    types: Sequence[str],
    tags: Sequence[str],
) -> dict[str, object]:
    """Say what the Hub searches by. A language is told by its first word, as the Hub knows it."""
    values: dict[str, object] = {"library_name": "adapter-composer"}
    if licence in _HUB_LICENCES:
        values["license"] = _HUB_LICENCES[licence]
    elif licence != UNKNOWN:
        values |= {"license": "other", "license_name": licence}
    if languages:
        values["language"] = sorted({tag.split("-")[0].lower() for tag in languages})
    if getattr(backbone, "source", "") == "hub":
        values |= {
            "base_model": str(getattr(backbone, "name", "")),
            "base_model_relation": "adapter",
        }
    if types:
        values["pipeline_tag"] = _pipeline(types)
    values["tags"] = list(dict.fromkeys(["adapter-composer", "adapter", *tags]))
    return values


def _pipeline(types: Sequence[str]) -> str:
    """Name the one task that the Hub asks for; most of ours are its text classification."""
    found = {_PIPELINES.get(one, "text-classification") for one in types}
    return found.pop() if len(found) == 1 else "text-classification"


def _licence(manifest: Manifest) -> str:
    """Tell the one licence of all that is in the bundle; several are put together, as SPDX does."""
    held = {one for name, one in manifest.licences.items() if name.startswith("part/")}
    if manifest.graphs:
        held.add(manifest.licences.get("backbone", UNKNOWN))
    return UNKNOWN if UNKNOWN in held or not held else " AND ".join(sorted(held))


def _model_index(name: str, manifest: Manifest) -> dict[str, object]:
    if not manifest.scores:
        return {}
    by: dict[tuple[str, str, str, str], list[ScoreRecord]] = {}
    for one in manifest.scores:
        by.setdefault((one.composition, one.language, one.split, one.data_digest), []).append(one)
    results = [_result(manifest, scores) for _, scores in sorted(by.items())]
    return {"model-index": [{"name": name.partition("/")[2], "results": results}]}


def _result(manifest: Manifest, scores: Sequence[ScoreRecord]) -> dict[str, object]:
    """Give the scores of one composition on one set of examples, as `model-index` has them."""
    one, exact_first = scores[0], sorted(scores, key=lambda score: score.variant != "float32")
    kind = _pipeline([manifest.compositions[one.composition].type])
    return {
        "task": {"type": kind, "name": one.composition},
        "dataset": {
            "type": f"sha256-{one.data_digest[:16]}",
            "name": f"{one.composition}, {one.language}, {count(one.n)} examples",
            "config": one.language,
            "split": one.split,
        },
        "metrics": [
            {
                "type": _METRICS.get(score.score, score.score),
                "value": round(score.value, 6),
                "name": f"{score.score} ({score.variant})",
            }
            for score in exact_first
        ],
    }


def _bundle_lines(manifest: Manifest, name: str) -> Iterator[str]:
    short = name.partition("/")[2] or name
    whole = sum(row.bytes for row in size_report(manifest))
    holds = "adapters and their backbone as a graph for ONNX Runtime"
    yield f"# {_plain(short)}"
    yield ""
    yield (
        f"A bundle of adapters, {size(whole)}: "
        f"{holds if manifest.graphs else 'adapters alone, to put on their backbone'}. It has "
        f"{number_of(len(manifest.compositions), 'composition')} for "
        f"{number_of(len(manifest.languages), 'language')}"
        f"{': ' if manifest.languages else ''}{', '.join(manifest.languages)}."
    )
    yield from _bundle_use(manifest, name, short)
    yield from _section("What it answers", ["composition", "expression", "task", "labels",
                        "languages"], _composition_rows(manifest))  # fmt: skip
    if manifest.scores:
        yield from _section("Scores", ["composition", "language", "split", "score", "n", "value",
                            "of"], _score_rows(manifest))  # fmt: skip
    parts = [[name, one.kind, one.role, count(one.parameters), size(one.bytes)]
             for name, one in sorted(manifest.parts.items())]  # fmt: skip
    yield from _section("What it holds", ["part", "kind", "role", "parameters", "size"], parts)
    yield from _backbone_lines(manifest)
    licences = [[name, one] for name, one in sorted(manifest.licences.items())]
    yield from _section("Licences", ["of", "licence"], licences)
    yield ""
    made = f"made by composer {_plain(manifest.composer)}"
    yield f"Digest of the bundle: `{manifest.digest}`; {made}."


def _bundle_use(manifest: Manifest, name: str, short: str) -> Iterator[str]:
    first = sorted(manifest.compositions)[0]
    install = INSTALL if manifest.graphs else INSTALL_TRAIN
    yield from ("", "## How to use", "", "```sh", install, f"composer pull {name} --to {short}")
    yield f'composer predict {short} --composition {first} "text"'
    yield "```"
    if manifest.graphs:
        yield from ("", "On a device, without torch:", "", "```python")
        yield "from composer.device.bundle import Bundle"
        yield ""
        yield f'bundle = Bundle.open("{short}")'
        yield f'bundle.use("{first}").predict(["text"])'
        yield "```"
    yield ""
    yield "`pull` checks every byte, and the bundle's self-test, before anything is in its place."


def _composition_rows(manifest: Manifest) -> Iterator[list[str]]:
    for name, one in sorted(manifest.compositions.items()):
        labels = ", ".join(one.labels[:5]) + (", ..." if len(one.labels) > 5 else "")
        known = f"{len(one.labels)}: {labels}" if one.labels else "a number"
        yield [name, one.expression, one.type, known, ", ".join(one.languages)]


def _score_rows(manifest: Manifest) -> Iterator[list[str]]:
    for one in manifest.scores:
        yield [one.composition, one.language, one.split, one.score, count(one.n),
               f"{one.value:.3f}", one.variant]  # fmt: skip


def _backbone_lines(manifest: Manifest) -> Iterator[str]:
    one = manifest.backbone
    revision = f" at {one.revision}" if one.revision else ""
    yield from ("", "## Made for", "")
    yield (
        f"The backbone {_plain(one.name)}{revision} ({_plain(one.model_type)}, "
        f"{number_of(one.layers, 'layer')} of size {count(one.hidden_size)}, at most "
        f"{count(one.max_tokens)} tokens) and no other: body `{one.body}`, vocabulary "
        f"`{one.vocabulary}`."
    )
    if one.trimmed:
        kept, rows = count(one.trimmed.kept), count(one.trimmed.rows)
        yield f"{kept} of its {rows} token embeddings are kept."


def _adapter_lines(
    manifest: StoredManifest,
    folder: Path,
    *,
    name: str,
    record: Record,
    languages: Sequence[str],
) -> Iterator[str]:
    short = name.partition("/")[2] or name
    training = read_json(folder / "training.json", error=StoreError)
    yield f"# {_plain(short)}"
    yield ""
    yield (
        f"A {manifest.kind} adapter ({number_of(training['trainable_parameters'], 'parameter')}, "
        f"{size(manifest.bytes)}) for {', '.join(languages) or 'any language'}, made with "
        "adapter-composer."
    )
    stage = f"{manifest.kind}/{'TAG' if manifest.kind == 'language' else 'NAME'}"
    yield from ("", "## How to use", "", "```sh", INSTALL_TRAIN)
    yield f"composer pull {name} --to {short}"
    yield f"composer adopt RECIPE.yaml {stage} {short}"
    yield from ("```", "", "`adopt` holds it to the recipe: kind, shape, labels, backbone.")
    yield from _section(
        "How it was made", ["", ""], _adapter_rows(manifest, folder, training, record)
    )
    yield ""
    yield f"Key of the result: `{manifest.key}`."


def _adapter_rows(
    manifest: StoredManifest, folder: Path, training: Mapping[str, object], record: Record
) -> Iterator[list[str]]:
    about = read_json(folder / "adapter.json", error=StoreError)
    yield ["shape", ", ".join(f"{key} {value}" for key, value in sorted(about["shape"].items()))]
    backbone = record.backbone
    yield ["backbone", f"{getattr(backbone, 'name', None) or getattr(backbone, 'path', '')} "
           f"({backbone.source}), body {about['body'][:16]}"]  # fmt: skip
    if "head.json" in manifest.files:
        head = read_json(folder / "head.json", error=StoreError)
        yield ["task", str(head["type"])]
        yield ["labels", ", ".join(map(str, head["labels"][:20])) or "a number"]
        if head.get("non_linearity"):
            yield ["head", f"two layers, {head['non_linearity']} between"]
    yield ["trained on", f"{count(int(str(training['training_examples'])))} examples, "
           f"{training['epochs']} epochs, seed {training['seed']}"]  # fmt: skip
    best = training["best_score"]
    if isinstance(best, float):
        score = record.settings.get("task", {})
        what = score.get("score") if isinstance(score, dict) else None
        yield [f"validation {what}" if what else "minus the held-out loss", f"{best:.3f}"]


def _section(
    title: str, head: Sequence[str], rows: Iterator[list[str]] | list[list[str]]
) -> Iterator[str]:
    yield from ("", f"## {title}", "")
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join('---' for _ in head)} |"
    for row in rows:
        yield f"| {' | '.join(map(_plain, row))} |"


def _plain(text: str) -> str:
    r"""Write text from elsewhere so that it formats nothing, and stays on its line.

    >>> print(_plain("a|b <i>"))
    a\|b \<i\>
    """
    return _SPECIAL.sub(r"\\\1", one_line(text, 300))


def _card(front: Mapping[str, object], lines: Iterator[str]) -> str:
    return "\n".join(["---", *_yaml(front), "---", "", *lines, "", ""])


def _yaml(value: object, indent: str = "") -> Iterator[str]:
    """Spell mappings, lists and scalars as YAML blocks; strings as JSON has them.

    >>> list(_yaml({"tags": ["a", "b: c"], "metrics": [{"type": "f1", "value": 0.5}]}))
    ['tags:', '- "a"', '- "b: c"', 'metrics:', '- type: "f1"', '  value: 0.5']
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(inner, Mapping):
                yield f"{indent}{key}:"
                yield from _yaml(inner, f"{indent}  ")
            elif isinstance(inner, list):
                yield f"{indent}{key}:"
                yield from _yaml(inner, indent)
            else:
                yield f"{indent}{key}: {_scalar(inner)}"
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, Mapping):
                first, *rest = _yaml(inner, f"{indent}  ")
                yield f"{indent}- {first.strip()}"
                yield from rest
            else:
                yield f"{indent}- {_scalar(inner)}"


def _scalar(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(one_line(value, 300), ensure_ascii=False)
    return json.dumps(value)
