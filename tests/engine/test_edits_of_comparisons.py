"""What an edit of a comparison makes anew, and the reason that is told, as `test_edits` has it."""

from pathlib import Path

import pytest

from composer.engine.planning.plan import Plan, make_plan
from composer.engine.planning.wanted import wanted_of
from composer.engine.running.events import RunOptions
from composer.engine.running.run import run_stages
from composer.engine.storage.store import Store
from composer.recipe.grammar.schema import Methods
from composer.recipe.grammar.training import Grid
from composer.recipe.reading.reader import read_recipe
from tests.engine.fakes import FakeRunners, write_backbone

RECIPE = """\
composer: 1
name: home
backbone: {source: folder, path: backbone, precision: float32}
adapters:
  thin: {kind: bottleneck, width: 2}
  deep: {kind: madapter, width: 2}
data:
  intent: {source: files, path: intent.csv}
  domain: {source: files, path: domain.csv}
training: {epochs: 1, learning_rate: 1.0e-3}
tasks:
  intent: {type: text-classification, data: intent, languages: [en]}
  domain: {type: text-classification, data: domain, languages: [en]}
compare:
  main:
    adapters: [thin]
    tasks: [intent]
    seeds: [1, 2]
    grid: {learning_rate: [0.1, 0.2]}
"""
TRIALS = {f"trial/main/thin/intent/learning_rate={rate}" for rate in (0.1, 0.2)}
CHOICE, REPEAT = "choice/main/thin/intent", "repeat/main/thin/intent/2"
SCORES = {f"evaluation/main/thin/intent/{seed}/en" for seed in (1, 2)}
TRAINED = {*TRIALS, REPEAT}
ALL = {*TRAINED, CHOICE, *SCORES}


def cell(adapter: str, task: str) -> set[str]:
    return {name.replace("thin/intent", f"{adapter}/{task}") for name in ALL}


def trained(reason: str) -> dict[str, str]:
    return dict.fromkeys(TRAINED, reason)


EDITS: list[tuple[str, str, set[str], dict[str, str]]] = [
    # key of the grammar, --set, what is to be made anew, a reason of some of it
    ("adapters", "compare.main.adapters=[thin, deep]", cell("deep", "intent"),
     {"choice/main/deep/intent": "never made"}),
    ("tasks", "compare.main.tasks=[intent, domain]", cell("thin", "domain"),
     {"choice/main/thin/domain": "never made"}),
    ("seeds", "compare.main.seeds=[1, 3]",
     {"repeat/main/thin/intent/3", "evaluation/main/thin/intent/3/en"},
     {"repeat/main/thin/intent/3": "never made"}),
    ("seeds", "compare.main.seeds=[7, 2]",
     {*TRIALS, CHOICE, REPEAT, *SCORES, "evaluation/main/thin/intent/7/en"}
     - {"evaluation/main/thin/intent/1/en"},
     dict.fromkeys(TRIALS, "compare.main.seeds: 1 -> 7")),
    ("grid", "compare.main.grid.learning_rate=[0.1, 0.2, 0.3]",
     {"trial/main/thin/intent/learning_rate=0.3", CHOICE, REPEAT, *SCORES},
     {CHOICE: "compare.main.grid: ", REPEAT: f"{CHOICE} is made anew"}),
    ("grid", "compare.main.grid.learning_rate=[0.2, 0.1]", {CHOICE, REPEAT, *SCORES},
     {CHOICE: "compare.main.grid: ",
      REPEAT: "compare.main.grid.learning_rate: 0.1 -> 0.2"}),
    ("training", "compare.main.training.clip=2.0", ALL,
     trained("compare.main.training.clip: 1.0 -> 2.0")),
    ("training", "training.clip=2.0", ALL, trained("training.clip: 1.0 -> 2.0")),
    ("training", "tasks.intent.training.clip=2.0", ALL,
     trained("tasks.intent.training.clip: 1.0 -> 2.0")),
    ("training", "training.batch_examples=4", ALL, trained("training.batch_examples: absent -> 4")),
    ("adapters", "adapters.thin.width=3", ALL, trained("adapters.thin.width: 2 -> 3")),
    ("tasks", "tasks.intent.score=macro-f1", ALL,
     {**trained('tasks.intent.score: "accuracy" -> "macro-f1"'),
      CHOICE: 'tasks.intent.score: "accuracy" -> "macro-f1"'}),
    ("tasks", "tasks.intent.data=domain", ALL, trained("the content of data.domain: ")),
    ("tasks", "tasks.intent.adapter=deep", {"task/intent"}, {"task/intent": "never made"}),
    ("languages", "compare.main.languages=[en, de]",
     {f"evaluation/main/thin/intent/{seed}/de" for seed in (1, 2)},
     {"evaluation/main/thin/intent/2/de": "never made"}),
    ("split", "compare.main.split=validation", SCORES,
     dict.fromkeys(SCORES, 'compare.main.split: "test" -> "validation"')),
]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose comparison was run; not to be changed."""
    folder = tmp_path_factory.mktemp("compared") / "project"
    write_backbone(folder / "backbone")
    for task in ("intent", "domain"):
        (folder / f"{task}.csv").write_text(f"text,label\nlights on,{task}\nstop,other\n")
    run_stages(plan_in(folder), Store(folder / "store"), RunOptions(runners=FakeRunners()))
    return folder


def plan_in(folder: Path, *changes: str, text: str = RECIPE) -> Plan:
    recipe = folder / "home.yaml"
    recipe.write_text(text)
    loaded = read_recipe(recipe, changes=changes)
    return make_plan(wanted_of(loaded), Store(folder / "store"))


def anew(plan: Plan) -> set[str]:
    return {one.stage.name for one in plan.stages if one.state != "done"}


@pytest.mark.parametrize(
    ("key", "change", "expected", "reasons"), EDITS, ids=[change for _, change, *_ in EDITS]
)
def test_an_edit_makes_anew_what_rests_on_it_and_nothing_else(
    made: Path, key: str, change: str, expected: set[str], reasons: dict[str, str]
):
    after = plan_in(made, change)
    assert anew(after) == expected
    for stage, reason in reasons.items():
        found = [str(one) for one in after.by_name[stage].reasons]
        assert any(one.startswith(reason) for one in found), found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  main:", "  other:"),
        ("  thin: {", "  slim: {"),
        ("seeds: [1, 2]", "seeds: [1]"),
        ("grid: {learning_rate: [0.1, 0.2]}", "grid: {learning_rate: [0.1, 0.20]}"),
    ],
)
def test_what_only_has_another_name_or_is_left_out_is_not_trained_again(
    made: Path, old: str, new: str
):
    text = RECIPE.replace(old, new).replace("[thin]", "[slim]" if "slim" in new else "[thin]")
    assert text != RECIPE
    assert anew(plan_in(made, text=text)) == set()


def test_every_key_of_a_comparison_is_in_the_table():
    assert {key for key, *_ in EDITS} == Methods.model_fields.keys()
    assert Grid.model_fields.keys() >= {"learning_rate"}
