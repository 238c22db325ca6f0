"""Everything about one stored result, as people and machines read it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from composer.bundle.files import read_json
from composer.engine.planning.record import read_record
from composer.engine.storage.refs import Ref, all_refs
from composer.engine.storage.store import Store, StoredResult
from composer.engine.storage.timings import read_measured
from composer.errors import StoreError
from composer.report.layout import count, duration, size, table_lines

_TOLD = {
    "training.json": "training",
    "scores.json": "scores",
    "loss.json": "loss",
    "head.json": "head",
}
Values = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A result, and what the store calls it and what it rests on.

    Attributes:
        result: Every file of it was checked.
        labels: That point at it.
        names: Key -> label, of what it rests on.
        used_by: Labels of what rests on it.
        values: As JSON has it.
    """

    result: StoredResult
    labels: tuple[Ref, ...]
    names: Mapping[str, str]
    used_by: tuple[str, ...]
    values: Values


def read_shown(store: Store, result: StoredResult) -> Shown:
    """Read everything about a result."""
    refs = all_refs(store)
    record = read_record(result.manifest)
    names: dict[str, str] = {}
    for ref in refs:
        names.setdefault(ref.key, ref.full_name)
    labels = tuple(ref for ref in refs if ref.key == result.key)
    took = read_measured(store).get(result.key)
    manifest = result.manifest
    values: Values = {
        "key": result.key,
        "kind": manifest.kind,
        "labels": [ref.full_name for ref in labels],
        "commands": list(dict.fromkeys(ref.about.get("command", "") for ref in labels)),
        "folder": str(result.folder),
        "bytes": manifest.bytes,
        "outputs": manifest.output_digest,
        "files": {name: {"bytes": manifest.sizes[name], "sha256": digest}
                  for name, digest in sorted(manifest.files.items())},
        **{name: value for name, value in record.plain().items() if name != "needs"},
        "needs": {key: names.get(key) for key in record.needs},
        "used_by": _users(store, refs, result.key),
        "seconds": took.seconds if took else None,
        "memory": took.memory if took else None,
    }  # fmt: skip
    for file, name in _TOLD.items():
        if file in manifest.files:
            values[name] = read_json(result.folder / file, error=StoreError)
    used_by = tuple(map(str, values["used_by"] if isinstance(values["used_by"], list) else ()))
    return Shown(result=result, labels=labels, names=names, used_by=used_by, values=values)


def shown_lines(shown: Shown) -> Iterator[str]:
    """Tell everything about a result, block by block."""
    values, manifest = shown.values, shown.result.manifest
    yield from _block("", {
        "result": ", ".join(ref.full_name for ref in shown.labels) or "without a label",
        "kind": manifest.kind,
        "key": shown.result.key,
        "outputs": manifest.output_digest,
        "size": size(manifest.bytes),
        "took": duration(_number(values["seconds"])),
        "memory": size(int(_number(values["memory"]) or 0) or None),
        "folder": str(shown.result.folder),
        "made by": "; ".join(dict.fromkeys(ref.about.get("command", "") for ref in shown.labels)),
    })  # fmt: skip
    yield from _block("settings", _flat(values["settings"], shown.names))
    yield from _block("rests on", {
        "data": str(values["data_digest"]) or "none",
        "backbone": _joined(values["backbone"]),
        "precision": str(values["precision"]),
        **{name: value for name, value in _flat(values["fingerprints"], {}).items()},
        **{f"version of {name}": value for name, value in _flat(values["versions"], {}).items()},
    })  # fmt: skip
    needs = values["needs"]
    if isinstance(needs, dict) and needs:
        yield from _block(
            "needs", {key[:12]: str(name or "no label") for key, name in needs.items()}
        )
    if shown.used_by:
        yield from _block("used by", dict.fromkeys(shown.used_by, ""))
    yield from _results(values)
    yield from _block(
        "files", {name: size(bytes_) for name, bytes_ in sorted(manifest.sizes.items())}
    )


def _results(values: Values) -> Iterator[str]:
    """Tell what a training or a scoring says of itself."""
    training = values.get("training")
    if isinstance(training, dict):
        plain = {name: one for name, one in training.items() if name != "history"}
        yield from _block("training", {name: _text(one) for name, one in plain.items()})
        yield from _history(training.get("history"))
    scores = values.get("scores")
    if isinstance(scores, dict):
        told = {**scores.get("scores", {}), "examples": scores.get("n")}
        yield from _block("scores", {name: _text(one) for name, one in told.items()})
    loss = values.get("loss")
    if isinstance(loss, dict):
        yield from _block("masked-LM loss", {name: _text(one) for name, one in loss.items()})
    head = values.get("head")
    if isinstance(head, dict) and isinstance(head.get("labels"), list):
        yield from _block(
            "labels", {count(len(head["labels"])): ", ".join(map(str, head["labels"]))}
        )
        if head.get("non_linearity"):
            yield from _block("head", {"two layers": f"{head['non_linearity']} between"})


def _history(history: object) -> Iterator[str]:
    if not isinstance(history, list) or not history:
        return
    names = sorted({name for one in history for name in one} - {"epoch"})
    rows = [["epoch", *names]]
    for number, one in enumerate(history, start=1):
        rows.append([str(number), *(_text(one.get(name)) for name in names)])
    yield ""
    yield from table_lines(rows, right=range(len(rows[0])))


def _block(head: str, entries: Mapping[str, str]) -> Iterator[str]:
    if head:
        yield ""
        yield f"{head}:"
    rows = [[name, value] for name, value in entries.items() if name]
    indent = "  " if head else ""
    yield from (f"{indent}{line}" for line in (table_lines(rows) if rows else []))


def _flat(value: object, names: Mapping[str, str], path: str = "") -> dict[str, str]:
    """Give every setting that is set its dotted path; keys of results by their labels."""
    if not isinstance(value, Mapping):
        text = _text(value)
        return {path: names.get(text, text)} if value not in (None, [], {}) else {}
    flat: dict[str, str] = {}
    for key, one in value.items():
        flat |= _flat(one, names, f"{path}.{key}" if path else str(key))
    return flat


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()  # as recipes have it
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return "-" if value is None else str(value)


def _joined(value: object) -> str:
    return " ".join(_flat(value, {}).values())


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _users(store: Store, refs: list[Ref], key: str) -> list[str]:
    """Name the labels whose results need a key."""
    found = []
    for ref in refs:
        manifest = store.peek(ref.key)
        if manifest is not None and key in read_record(manifest).needs:
            found.append(ref.full_name)
    return found
