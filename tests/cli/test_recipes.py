"""`check`, `plan` and `run` of a recipe: what they print, what they make, and what they reuse."""

import json
import re
from pathlib import Path

import pytest

from composer.bundle.reader import open_bundle
from tests.cli.projects import RECIPE, STAGES, STORE, well
from tests.cli.terminal import composer, published

NOTHING_MADE = f"{len(STAGES)} stages done before; nothing was made"

TEN_FAULTS = (
    ("composer: 1", "composer: 2", "composer: must be 1, not 2"),
    ("source: folder, path", "source: foldr, path", "did you mean 'folder'"),
    ("width: 8", "widht: 8", "unknown key; did you mean 'width'"),
    ("kind: madapter", "kind: madaptr", "did you mean 'madapter'"),
    ("epochs: 2,", "epochs: 0,", "training.epochs: must be at least 1, not 0"),
    ("threads: 1", "threads: two", "training.threads: must be a whole number, not 'two'"),
    ("data: domain,", "data: domian,", "did you mean 'domain'"),
    ("adapter: wide}", "adapter: wid}", "did you mean 'wide'"),
    ("fuse(intent, domain, none)", "fuse(intent, domane)", "did you mean 'domain'"),
    ("task: intent, examples: 30", "task: intend, examples: 30", "did you mean 'intent'"),
    ("[intent, few-shot, mean]", "[intent, few-shoot, mean]", "did you mean 'few-shot'"),
    ("languages: [en, de]", "languages: [en, german]", "must be a language tag"),
)


def rewrite(folder: Path, *changes: tuple[str, str]) -> None:
    text = RECIPE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    (folder / "home.yaml").write_text(text)


def states(folder: Path, *arguments: str) -> dict[str, str]:
    """Give the state of each stage in a plan."""
    planned = well(folder, "plan", "home.yaml", "--json", *arguments).json
    return {stage["name"]: stage["state"] for stage in planned["stages"]}


def reasons(folder: Path, *arguments: str) -> dict[str, list[str]]:
    planned = well(folder, "plan", "home.yaml", "--json", *arguments).json
    return {stage["name"]: stage["reasons"] for stage in planned["stages"]}


def test_a_sound_recipe_has_no_faults(fresh: Path):
    outcome = well(fresh, "check", "home.yaml")
    assert outcome.out == f"home.yaml: no faults; {len(STAGES)} stages\n"
    assert outcome.err == ""
    told = well(fresh, "check", "home.yaml", "--json").json
    assert told == {"recipe": "home", "stages": len(STAGES), "warnings": []}
    assert not (fresh / STORE).exists()


@pytest.mark.parametrize("command", ["check", "plan", "run"])
def test_ten_faults_are_told_at_once_each_with_its_place(fresh: Path, command: str):
    rewrite(fresh, *((old, new) for old, new, _ in TEN_FAULTS))
    outcome = composer(fresh, command, "home.yaml")
    assert outcome.status == 2
    assert outcome.out == ""
    lines = outcome.err.splitlines()
    assert all(re.match(r"home\.yaml:\d+:\d+: ", line) for line in lines)
    for _, _, fault in TEN_FAULTS:
        assert fault in outcome.err
    assert len({line.split(": ")[0] for line in lines}) >= len(TEN_FAULTS)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("--profile", "smok"), r"^--profile smok: no profile is named 'smok'; .* 'smoke'\?$"),
        (("--set", "adapters.wid.width=4"), r"there is no adapters\.wid; did you mean 'wide'\?$"),
        (("--set", "training.epoch=4"), r"training\.epoch: unknown key; did you mean 'epochs'\?$"),
    ],
)
@pytest.mark.parametrize("command", ["check", "plan", "run"])
def test_a_wrong_profile_or_change_is_named(
    fresh: Path, command: str, arguments: tuple[str, ...], fault: str
):
    outcome = composer(fresh, command, "home.yaml", *arguments)
    assert outcome.status == 2
    assert re.search(fault, outcome.err, re.MULTILINE), outcome.err


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("nothing.yaml", "nothing.yaml: cannot be read: No such file or directory"),
        ("train.csv", "train.csv:1:1: a recipe is a mapping"),
        ("tiny", "tiny: cannot be read: "),
    ],
)
def test_what_is_no_recipe_is_named(fresh: Path, name: str, fault: str):
    outcome = composer(fresh, "check", name)
    assert outcome.status == 2
    assert outcome.err.startswith(fault)


