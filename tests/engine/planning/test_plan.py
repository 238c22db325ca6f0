import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import tokenizers

from composer.bundle.fingerprint import Fingerprints
from composer.engine.planning.machine import LIBRARIES, resolve_precision, versions
from composer.engine.planning.plan import Plan, make_plan
from composer.engine.planning.wanted import Wanted
from composer.engine.running.events import RunOptions
from composer.engine.running.run import run_stages
from composer.engine.storage.store import Store
from composer.engine.storage.timings import note_seconds
from composer.errors import BackboneError, DataError, RecipeError
from composer.model.version import ARITHMETIC
from tests.engine.fakes import FakeRunners, write_backbone

PlanOf = Callable[..., Plan]

ALL = [
    "language/en",
    "language/de",
    "task/intent",
    "task/domain",
    "composition/few-shot",
    "evaluation/far/few-shot/en",
    "evaluation/far/few-shot/de",
    "bundle/home",
]


def states(plan: Plan) -> dict[str, str]:
    return {one.stage.name: one.state for one in plan.stages}


def to_do(plan: Plan) -> set[str]:
    return {one.stage.name for one in plan.stages if one.state != "done"}


def reasons(plan: Plan) -> dict[str, tuple[str, ...]]:
    return {one.stage.name: tuple(map(str, one.reasons)) for one in plan.stages if one.reasons}


def run(plan: Plan, store: Store, runners: FakeRunners) -> None:
    run_stages(plan, store, RunOptions(runners=runners))


def test_at_first_everything_is_to_run_and_was_never_made(plan_of: PlanOf):
    plan = plan_of()
    assert [one.stage.name for one in plan.stages] == ALL
    assert {one.state for one in plan.stages} == {"run"}
    assert set(reasons(plan).values()) == {("never made",)}


def test_planning_writes_nothing(plan_of: PlanOf, store: Store):
    plan_of()
    assert not store.folder.exists()


def test_after_a_run_everything_is_done(plan_of: PlanOf, store: Store, runners: FakeRunners):
    run(plan_of(), store, runners)
    assert set(states(plan_of()).values()) == {"done"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        # Only labels, places and words: nothing is made again.
        ({"name: home": "name: house"}, set()),
        ({"training: {epochs: 1": "# a remark\ntraining: {epochs: 1"}, set()),
        ({"adapter: language}": "adapter: wide}", "  language: {kind": "  wide: {kind"}, set()),
        ({"evaluations:\n  far": "evaluations:\n  away"}, {"bundle/home"}),
        ({"members: [en, de]": "members: [de, en]"}, set()),
        # One thing, and what rests on it.
        ({"width: 2": "width: 3"}, {*ALL} - {"task/intent"}),
        ({"width: 4": "width: 3"}, {*ALL} - {"language/en", "language/de"}),
        (
            {
                "data: text, adapter: language": "data: text, adapter: language, "
                "training: {seed: 14}"
            },
            {*ALL} - {"task/intent"},
        ),
        (
            {"data: intent, languages: [en]": "data: intent, examples: 9, languages: [en]"},
            {*ALL[2:]} - {"task/domain"},
        ),
        ({"examples: 20": "examples: 21"}, {*ALL[4:]}),
        ({"languages: [en, de]}": "languages: [en]}"}, {"bundle/home"}),  # fewer scores in it
        ({"languages: [de]}": "languages: [en]}"}, {"bundle/home"}),
        ({"epochs: 1": "epochs: 2"}, {*ALL}),
        ({"epochs: 1": "epochs: 1, threads: 1"}, {*ALL}),
        ({"epochs: 1": "epochs: 1, checkpoint_steps: 7"}, set()),
    ],
)
def test_an_edit_makes_stale_what_it_decides_and_nothing_else(
    plan_of: PlanOf,
    store: Store,
    runners: FakeRunners,
    change: dict[str, str],
    expected: set[str],
):
    run(plan_of(), store, runners)
    after = plan_of(replaced=change)
    assert {one for one in to_do(after) if one in ALL} == expected


def test_each_stale_stage_says_which_setting_changed(
    plan_of: PlanOf, store: Store, runners: FakeRunners
):
    run(plan_of(), store, runners)
    after = plan_of(replaced={"width: 2": "width: 3"})
    assert states(after)["language/de"] == "stale"
    assert reasons(after) == {
        "language/en": ("adapters.language.width: 2 -> 3",),
        "language/de": ("adapters.language.width: 2 -> 3",),
        "task/domain": ("language/en is made anew",),
        "composition/few-shot": ("language/en is made anew", "task/domain is made anew"),
        "evaluation/far/few-shot/en": (
            "composition/few-shot is made anew",
            "language/en is made anew",
            "task/domain is made anew",
        ),
        "evaluation/far/few-shot/de": (
            "composition/few-shot is made anew",
            "language/de is made anew",
            "task/domain is made anew",
        ),
        "bundle/home": reasons(after)["bundle/home"],
    }
    assert "evaluation/far/few-shot/de is made anew" in reasons(after)["bundle/home"]


