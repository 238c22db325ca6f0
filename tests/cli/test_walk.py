"""A stranger's walk: own files, two tasks, their fusion, its scores, a bundle, predictions."""

import json
from pathlib import Path

import pytest

from composer.bundle.reader import open_bundle
from tests.cli.projects import COLUMNS, COMMANDS, ON_TINY, STORE, TEST_ROWS, well
from tests.cli.terminal import composer, published

TEXTS = ("turn on the lamp in the kitchen", "turn off the light")
TEST = ("--data", "test.csv", *COLUMNS)


def test_training_says_what_it_did_and_on_what(fresh: Path):
    outcome = well(fresh, *COMMANDS["intent"])
    first, second = outcome.out.splitlines()
    assert first == "task/intent: 747 trainable parameters"
    assert " on 67 examples; validation accuracy " in second
    assert "[1/1] task/intent: started" in outcome.err
    assert "[1/1] task/intent: made in " in outcome.err
    assert "warning: the validation split held out of 90 examples has 13" in outcome.err


@pytest.mark.parametrize("name", COMMANDS)
def test_the_same_command_again_trains_nothing(project: Path, name: str):
    before = published(project / STORE)
    times = (project / STORE / "timings.jsonl").read_bytes()
    outcome = well(project, *COMMANDS[name])
    assert "(done before): " in outcome.out
    assert ": done before" in outcome.err
    assert "started" not in outcome.err
    assert published(project / STORE) == before
    assert (project / STORE / "timings.jsonl").read_bytes() == times


@pytest.mark.parametrize("name", COMMANDS)
def test_training_is_told_as_json_with_its_key(project: Path, name: str):
    told = well(project, *COMMANDS[name], "--json").json
    assert told["name"].rpartition("/")[2] == name
    folder = project / STORE / "objects" / told["key"][:2] / told["key"]
    stored = json.loads((folder / "training.json").read_text())
    assert {**stored, "key": told["key"], "name": told["name"]} == told


def test_a_width_that_is_set_is_the_width_trained(project: Path):
    key = well(project, *COMMANDS["domain"], "--json").json["key"]
    about = project / STORE / "objects" / key[:2] / key / "adapter.json"
    assert json.loads(about.read_text())["shape"]["width"] == 4


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_file_that_is_given_is_scored_whole(project: Path, split: str):
    (found,) = well(project, "evaluate", "few", *TEST, "--split", split, "--json").json
    assert found["n"] == TEST_ROWS
    assert found["split"] == split


def test_scores_are_a_table_a_row_a_language(project: Path):
    rows = well(project, "evaluate", "few", *TEST, "--language", "en", "--language", "de").rows
    head, en, de, nothing, shares, *_ = rows
    assert [cell.strip() for cell in head] == ["language", "accuracy", "macro-f1", "matthews", "n"]
    assert [en[0], de[0]] == ["en", "de"]
    assert en[-1].strip() == str(TEST_ROWS)
    assert en[1:] == de[1:]
    assert not nothing
    assert shares == ["mean fusion weights", "language", "members"]


def test_scores_as_json_hold_what_the_fusion_listened_to(project: Path):
    (found,) = well(project, "evaluate", "few", *TEST, "--json").json
    assert set(found["scores"]) == {"accuracy", "macro-f1", "matthews"}
    assert found["members"] == [["intent", "domain"]]
    (shares,) = found["shares"]
    assert sum(shares["mean"]) == pytest.approx(1, abs=1e-5)


def test_without_data_the_held_out_share_is_scored(project: Path):
    outcome = well(project, "evaluate", "intent", "--json")
    (found,) = outcome.json
    assert (found["n"], found["language"]) == (10, "en")
    assert "the test split held out of 90 examples has 10" in outcome.err


def test_scoring_again_scores_nothing(project: Path):
    first = well(project, "evaluate", "few", *TEST)
    again = well(project, "evaluate", "few", *TEST)
    assert "made in" in first.err
    assert again.err == "[1/1] evaluation/command/few/en: done before\n"
    assert again.out == first.out


def test_what_is_learnt_predicts_better_than_chance(project: Path):
    well(project, *COMMANDS["intent"], "--set", "training.epochs=25")
    (found,) = well(project, "evaluate", "intent", *TEST, "--json").json
    assert found["scores"]["accuracy"] > 0.6