def test_data_that_is_missing_is_told_before_anything_is_made(fresh: Path):
    (fresh / "de.csv").unlink()
    outcome = composer(fresh, "run", "home.yaml")
    assert outcome.status == 2
    assert outcome.err == "de.csv: no such file; did you mean 'en.csv'?\n"
    assert not (fresh / STORE).exists()


def test_what_is_probably_not_meant_is_warned_of(fresh: Path):
    rewrite(fresh, ("fuse(intent, domain, none)", "fuse(domain, none)"))
    for command in ("check", "plan"):
        outcome = well(fresh, command, "home.yaml")
        assert re.match(r"warning: home\.yaml:16:17: .*intent's own adapter is not", outcome.err)
        (told,) = well(fresh, command, "home.yaml", "--json").json["warnings"]
        assert told["place"] == "home.yaml:16:17"


def test_a_plan_is_a_table_of_all_that_would_be_run(fresh: Path):
    outcome = well(fresh, "plan", "home.yaml")
    head, *rows, last = outcome.out.splitlines()
    columns = ["stage", "state", "parameters", "in", "all", "memory", "size", "time", "why"]
    assert head.split() == columns
    assert [row.split()[:2] for row in rows] == [[name, "run"] for name in STAGES]
    assert all(row.endswith("never made") for row in rows)
    assert {row.index("unknown  never made") for row in rows} == {head.index("   time  why")}
    assert re.fullmatch(r"10 stages, 10 to run; precision (float32|bfloat16)", last)
    assert not (fresh / STORE).exists()


@pytest.mark.parametrize("name", ["fresh", "run_project"])
def test_planning_twice_says_the_same(name: str, request: pytest.FixtureRequest):
    folder: Path = request.getfixturevalue(name)
    for form in ((), ("--json",)):
        first = well(folder, "plan", "home.yaml", *form)
        assert well(folder, "plan", "home.yaml", *form) == first


def test_a_plan_as_json_is_complete(fresh: Path):
    planned = well(fresh, "plan", "home.yaml", "--json").json
    keys = {"language_head", "precision", "recipe", "stages", "versions", "warnings"}
    assert set(planned) == keys
    assert [stage["name"] for stage in planned["stages"]] == STAGES
    for stage in planned["stages"]:
        assert set(stage) == {
            *("bytes", "changes", "key", "memory", "name", "needs", "reasons"),
            *("seconds", "seconds_from", "state", "total_parameters", "trainable_parameters"),
            "trained",
        }
        assert re.fullmatch("[0-9a-f]{64}", stage["key"])
        assert set(stage["needs"]) <= set(STAGES)


def test_a_run_makes_every_stage_and_ends_with_its_report(fresh: Path):
    outcome = well(fresh, "run", "home.yaml")
    for number, name in enumerate(STAGES, start=1):
        assert f"[{number}/10] {name}: started\n" in outcome.err
        assert re.search(rf"^\[{number}/10\] {name}: made in [\d.]+ s$", outcome.err, re.M)
    assert outcome.out.endswith("\n10 stages: 10 made now, 0 done before\n")
    parts = [part.splitlines()[0].split()[0] for part in outcome.out.split("\n\n")]
    assert parts == ["all:", "mean", "trained", "bundle/home", "10"]
    assert set(states(fresh).values()) == {"done"}


def test_a_warning_is_printed_once_a_run(fresh: Path):
    outcome = well(fresh, "run", "home.yaml")
    warnings = [line for line in outcome.err.splitlines() if line.startswith("warning: ")]
    assert warnings
    assert len(warnings) == len(set(warnings))


def test_a_run_again_makes_nothing_and_says_so(ran: Path):
    before = published(ran / STORE)
    lock = (ran / "home.lock").read_bytes()
    outcome = well(ran, "run", "home.yaml")
    lines = [f"[{number}/10] {name}: done before" for number, name in enumerate(STAGES, start=1)]
    assert outcome.err.splitlines() == lines
    assert outcome.out.splitlines()[-1] == NOTHING_MADE
    assert published(ran / STORE) == before
    assert (ran / "home.lock").read_bytes() == lock