def test_a_need_that_is_exchanged_for_one_that_is_done_is_not_said_to_be_made_anew(
    plan_of: PlanOf, store: Store, runners: FakeRunners
):
    run(plan_of(), store, runners)
    after = plan_of(replaced={"languages: [de]}": "languages: [en]}"})
    assert reasons(after).keys() == {"bundle/home"}
    assert not [line for line in reasons(after)["bundle/home"] if "anew" in line]
    assert reasons(after)["bundle/home"] == (
        'bundles.home.compositions: ["few-shot:de"] -> ["few-shot:en"]',
        "language/de is not used any more",
        "language/en is used now",
    )


def test_changed_data_is_the_reason(
    plan_of: PlanOf, store: Store, runners: FakeRunners, folder: Path
):
    run(plan_of(), store, runners)
    (folder / "domain.csv").write_text("text,label\nlights on,a\nstop,b\n")
    after = plan_of()
    assert to_do(after) == {"task/domain", *ALL[4:]}
    (reason,) = reasons(after)["task/domain"]
    assert re.fullmatch(r"the content of data\.domain: [0-9a-f]{8} -> [0-9a-f]{8}", reason)


def test_data_that_was_moved_is_the_same_data(
    plan_of: PlanOf, store: Store, runners: FakeRunners, folder: Path
):
    run(plan_of(), store, runners)
    (folder / "domain.csv").rename(folder / "others.csv")
    assert not to_do(plan_of(replaced={"path: domain.csv": "path: others.csv"}))


def test_another_backbone_is_the_reason(
    plan_of: PlanOf, store: Store, runners: FakeRunners, folder: Path
):
    run(plan_of(), store, runners)
    write_backbone(folder / "other", seed=1)
    after = plan_of(replaced={"path: backbone": "path: other"})
    assert to_do(after) == {*ALL}
    assert [one.split(":")[0] for one in reasons(after)["task/intent"]] == [
        "the backbone's weights",
        "the backbone's vocabulary",
    ]


def test_another_version_of_the_arithmetic_is_the_reason(
    plan_of: PlanOf, store: Store, runners: FakeRunners, monkeypatch: pytest.MonkeyPatch
):
    run(plan_of(), store, runners)
    monkeypatch.setattr("composer.engine.planning.machine.ARITHMETIC", ARITHMETIC + 1)
    after = plan_of()
    assert to_do(after) == {*ALL}
    assert reasons(after)["task/intent"] == (
        f'version of composer\'s arithmetic: "{ARITHMETIC}" -> "{ARITHMETIC + 1}"',
    )


def test_a_result_that_is_gone_is_to_be_made_and_nothing_that_rests_on_it(
    plan_of: PlanOf, store: Store, runners: FakeRunners
):
    plan = plan_of()
    run(plan, store, runners)
    key = plan.stages[2].key or ""
    for path in sorted((store.folder / "objects" / key[:2] / key).rglob("*")):
        path.unlink()
    after = plan_of()
    assert to_do(after) == {"task/intent"}
    assert reasons(after) == {"task/intent": ("its result is gone from the store",)}


def test_a_damaged_manifest_is_the_reason(plan_of: PlanOf, store: Store, runners: FakeRunners):
    plan = plan_of()
    run(plan, store, runners)
    key = plan.stages[2].key or ""
    (store.folder / "objects" / key[:2] / key / "manifest.json").write_text("{}")
    after = plan_of()
    assert to_do(after) == {"task/intent"}
    assert "damaged" in reasons(after)["task/intent"][0]


def test_two_recipes_share_results(plan_of: PlanOf, store: Store, runners: FakeRunners):
    run(plan_of(), store, runners)
    after = plan_of(replaced={"name: home": "name: second"})
    assert set(states(after).values()) == {"done"}


