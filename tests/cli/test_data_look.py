"""`composer debug-data`: tables and warnings, and a status that tells faults."""

import json
from pathlib import Path

import pytest

from tests.cli.projects import ROOMS, THINGS, well
from tests.cli.terminal import composer
from tests.test_layers import HEAVY, loaded_by

SLOTS = """\
composer: 1
name: slots
backbone: {source: folder, path: tiny}
adapters: {task: {kind: bottleneck, width: 4}}
data: {slots: {source: files, path: slots.jsonl}, text: {source: files, path: "$language.txt"}}
languages: {members: [en, ru], data: text, adapter: task}
tasks: {slots: {type: token-classification, data: slots, languages: [en], adapter: task}}
"""


def add(file: Path, *lines: str) -> None:
    file.write_text(
        file.read_text(encoding="utf-8") + "".join(f"{one}\n" for one in lines), "utf-8"
    )


def test_tables_tell_counts_lengths_and_labels(fresh: Path):
    outcome = well(fresh, "debug-data", "home.yaml", "--task", "intent")
    rows = [row.split() for row in outcome.out.splitlines()]
    assert rows[0] == ["task/intent:", "text-classification,", "data", "intent"]
    whole = sum(int(row[2]) for row in rows if row[:2] in (["train", "en"], ["validation", "en"],
                                                          ["test", "en"]))  # fmt: skip
    assert whole == 90
    counts = {
        row[0]: sum(map(int, row[1:4])) for row in rows if row[:1] in (["on"], ["off"], ["up"])
    }
    de = next(int(row[2]) for row in rows if row[:2] == ["test", "de"])
    assert sum(counts.values()) == 90 + de


def test_json_holds_all_of_it(fresh: Path):
    found = well(fresh, "debug-data", "home.yaml", "--json").json
    assert found["max_tokens"] == 64
    assert [one["name"] for one in found["data"]] == ["task/intent", "task/domain"]
    intent = found["data"][0]
    (train,) = [one for one in intent["parts"] if one["split"] == "train"]
    assert train["lengths"]["longest"] >= train["lengths"]["median"] > 5
    assert sum(splits.get("train", 0) for splits in intent["labels"].values()) == train["n"]
    assert {one["place"] for one in intent["warnings"]} >= {"data.intent (en, test)"}


def test_what_is_odd_is_warned_of_and_ends_well(fresh: Path):
    add(fresh / "en.csv", "Turn UP it all,Up,lamp", "включи лампу на кухне,on,lamp")
    outcome = well(fresh, "debug-data", "home.yaml", "--task", "intent")
    assert "warning: data.intent: the labels 'Up' (1) and 'up' (" in outcome.err
    assert "in another script than LATIN (CYRILLIC): en.csv:93" in outcome.err
    assert "learnt as several" in outcome.err
    assert outcome.err.count("'Up' and 'up' differ") == 0


def test_what_a_run_refuses_is_a_fault_with_its_row(fresh: Path):
    add(fresh / "en.csv", ",on,lamp", "lamp,,lamp")
    outcome = composer(fresh, "debug-data", "home.yaml", "--task", "intent")
    assert outcome.status == 2
    assert "en.csv:92: the text is empty\n" in outcome.err
    assert "en.csv:93: the label is missing\n" in outcome.err
    assert "test   de" in outcome.out  # what can be read is shown


def test_texts_that_are_too_long_are_a_fault_until_they_are_cut(fresh: Path):
    add(fresh / "en.csv", f"{'lamp ' * 100},on,lamp")
    outcome = composer(fresh, "debug-data", "home.yaml", "--task", "intent")
    assert outcome.status == 2
    assert "longer than the 64 tokens that the backbone takes, up to 102" in outcome.err
    cut = ("--task", "intent", "--set", "data.intent.truncate=true")
    assert "are cut" not in outcome.err
    assert "are cut, 38 tokens in all" in well(fresh, "debug-data", "home.yaml", *cut).err


def test_spans_and_the_text_of_languages_are_looked_through(fresh: Path):
    lines = []
    for number in range(40):
        room, thing = ROOMS[number % 3], THINGS[number % 2]
        text = f"turn on the {thing} in the {room} number {number}"
        start = text.index(thing)
        spans = [{"start": start, "end": start + len(thing), "label": "name"}] if number else []
        lines.append(json.dumps({"text": text, "spans": spans}))
    (fresh / "slots.jsonl").write_text("\n".join(lines))
    (fresh / "en.txt").write_text("".join(f"turn on lamp {n}\n" for n in range(60)))
    (fresh / "ru.txt").write_text("".join(f"turn on lamp {n}\n" for n in range(60)))
    (fresh / "slots.yaml").write_text(SLOTS)
    outcome = well(fresh, "debug-data", "slots.yaml")
    rows = [row.split() for row in outcome.out.splitlines()]
    assert sum(int(row[-1]) for row in rows if row[1:2] == ["en"] and len(row) == 9) == 1
    assert "in another script than CYRILLIC (LATIN)" in outcome.err
    assert "of three words or more stand in en as well" in outcome.err
    assert well(fresh, "debug-data", "slots.yaml", "--task", "slots", "--json").json["data"][0][
        "labels"
    ]["name"]


def test_without_a_backbone_there_are_no_lengths_and_the_rest_is_told(fresh: Path):
    text = (
        (fresh / "home.yaml")
        .read_text()
        .replace(
            "{source: folder, path: tiny}", "{source: hub, name: a/b, revision: " + 20 * "0f" + "}"
        )
    )
    (fresh / "home.yaml").write_text(text)
    outcome = well(fresh, "debug-data", "home.yaml", "--task", "intent")
    assert "lengths in tokens are unknown: the backbone is not fetched yet" in outcome.out
    assert "train       en              67" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("home.yaml", "--task", "intnt"), "--task: no task is called 'intnt'; did you mean"),
        (("none.yaml",), "none.yaml"),
    ],
)
def test_what_is_not_there_is_refused(fresh: Path, arguments: tuple[str, ...], fault: str):
    outcome = composer(fresh, "debug-data", *arguments)
    assert outcome.status == 2
    assert fault in outcome.err


def test_it_does_not_import_torch(fresh: Path):
    code = "import sys; from composer.cli.main import group\n"
    code += "group.main(sys.argv[1:], standalone_mode=False)"
    assert loaded_by(code, "debug-data", str(fresh / "home.yaml")).isdisjoint(HEAVY)
