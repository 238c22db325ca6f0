"""`init` and `schema`: a recipe to begin with, and a grammar for editors."""

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.cli.projects import well
from tests.cli.terminal import composer

ON_TINY = ("--backbone", "folder:tiny", "--data", "train.csv", "--text", "utterance")
LABEL = ("--label", "intent")


def test_a_recipe_to_begin_with_passes_check_and_plans(fresh: Path):
    outcome = well(fresh, "init", "mine.yaml", *ON_TINY, *LABEL, "--task", "verb", "--name", "mine")
    assert outcome.out == "mine.yaml is written; see what it would do: composer plan mine.yaml\n"
    assert well(fresh, "check", "mine.yaml").out == "mine.yaml: no faults; 3 stages\n"
    planned = well(fresh, "plan", "mine.yaml", "--profile", "smoke", "--json").json
    assert [one["name"] for one in planned["stages"]] == [
        *("task/verb", "evaluation/all/verb/en", "bundle/device")
    ]
    text = (fresh / "mine.yaml").read_text()
    assert text.startswith("# mine: one task adapter")
    assert "composer schema > recipe.schema.json" in text


@pytest.mark.parametrize("type_", ["text-classification", "token-classification", "regression"])
@pytest.mark.parametrize("task", ["small", "examples", "null", "en-task"])
def test_whatever_is_asked_for_is_written_soundly(fresh: Path, type_: str, task: str):
    well(
        fresh,
        *("init", "a.yaml", *ON_TINY, "--task", task, "--type", type_, "--no-bundle"),
        *("--language", "en", "--language", "de", "--score", "fr"),
    )
    assert "2 stages" in well(fresh, "check", "a.yaml").out


def test_what_is_there_is_replaced_only_by_force(fresh: Path):
    before = (fresh / "home.yaml").read_bytes()
    outcome = composer(fresh, "init", "home.yaml", *ON_TINY, *LABEL)
    assert outcome.status == 2
    assert outcome.err.startswith("home.yaml: is there already; ")
    assert (fresh / "home.yaml").read_bytes() == before
    well(fresh, "init", "home.yaml", *ON_TINY, *LABEL, "--force")
    assert (fresh / "home.yaml").read_bytes() != before


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (("--data", "trian.csv"), "trian.csv: no such file; did you mean 'train.csv'?"),
        (("--backbone", "tiny"), "--backbone: 'tiny' is no backbone; write sample:NAME"),
        (("--backbone", "sample:e5"), "backbone.name: no sample backbone is called 'e5'"),
        (("--task", "2nd"), "tasks.2nd: must be a name"),
        (("--language", "english"), "must be a language tag"),
        (("--data", "../train.csv"), "leads out of the recipe's folder"),
    ],
)
def test_what_would_be_faulty_is_not_written(fresh: Path, options: tuple[str, ...], fault: str):
    before = sorted(fresh.iterdir())
    outcome = composer(fresh, "init", "mine.yaml", *ON_TINY, *LABEL, *options)
    assert outcome.status == 2
    assert fault in outcome.err
    assert ".part" not in outcome.err
    assert sorted(fresh.iterdir()) == before


@pytest.mark.parametrize("part", [(), ("--part",)])
def test_the_schema_is_printed(fresh: Path, part: tuple[str, ...]):
    schema = well(fresh, "schema", *part).json
    Draft202012Validator.check_schema(schema)
    assert ("required" in schema.get("else", {})) is not bool(part)