def test_keys_do_not_depend_on_where_the_project_is(
    plan_of: PlanOf, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    before = [one.key for one in plan_of().stages]
    folder.rename(tmp_path / "moved")
    (tmp_path / "project").symlink_to(tmp_path / "moved")
    assert [one.key for one in plan_of().stages] == before


def test_parameters_and_sizes_are_estimated_then_counted(
    plan_of: PlanOf, store: Store, runners: FakeRunners
):
    before = {one.stage.name: one.cost for one in plan_of().stages}
    # Two layers, two sites each: 8 * 2 down, 2 * 8 up, 2 + 8 biases.
    assert before["language/en"].parameters == 4 * (8 * 2 + 2 * 8 + 2 + 8)
    assert before["language/en"].bytes == 4 * 4 * 42
    assert not before["task/intent"].has_head
    assert before["evaluation/far/few-shot/de"].parameters == 0
    run(plan_of(), store, runners)
    stale = {one.stage.name: one.cost for one in plan_of(replaced={"width: 4": "width: 5"}).stages}
    head = 2 * (8 + 1)  # the last result's two labels
    assert stale["task/intent"].has_head
    assert stale["task/intent"].parameters == 4 * (8 * 5 * 2 + 5 * 5 + 5 + 5 + 8) + head
    assert stale["language/en"].bytes == len("{}")


def test_the_last_time_of_a_label_is_expected(plan_of: PlanOf, store: Store, runners: FakeRunners):
    plan = plan_of()
    run(plan, store, runners)
    note_seconds(store, plan.stages[0].key or "", 93.06)
    assert plan_of().stages[0].cost.seconds == 93.1
    assert plan_of(replaced={"width: 2": "width: 3"}).stages[0].cost.seconds == 93.1


def test_a_torn_line_of_times_is_named_and_left_out(
    plan_of: PlanOf, store: Store, runners: FakeRunners, caplog: pytest.LogCaptureFixture
):
    run(plan_of(), store, runners)
    with (store.folder / "timings.jsonl").open("a") as file:
        file.write('{"key": "0a\n[1]\n{"key": 1, "seconds": 2}\n')
    assert plan_of().stages[0].cost.seconds is not None
    assert caplog.text.count("not a time") == 3


def test_all_missing_data_is_told_at_once(plan_of: PlanOf, folder: Path):
    (folder / "intent.csv").unlink()
    (folder / "text" / "de.txt").unlink()
    with pytest.raises(DataError) as caught:
        plan_of()
    assert "intent.csv" in str(caught.value)
    assert "de.txt" in str(caught.value)
    assert len(caught.value.faults) == 2


def test_what_does_not_fit_the_backbone_is_told_with_its_place(plan_of: PlanOf):
    with pytest.raises(RecipeError, match=r"home\.yaml:6:\d+: .*at most 8"):
        plan_of(replaced={"width: 4": "width: 9"})


def test_a_backbone_that_is_not_there_is_told(plan_of: PlanOf):
    with pytest.raises(BackboneError, match="backbone.path: .*nowhere is not a folder"):
        plan_of(replaced={"path: backbone": "path: nowhere"})


def test_a_backbone_that_is_not_fetched_leaves_keys_unknown(
    plan_of: PlanOf, store: Store, tmp_path: Path
):
    plan = plan_of(
        replaced={
            "{source: folder, path: backbone, precision: float32}": "{source: hub, "
            f"name: owner/name, revision: {'0a' * 20}}}"
        }
    )
    assert {one.key for one in plan.stages} == {None}
    assert set(reasons(plan).values()) == {("unknown until the backbone is fetched",)}


def test_stored_parts_demand_their_backbone(wanted: Wanted, store: Store, folder: Path):
    demanding = replace(wanted, fingerprints=Fingerprints("0" * 64, "1" * 64))
    with pytest.raises(BackboneError, match="trained on 000000000000"):
        make_plan(demanding, store)


def test_planning_imports_nothing_heavy(folder: Path):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from composer.engine.planning.plan import make_plan\n"
        "from composer.engine.storage.store import Store\n"
        "from composer.engine.planning.wanted import wanted_of\n"
        "from composer.recipe.reading.reader import read_recipe\n"
        f"folder = Path({str(folder)!r})\n"
        "make_plan(wanted_of(read_recipe(folder / 'home.yaml')), Store(folder / 's'))\n"
        "heavy = ('torch', 'datasets', 'transformers', 'adapters', 'sklearn', 'composer.train')\n"
        "print([name for name in sys.modules if name.startswith(heavy)])\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16\n", "bfloat16"),
        ("processor: 0\nflags : fpu amx_bf16 sse\nflags: sse\n", "bfloat16"),
        ("flags : fpu avx512f avx512_vnni\n", "float32"),
        ("Features : asimd bf16\n", "float32"),
        (None, "float32"),
    ],
)
def test_auto_is_bfloat16_where_the_processor_multiplies_it(
    tmp_path: Path, flags: str | None, expected: str
):
    path = tmp_path / "cpuinfo"
    if flags is not None:
        path.write_text(flags)
    assert resolve_precision("auto", cpu_flags=path) == expected
    assert resolve_precision("float32", cpu_flags=path) == "float32"


def test_versions_are_those_that_are_installed(monkeypatch: pytest.MonkeyPatch):
    found = versions()
    assert sorted(found) == sorted(["arithmetic", *LIBRARIES])
    assert found["tokenizers"] == tokenizers.__version__
    monkeypatch.setattr("composer.engine.planning.machine.LIBRARIES", ("no-such-library",))
    assert versions() == {"arithmetic": str(ARITHMETIC), "no-such-library": "not installed"}