def test_a_run_as_json_is_complete(ran: Path):
    told = well(ran, "run", "home.yaml", "--json").json
    assert set(told) == {
        *("bundles", "comparisons", "language_losses"),
        *("made", "recipe", "scores", "stages", "trained"),
    }
    planned = well(ran, "plan", "home.yaml", "--json").json["stages"]
    assert told["stages"] == {stage["name"]: stage["key"] for stage in planned}
    assert told["made"] == []
    scored = [(one["evaluation"], one["composition"], one["language"]) for one in told["scores"]]
    assert [f"evaluation/{'/'.join(one)}" for one in scored] == STAGES[3:9]
    assert list(told["trained"]) == sorted(STAGES[:3])
    assert list(told["bundles"]) == ["bundle/home"]


def test_the_lock_file_beside_the_recipe_says_what_was_made(ran: Path):
    lock = json.loads((ran / "home.lock").read_text())
    keys = well(ran, "run", "home.yaml", "--json").json["stages"]
    assert {name: stage["key"] for name, stage in lock["stages"].items()} == keys
    assert all(stage["outputs"] for stage in lock["stages"].values())
    assert str(ran) not in (ran / "home.lock").read_text()


def test_a_lock_file_may_lie_elsewhere(fresh: Path):
    well(fresh, "run", "home.yaml", "--only", "task/intent", "--lock", "other.lock")
    assert (fresh / "other.lock").exists()
    assert not (fresh / "home.lock").exists()


def test_an_edited_learning_rate_makes_stale_what_rests_on_it(ran: Path):
    rewrite(ran, ("learning_rate: 5e-3", "learning_rate: 1e-3"))
    assert set(states(ran).values()) == {"stale"}
    told = reasons(ran)
    assert told["task/intent"] == ["training.learning_rate: 0.005 -> 0.001"]
    assert told["composition/few-shot"] == [
        "task/intent is made anew",
        "task/domain is made anew",
        "training.learning_rate: 0.005 -> 0.001",
    ]
    assert told["evaluation/all/intent/de"] == ["task/intent is made anew"]
    assert set(told["bundle/home"]) == {
        f"{name} is made anew" for name in [*STAGES[:3], *STAGES[3:7]]
    }
    outcome = well(ran, "plan", "home.yaml")
    assert outcome.rows[1][-1] == "training.learning_rate: 0.005 -> 0.001"
    assert outcome.rows[-2][-1].endswith("; and 4 more")


def test_an_edit_of_one_task_leaves_the_other_done(ran: Path):
    found = states(ran, "--set", "tasks.domain.pooling=first")
    assert found["task/intent"] == found["evaluation/all/intent/en"] == "done"
    assert found["task/domain"] == found["composition/few-shot"] == "stale"


def test_what_a_comment_or_a_name_says_makes_nothing_stale(ran: Path):
    rewrite(ran, ("composer: 1", "# mine\ncomposer: 1"))
    assert set(states(ran).values()) == {"done"}


def test_changed_rows_make_stale_what_reads_them(ran: Path):
    with (ran / "de.csv").open("a") as file:
        file.write("turn up the light in the bedroom,up,light\n")
    stale = {name for name, state in states(ran).items() if state == "stale"}
    assert stale == {*(name for name in STAGES if name.endswith("/de")), "bundle/home"}
    (reason,) = reasons(ran)["evaluation/all/mean/de"]
    assert re.fullmatch(r"the content of data\.intent: [0-9a-f]{8} -> [0-9a-f]{8}", reason)


def test_only_some_stages_are_run_with_what_they_need(fresh: Path):
    outcome = well(fresh, "run", "home.yaml", "--only", "evaluation/all/few-shot", "--json")
    made = [*STAGES[:3], "evaluation/all/few-shot/en", "evaluation/all/few-shot/de"]
    assert outcome.json["made"] == made
    assert list(outcome.json["stages"]) == sorted(made)


def test_only_a_stage_that_is_not_there_is_named(fresh: Path):
    outcome = composer(fresh, "run", "home.yaml", "--only", "task/intnt")
    assert outcome.status == 2
    assert outcome.err == "--only: no stage is named 'task/intnt'; did you mean 'task/intent'?\n"


def test_what_was_scored_in_part_is_a_table_with_gaps(ran: Path):
    chosen = ("--only", "evaluation/all/intent/en", "--only", "evaluation/all/mean/de")
    lines = well(ran, "run", "home.yaml", *chosen).out.splitlines()
    assert lines[0].split() == ["all:", "accuracy", "en", "de*", "mean"]
    assert lines[1].split()[::2] == ["intent", "-"]
    assert lines[2].split()[:2] == ["mean", "-"]


