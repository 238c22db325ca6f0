"""`why`, `status`, `show`, `diff`, and the plan as a graph; names that are wrong."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.cli.projects import RECIPE, STAGES, STORE, well
from tests.cli.terminal import composer, published

EDIT = ("--set", "adapters.wide.width=7")


def test_why_leads_from_a_bundle_to_the_edit_and_its_line(run_project: Path):
    lines = well(run_project, "why", "home.yaml", "bundle/home", *EDIT).out.splitlines()
    assert lines[0] == "bundle/home: stale, a run makes it anew"
    assert lines[2] == "bundle/home"
    assert "  task/intent: adapters.wide.width: 8 -> 7" in lines
    assert "  adapters.wide.width: 8 -> 7  (--set adapters.wide.width=7)" in lines
    assert "    of task/intent" in lines
    assert lines[-1] == "needed by: nothing"


def test_why_names_the_line_of_the_recipe(ran: Path):
    (ran / "home.yaml").write_text(RECIPE.replace("width: 8", "width: 7"))
    told = well(ran, "why", "home.yaml", "few-shot", "--json").json
    (root,) = told["roots"]
    assert root["place"] == "home.yaml:5:35"
    assert (root["what"], root["before"], root["after"]) == ("adapters.wide.width", "8", "7")
    assert root["stages"] == ["task/intent"]
    assert told["rests_on"] == ["task/intent", "task/domain"]
    assert "bundle/home" in told["needed_by"]


def test_why_says_once_that_a_stage_was_never_made(fresh: Path):
    lines = well(fresh, "why", "home.yaml", "few-shot").out.splitlines()
    assert lines[:4] == [
        "composition/few-shot: to be run",
        "  never made",
        "    of task/intent, task/domain, composition/few-shot",
        "",
    ]
    assert "\n".join(lines).count("never made") == 1


def test_why_of_what_is_done_says_so(run_project: Path):
    lines = well(run_project, "why", "home.yaml", "task/intent").out.splitlines()
    assert re.match(r"task/intent: done, its result is [0-9a-f]{12}; ", lines[0])
    assert lines[2] == "rests on: nothing"


def test_why_answers_a_wrong_name_with_the_nearest(fresh: Path):
    outcome = composer(fresh, "why", "home.yaml", "task/intnt")
    assert outcome.status == 2
    fault = "command line: no stage is named 'task/intnt'; did you mean 'task/intent'?\n"
    assert outcome.err == fault


def test_status_is_a_table_of_all_stages(run_project: Path, fresh: Path):
    head, *rows, last = well(run_project, "status", "home.yaml").out.splitlines()
    assert head.split() == ["stage", "state", "age"]
    assert [row.split()[:2] for row in rows] == [[name, "done"] for name in STAGES]
    assert last == f"{len(STAGES)} stages: {len(STAGES)} done"
    assert well(fresh, "status", "home.yaml").out.endswith(f"{len(STAGES)} to run\n")
    assert not (fresh / STORE).exists()


def test_status_as_json_is_complete(run_project: Path):
    told = well(run_project, "status", "home.yaml", "--json", *EDIT).json
    assert set(told) == {"recipe", "stages"}
    states = {one["stage"]: one["state"] for one in told["stages"]}
    assert states["task/domain"] == "done"
    assert states["task/intent"] == "stale"
    assert set(told["stages"][0]) == {"age", "key", "said", "stage", "state"}


def test_show_tells_everything_about_a_result(run_project: Path):
    lines = well(run_project, "show", "task/intent").out.splitlines()
    assert lines[0].split() == ["result", "home/task/intent"]
    text = "\n".join(lines)
    for part in (
        r"made by +composer run home\.yaml$",
        r"^  shape\.width +8$",
        r"^  training\.learning_rate +0\.005$",
        r"^  data +[0-9a-f]{64}$",
        r"^  version of torch +\d",
        r"^  home/composition/few-shot$",
        r"^  trainable_parameters +\d+$",
        r"^epoch +loss +score$",
        r"^  adapter\.safetensors +[\d.]+ kB$",
    ):
        assert re.search(part, text, re.MULTILINE), part


def test_show_finds_a_result_by_its_key_and_gives_the_same(run_project: Path):
    told = well(run_project, "show", "home/evaluation/all/few-shot/de", "--json").json
    assert set(told["needs"].values()) == {
        *("home/task/intent", "home/task/domain", "home/composition/few-shot")
    }
    assert told["scores"]["language"] == "de"
    assert told["used_by"] == ["home/bundle/home"]
    assert well(run_project, "show", told["key"][:10], "--json").json == told


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("few-shoot", "nothing in .composer is called 'few-shoot'; did you mean 'few-shot'?"),
        ("task/intnt", "nothing in .composer is called 'task/intnt'; did you mean 'task/intent'?"),
        ("00000000000", "nothing in .composer is called '00000000000'; "),
        ("en", "'en' may mean several things; say which: home/evaluation/all/"),
    ],
)
def test_show_answers_a_wrong_name_with_the_nearest(run_project: Path, name: str, fault: str):
    outcome = composer(run_project, "show", name)
    assert outcome.status == 2
    assert outcome.err.startswith(f"command line: {fault}")


def test_diff_tells_stage_by_stage_what_changed(ran: Path):
    shutil.copy(ran / "home.lock", ran / "before.lock")
    same = well(ran, "diff", "before.lock", "home.lock")
    assert same.out == f"{len(STAGES)} stages as before, 0 changed\n"
    lock = json.loads((ran / "home.lock").read_text())
    del lock["stages"]["bundle/home"]
    lock["stages"]["task/intent"]["key"] = "0" * 64
    (ran / "home.lock").write_text(json.dumps(lock, indent=2, sort_keys=True) + "\n")
    outcome = composer(ran, "diff", "before.lock", "home.lock")
    assert outcome.status == 1
    assert [row[:2] for row in outcome.rows[1:3]] == [
        ["bundle/home", "removed"],
        ["task/intent", "changed"],
    ]
    told = composer(ran, "diff", "before.lock", "home.lock", "--json")
    assert told.status == 1
    assert told.json["equal"] is False
    assert [one["how"] for one in told.json["stages"]] == ["removed", "changed"]


def test_diff_of_what_is_no_lock_file_says_so(run_project: Path):
    outcome = composer(run_project, "diff", "home.lock", "hme.lock")
    assert (outcome.status, outcome.err) == (
        2,
        "hme.lock: no such file; did you mean 'home.lock'?\n",
    )


def test_a_plan_can_be_a_graph(run_project: Path):
    lines = well(run_project, "plan", "home.yaml", "--format", "mermaid", *EDIT).out.splitlines()
    assert lines[0] == "flowchart LR"
    assert '  s0["task/intent<br>adapters.wide.width: 8 -#gt; 7"]:::stale' in lines
    assert "  s0 --> s2" in lines
    as_json = well(run_project, "plan", "home.yaml", "--format", "json", *EDIT).json
    assert as_json == well(run_project, "plan", "home.yaml", "--json", *EDIT).json


def test_looking_changes_nothing(ran: Path):
    before = published(ran / STORE)
    for command in (
        ("why", "home.yaml", "bundle/home", *EDIT),
        ("status", "home.yaml", *EDIT),
        ("show", "few-shot"),
        ("diff", "home.lock", "home.lock"),
        ("plan", "home.yaml", "--format", "mermaid"),
    ):
        well(ran, *command)
    assert published(ran / STORE) == before
