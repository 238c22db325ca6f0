"""Several labels a text, from files to a device's answer, and each label with its own adapter."""

import json
from pathlib import Path

import pytest

from tests.cli.projects import ON_TINY, STORE, well
from tests.cli.terminal import composer

PLACES = ("kitchen", "bedroom")
THINGS = ("lamp", "fan")
LONGER = (
    *("--set", "training.epochs=40", "--set", "training.learning_rate=1e-2"),
    *("--set", "training.threads=1", "--set", "training.batch_tokens=128"),
    *("--set", "training.dropout=false"),
)
TRAIN = ("train-task", "rooms", "--type", "multi-label-classification", *ON_TINY, *LONGER)

PER_LABEL = """\
composer: 1
name: home
backbone: {source: folder, path: tiny}
adapters: {thin: {kind: bottleneck, width: 4}}
data:
  lamp: {source: files, path: rooms.csv, label: lamp}
  kitchen: {source: files, path: rooms.csv, label: kitchen}
  all: {source: files, path: rooms.csv}
training: {epochs: 1, batch_tokens: 256, threads: 1}
leakage: {near: 1}
tasks:
  lamp: {type: text-classification, data: lamp, languages: [en], adapter: thin}
  kitchen: {type: text-classification, data: kitchen, languages: [en], adapter: thin}
  all: {type: multi-label-classification, data: all, languages: [en], adapter: thin}
compositions:
  fused: {expression: "fuse(lamp, kitchen)", train: {task: all}}
evaluations:
  both: {compositions: [lamp, kitchen, fused], languages: [en]}
"""


def labels_of(number: int) -> list[str]:
    """Give a sentence two labels, one or none."""
    return [name for at, name in enumerate(("kitchen", "lamp")) if number >> at & 1]


@pytest.fixture
def rooms(fresh: Path) -> Path:
    lines = ["text,label"]
    for number in range(80):
        place, thing = PLACES[not number & 1], THINGS[not number & 2]
        lines.append(f"turn on the {thing} in the {place} {number},{'|'.join(labels_of(number))}")
    (fresh / "rooms.csv").write_text("\n".join(lines) + "\n")
    return fresh


def test_several_labels_are_learnt_scored_and_predicted_on_a_device(rooms: Path):
    well(rooms, *TRAIN, "--data", "rooms.csv")
    texts = [f"turn on the {thing} in the {place} 3" for thing in THINGS for place in PLACES]
    found = well(rooms, "predict", "rooms", *texts, "--json").json
    assert [one["prediction"] for one in found] == [
        ["kitchen", "lamp"],
        ["lamp"],
        ["kitchen"],
        [],
    ]
    assert all(0.5 <= one["confidence"] <= 1 for one in found)
    rows = well(rooms, "predict", "rooms", *texts).rows
    assert [row[0] for row in rows[1:]] == ["kitchen, lamp", "lamp", "kitchen", "no labels"]

    well(rooms, "export", "rooms", "--to", "box", "--precision", "float32")
    on_device = well(rooms, "predict", "box", *texts, "--json").json
    assert [one["prediction"] for one in on_device] == [one["prediction"] for one in found]
    for one, other in zip(on_device, found, strict=True):
        assert one["confidence"] == pytest.approx(other["confidence"], abs=1e-4)

    (scored,) = well(rooms, "evaluate", "rooms", "--data", "rooms.csv", "--json").json
    assert set(scored["scores"]) == {"exact-match", "macro-f1", "micro-f1"}
    assert all(value > 0.9 for value in scored["scores"].values())
    (predictions,) = rooms.glob(f"{STORE}/objects/*/*/predictions.jsonl")
    first = json.loads(predictions.read_text().splitlines()[0])
    assert first["gold"] == first["predicted"] == []


def test_each_label_has_its_adapter_and_they_are_fused(rooms: Path):
    (rooms / "labels.yaml").write_text(PER_LABEL)
    scored = well(rooms, "run", "labels.yaml", "--json").json["scores"]
    assert {row["composition"]: set(row["scores"]) for row in scored} == {
        "lamp": {"accuracy", "macro-f1", "matthews"},
        "kitchen": {"accuracy", "macro-f1", "matthews"},
        "fused": {"micro-f1", "macro-f1", "exact-match"},
    }
    heads = [json.loads(path.read_text()) for path in rooms.glob(f"{STORE}/objects/*/*/head.json")]
    assert sorted(tuple(head["labels"]) for head in heads) == [
        *[("kitchen", "lamp")] * 2,  # one adapter for all, and the fusion
        *[("no", "yes")] * 2,
    ]


def test_rows_without_a_list_of_labels_are_told(rooms: Path):
    lines = ['{"text": "a", "label": ["x"]}', '{"text": "b", "label": 3}', '{"text": "c"}']
    (rooms / "bad.jsonl").write_text("\n".join(lines) + "\n")
    outcome = composer(rooms, *TRAIN, "--data", "bad.jsonl")
    assert outcome.status == 2
    told = outcome.err.splitlines()[-2:]
    assert told[0].startswith("bad.jsonl:2: 'label' must be a list of labels like")
    assert told[1] == "bad.jsonl:3: the labels are missing"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("{type: text-classification, data: lamp", "{type: regression, data: lamp",
         "tasks.lamp.type: 'lamp' is one label, yes or no; use 'text-classification'"),
        ("rooms.csv, label: lamp", "rooms.csv, label: lmp",
         "no example has the label 'lmp'; did you mean 'lamp'?"),
    ],
)  # fmt: skip
def test_a_label_that_cannot_be_learnt_alone_is_refused(
    rooms: Path, old: str, new: str, fault: str
):
    assert old in PER_LABEL
    (rooms / "labels.yaml").write_text(PER_LABEL.replace(old, new))
    outcome = composer(rooms, "run", "labels.yaml")
    assert outcome.status == 2
    assert fault in outcome.err