def test_a_profile_is_run_beside_the_recipe_with_a_lock_of_its_own(ran: Path):
    assert set(states(ran, "--profile", "smoke").values()) == {"stale"}
    assert reasons(ran, "--profile", "smoke")["task/intent"] == ["training.epochs: 2 -> 1"]
    lock = (ran / "home.lock").read_bytes()
    well(ran, "run", "home.yaml", "--profile", "smoke")
    assert (ran / "home.smoke.lock").exists()
    assert (ran / "home.lock").read_bytes() == lock
    assert set(states(ran, "--profile", "smoke").values()) == {"done"}
    assert set(states(ran).values()) == {"done"}


def test_a_bundle_of_a_recipe_is_exported_and_predicts(ran: Path):
    outcome = well(ran, "export", "bundle/home", "--to", "box")
    assert outcome.err == ""
    assert outcome.out.endswith("box holds few-shot, intent; its self-test passed\n")
    manifest = open_bundle(ran / "box").manifest
    assert manifest.recipe["name"] == "home"
    assert {score.language for score in manifest.scores} == {"en", "de"}
    asked = ("turn on the lamp", "--composition", "few-shot", "--json")
    told = well(ran, "predict", "box", "--backbone", "folder:tiny", *asked).json
    for name in ("bundle/home", "home/home"):
        assert well(ran, "predict", name, *asked).json == told


def test_a_bundle_of_a_recipe_is_not_changed_by_a_command(ran: Path):
    changed = ("--set", "training.threads=1")
    outcome = composer(ran, "export", "bundle/home", "--to", "box", *changed)
    assert outcome.status == 2
    assert outcome.err.startswith("--set: home/bundle/home is made already; ")


def test_a_result_that_is_damaged_is_made_again(ran: Path):
    key = well(ran, "run", "home.yaml", "--json").json["stages"]["task/intent"]
    file = ran / STORE / "objects" / key[:2] / key / "adapter.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    outcome = well(ran, "run", "home.yaml", "--json")
    assert outcome.json["made"] == ["task/intent"]
    assert "warning: " in outcome.err
    assert file.read_bytes() == whole


def test_the_command_that_makes_a_result_again_is_kept_as_typed(ran: Path):
    well(ran, "run", "home.yaml", "--set", "training.seed=5", "--only", "task/intent")
    ref = json.loads((ran / STORE / "refs/home/task/intent.json").read_text())
    command = "composer run home.yaml --set training.seed=5 --only task/intent"
    assert ref["about"]["command"] == command


ATTACKS: dict[str, tuple[str, str, str]] = {
    "a tag": ("name: home", "name: !!python/object/apply:os.system [touch ran]", "a recipe has no"),
    "an alias bomb": (
        "name: home",
        "name: home\na: &a [1]\n" + "".join(f"k{i}: [{'*a, ' * 60}]\n" for i in range(2)),
        "more than 100 aliases",
    ),
    "a bidi override": ("name: home", "name: home # \u202e", "U+202E shows text in another order"),
    "an escape": ("name: home", r'name: "\UFFFFFFFF"', "is no character"),
    "a path": ('path: "$language.csv"', "path: ../own.csv", "leads out of the recipe's folder"),
    "a backbone": ("path: tiny", "path: /etc", "backbone.path: '/etc' leads out of the recipe's"),
    "a composition": ("fuse(intent, domain, none)", "(" * 9000, "nested deeper than 20"),
    "a number": ("epochs: 2", "epochs: " + "9" * 10_000, "it has more than 40 characters"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_recipe_of_a_strangers_is_refused_with_its_places(fresh: Path, name: str):
    old, new, fault = ATTACKS[name]
    rewrite(fresh, (old, new))
    before = sorted(fresh.iterdir())
    for command in ("check", "run"):
        outcome = composer(fresh, command, "home.yaml")
        assert (outcome.status, outcome.out) == (2, "")
        assert fault in outcome.err
        assert all(re.match(r"home\.yaml:\d+:\d+: ", line) for line in outcome.err.splitlines())
    assert sorted(fresh.iterdir()) == before


def test_a_profile_leads_no_further_than_the_recipe(fresh: Path):
    rewrite(fresh, ("smoke: {", "smoke: {data: {intent: {path: ../own.csv}}, "))
    for arguments in ((), ("--profile", "smoke")):
        outcome = composer(fresh, "check", "home.yaml", *arguments)
        assert outcome.status == 2
        assert "data.intent.path: '../own.csv' leads out of the recipe's folder" in outcome.err