def test_a_bundle_is_exported_as_a_folder_and_as_a_zip(project: Path):
    folder = well(project, "export", "few", "--to", "box/")
    zipped = well(project, "export", "few", "--to", "few.zip")
    assert "[1/1] bundle/export: done before" in zipped.err
    assert folder.rows[0] == ["part", "kind", " size"]
    assert folder.out.splitlines()[:-1] == zipped.out.splitlines()[:-1]
    assert zipped.out.endswith("few.zip holds few; its self-test passed\n")
    one, other = open_bundle(project / "box"), open_bundle(project / "few.zip")
    assert one.manifest == other.manifest
    assert set(one.manifest.parts) == {"intent", "domain", "few", "few.head"}


def test_an_export_as_json_lists_every_file_with_its_bytes(project: Path):
    told = well(project, "export", "few", "intent", "--to", "box", "--json").json
    assert told["compositions"] == ["few", "intent"]
    sizes = [path.stat().st_size for path in (project / "box").rglob("*") if path.is_file()]
    assert sum(file["bytes"] for file in told["files"].values()) == sum(sizes)
    assert told["digest"] == open_bundle(project / "box").manifest.digest


def test_scores_in_the_store_go_into_the_bundle(project: Path):
    well(project, "evaluate", "few", *TEST)
    well(project, "export", "few", "--to", "box")
    scores = open_bundle(project / "box").manifest.scores
    assert {score.score for score in scores} == {"accuracy", "macro-f1", "matthews"}
    assert {score.n for score in scores} == {TEST_ROWS}


def test_folder_zip_and_store_predict_the_same(project: Path):
    well(project, "export", "few", "--to", "box")
    well(project, "export", "few", "--to", "few.zip")
    found = [
        well(project, "predict", source, *where, *TEXTS, "--json").json
        for source, where in [("box", ON_TINY), ("few.zip", ON_TINY), ("few", ())]
    ]
    assert found[0] == found[1] == found[2]
    assert [one["text"] for one in found[0]] == list(TEXTS)
    assert all(one["prediction"] in ("on", "off", "up") for one in found[0])
    assert all(1 / 3 <= one["confidence"] <= 1 for one in found[0])


def test_predictions_are_those_that_were_scored(project: Path):
    well(project, "evaluate", "intent", *TEST)
    ref = json.loads(
        (project / STORE / "refs/command-line/evaluation/command/intent/en.json").read_text()
    )
    lines = project / STORE / "objects" / ref["key"][:2] / ref["key"] / "predictions.jsonl"
    scored = [json.loads(line) for line in lines.read_text().splitlines()]
    texts = "\n".join(one["text"] for one in scored)
    told = well(project, "predict", "intent", "--json", stdin=texts.encode()).json
    assert [one["prediction"] for one in told] == [one["predicted"] for one in scored]


def test_texts_come_from_standard_input_a_line_each(project: Path):
    lines = "\ufeffturn it on\r\nschalte die küche 灯 ein\n".encode()
    rows = well(project, "predict", "intent", stdin=lines).rows
    assert [row[-1] for row in rows] == ["text", "turn it on", "schalte die küche 灯 ein"]


def test_one_composition_of_several_is_asked_for_by_name_or_expression(project: Path):
    well(project, "export", "few", "intent", "--to", "box")
    asked = [
        well(project, "predict", "box", *ON_TINY, TEXTS[0], "--json", "--composition", name).json
        for name in ("few", "fuse(intent, domain)", "intent")
    ]
    assert asked[0] == asked[1] != asked[2]


@pytest.mark.parametrize(
    "how", [("--how", "average"), ("--how", "gate", "--train-norm"), ("--how", "fuse", "none")]
)
def test_every_way_to_compose_ends_in_predictions(project: Path, how: tuple[str, ...]):
    few = ("--examples", "30", "--set", "training.epochs=1", "--set", "training.threads=1")
    well(project, "fuse", "intent", "domain", *how, "--task", "intent", "--name", "mix", *few)
    assert len(well(project, "predict", "mix", *TEXTS, "--json").json) == 2


def test_a_fusion_without_the_targets_own_adapter_is_warned_of(project: Path):
    outcome = well(
        project, "fuse", "domain", "none", "--task", "intent", "--name", "bare",
        "--set", "training.epochs=1", "--set", "training.threads=1",
    )  # fmt: skip
    assert "warning: intent itself is not fused" in outcome.err


def test_results_are_found_from_another_folder_by_the_store(project: Path, tmp_path: Path):
    away = tmp_path / "away"
    away.mkdir()
    outcome = composer(away, "predict", "intent", "--store", project / STORE, TEXTS[0], "--json")
    assert outcome.status == 0, outcome.err
    assert len(outcome.json) == 1
