"""The stages that a `compare` block stands for, what they train with, and what is refused."""

from pathlib import Path

import pytest

from composer.recipe.expansion.comparing import cells, points_of
from composer.recipe.expansion.expand import expand
from composer.recipe.expansion.keys import stage_key, stage_settings
from composer.recipe.expansion.stages import Choose, Evaluate, Stage, TrainTask
from composer.recipe.grammar.schema import Recipe
from composer.recipe.grammar.training import Grid
from tests.recipe.recipes import faults_of, load

RECIPE = """\
composer: 1
name: home
backbone: {source: sample, name: multilingual-e5-small, precision: float32}
adapters:
  thin: {kind: bottleneck, width: 4}
  deep: {kind: madapter, width: 4, train_norm: true}
  language: {kind: bottleneck, width: 2}
data:
  text: {source: sample, name: assistant/text}
  intent: {source: sample, name: assistant/intent}
languages: {members: [en, de], data: text, adapter: language}
training: {epochs: 8, learning_rate: 1e-3, threads: 1, weight_decay: 0.5}
tasks:
  intent: {type: text-classification, data: intent, languages: [en], training: {clip: 2.0}}
  far: {type: text-classification, data: intent, languages: [en, de], over: $language}
compare:
  main:
    adapters: [thin, deep]
    tasks: [intent]
    seeds: [5, 6, 7]
    grid: {learning_rate: [1e-3, 1e-2], batch_examples: [4, 8]}
    training: {epochs: 2, weight_decay: 0.25}
"""
POINTS = [
    "batch_examples=4,learning_rate=0.001",
    "batch_examples=4,learning_rate=0.01",
    "batch_examples=8,learning_rate=0.001",
    "batch_examples=8,learning_rate=0.01",
]


def recipe_with(folder: Path, *changes: tuple[str, str]) -> Recipe:
    text = RECIPE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return load(folder, text).recipe


def stages_with(folder: Path, *changes: tuple[str, str]) -> dict[str, Stage]:
    return {one.name: one for one in expand(recipe_with(folder, *changes))}


def task_at(stages: dict[str, Stage], name: str) -> TrainTask:
    stage = stages[name]
    assert isinstance(stage, TrainTask)
    return stage


def key_in(stages: dict[str, Stage], name: str, digest: str = "d") -> str:
    """Give the key of a stage, with those of all that it needs."""
    return stage_key(
        stages[name],
        needs={need: key_in(stages, need, digest) for need in stages[name].needs},
        data_digest=digest,
        backbone={"body": "b", "vocabulary": "v"},
        precision="float32",
        versions={},
    )


def test_a_comparison_is_trials_a_choice_repeats_and_scores(tmp_path: Path):
    stages = [name for name in stages_with(tmp_path) if "/main/thin/" in name]
    assert stages == [
        *(f"trial/main/thin/intent/{point}" for point in POINTS),
        "choice/main/thin/intent",
        "repeat/main/thin/intent/6",
        "repeat/main/thin/intent/7",
        *(f"evaluation/main/thin/intent/{seed}/en" for seed in (5, 6, 7)),
    ]


def test_every_cell_names_the_stages_that_there_are(tmp_path: Path):
    recipe = recipe_with(tmp_path)
    named = [name for cell in cells(recipe) for name in cell.stages]
    assert named == [one.name for one in expand(recipe) if "/main/" in one.name]


def test_needs_stand_before_what_needs_them(tmp_path: Path):
    seen: set[str] = set()
    for name, stage in stages_with(tmp_path, ("[intent]", "[intent, far]")).items():
        assert set(stage.needs) <= seen
        seen.add(name)


def test_a_trial_trains_with_the_point_over_the_comparison_over_the_task_over_the_recipe(
    tmp_path: Path,
):
    trial = task_at(stages_with(tmp_path), f"trial/main/deep/intent/{POINTS[3]}")
    training = trial.training
    assert (training.learning_rate, training.batch_examples) == (0.01, 8)
    assert (training.epochs, training.weight_decay) == (2, 0.25)
    assert (training.clip, training.threads, training.seed) == (2.0, 1, 5)
    assert trial.shape.kind == "madapter"
    assert trial.choice is None


def test_the_first_seed_is_the_choice_and_the_others_repeat_it(tmp_path: Path):
    stages = stages_with(tmp_path)
    choice, repeat = "choice/main/thin/intent", "repeat/main/thin/intent/6"
    chosen = stages[choice]
    assert isinstance(chosen, Choose)
    assert [trial.name for trial in chosen.trials] == POINTS
    assert dict(chosen.trials[1].settings) == {"batch_examples": 4, "learning_rate": 0.01}
    again = task_at(stages, repeat)
    assert (again.choice, again.training.seed) == (choice, 6)
    assert again.needs == (choice,)
    owners = [stages[f"evaluation/main/thin/intent/{seed}/en"] for seed in (5, 6)]
    assert [one.owner for one in owners if isinstance(one, Evaluate)] == [choice, repeat]


def test_one_point_leaves_nothing_to_choose(tmp_path: Path):
    grid = "    grid: {learning_rate: [1e-3, 1e-2], batch_examples: [4, 8]}\n"
    for left in ("", "    grid: {learning_rate: [1e-2]}\n"):
        stages = stages_with(tmp_path, (grid, left))
        thin = [name for name in stages if "/thin/" in name and not name.startswith("eval")]
        assert thin == [f"repeat/main/thin/intent/{seed}" for seed in (5, 6, 7)]
        first = task_at(stages, thin[0])
        assert first.choice is None
        assert first.training.learning_rate == (1e-2 if left else 1e-3)


def test_a_task_over_languages_is_compared_over_them(tmp_path: Path):
    stages = stages_with(
        tmp_path, ("[intent]", "[far]"), ("    training", "    split: validation\n    training")
    )
    repeat = task_at(stages, "repeat/main/thin/far/6")
    assert repeat.over == {"en": "language/en", "de": "language/de"}
    score = stages["evaluation/main/thin/far/6/de"]
    assert isinstance(score, Evaluate)
    assert str(score.composition) == "de > far"
    assert score.parts == {"de": "language/de", "far": repeat.name}
    assert score.split == "validation"
    assert "evaluation/main/thin/far/6/en" in stages


def test_languages_of_a_comparison_say_where_it_is_scored(tmp_path: Path):
    stages = stages_with(tmp_path, ("    training", "    languages: [de]\n    training"))
    scored = [name for name in stages if name.startswith("evaluation/main/thin")]
    assert [name.rsplit("/", 1)[1] for name in scored] == ["de"] * 3
    assert task_at(stages, "repeat/main/thin/intent/6").data.languages == ("en",)


def test_a_task_without_an_adapter_trains_nothing_itself(tmp_path: Path):
    stages = stages_with(tmp_path)
    assert not [name for name in stages if name.startswith("task/")]
    own = stages_with(
        tmp_path, ("languages: [en], training", "languages: [en], adapter: thin, training")
    )
    assert [name for name in own if name.startswith("task/")] == ["task/intent"]


def test_points_are_in_the_order_of_training_whatever_the_order_of_keys():
    there = points_of(Grid(learning_rate=(1e-3, 1e-2), epochs=(2, 1)))
    assert list(there) == [
        *("epochs=2,learning_rate=0.001", "epochs=2,learning_rate=0.01"),
        *("epochs=1,learning_rate=0.001", "epochs=1,learning_rate=0.01"),
    ]
    assert there["epochs=1,learning_rate=0.01"] == {"epochs": 1, "learning_rate": 0.01}
    assert list(points_of(Grid(dropout=(True, False), decay=("cosine",)))) == [
        *("decay=cosine,dropout=true", "decay=cosine,dropout=false"),
    ]


def test_a_trial_is_the_same_work_as_a_task_with_its_settings(tmp_path: Path):
    stages = stages_with(tmp_path)
    written_out = stages_with(
        tmp_path,
        ("languages: [en], training: {clip: 2.0}", "languages: [en], adapter: thin, training: "
         "{clip: 2.0, seed: 5, epochs: 2, weight_decay: 0.25, learning_rate: 1e-2, "
         "batch_examples: 8}"),
    )  # fmt: skip
    trial = f"trial/main/thin/intent/{POINTS[3]}"
    assert key_in(stages, trial) == key_in(written_out, "task/intent")


def test_a_repeat_is_keyed_by_its_choice(tmp_path: Path):
    before = stages_with(tmp_path)
    more = stages_with(tmp_path, ("[1e-3, 1e-2]", "[1e-3, 1e-2, 0.1]"))
    for name in ("choice/main/thin/intent", "repeat/main/thin/intent/6"):
        assert key_in(before, name) != key_in(more, name)
    trial = f"trial/main/thin/intent/{POINTS[0]}"
    assert key_in(before, trial) == key_in(more, trial)


def test_the_order_of_points_is_part_of_a_choice_as_it_decides_between_equal_scores(
    tmp_path: Path,
):
    before, turned = stages_with(tmp_path), stages_with(tmp_path, ("[4, 8]", "[8, 4]"))
    choice = "choice/main/thin/intent"
    assert key_in(before, choice) != key_in(turned, choice)


def test_the_names_of_a_comparison_decide_no_key(tmp_path: Path):
    before = stages_with(tmp_path)
    after = stages_with(
        tmp_path, ("  main:", "  other:"), ("  thin: {", "  slim: {"), ("[thin,", "[slim,")
    )
    assert key_in(before, "repeat/main/thin/intent/7") == key_in(
        after, "repeat/other/slim/intent/7"
    )


@pytest.mark.parametrize(
    ("given", "kept", "left_out"),
    [
        ("batch_tokens: 512", "batch_tokens", "batch_examples"),
        ("batch_examples: 8", "batch_examples", "batch_tokens"),
    ],
)
def test_one_size_of_a_batch_is_in_a_key(tmp_path: Path, given: str, kept: str, left_out: str):
    task = ("languages: [en], training: {clip: 2.0}",
            "languages: [en], adapter: thin, training: {clip: 2.0, " + given + "}")  # fmt: skip
    stage = stages_with(tmp_path, task)["task/intent"]
    training = stage_settings(
        stage, needs={}, backbone={}, precision="float32", versions={}
    )["training"]  # fmt: skip
    assert isinstance(training, dict)
    assert kept in training
    assert left_out not in training


def test_tokens_of_an_inner_block_replace_examples_of_an_outer_one(tmp_path: Path):
    outer = ("threads: 1,", "threads: 1, batch_examples: 8,")
    inner = ("{clip: 2.0}", "{clip: 2.0, batch_tokens: 512}")
    adapter = ("languages: [en], training", "languages: [en], adapter: thin, training")
    assert (
        task_at(stages_with(tmp_path, outer, adapter), "task/intent").training.batch_examples == 8
    )
    both = task_at(stages_with(tmp_path, outer, inner, adapter), "task/intent").training
    assert (both.batch_examples, both.batch_tokens) == (None, 512)


FAULTS = [
    ("[thin, deep]", "[thin, depe]",
     "compare.main.adapters[1]: no adapter is named 'depe'; did you mean 'deep'?"),
    ("tasks: [intent]", "tasks: [intend]",
     "compare.main.tasks[0]: no task is named 'intend'; did you mean 'intent'?"),
    ("[5, 6, 7]", "[5, 6, 5]", "compare.main.seeds[2]: 5 is given twice"),
    ("[5, 6, 7]", "[]", "compare.main.seeds: must have at least 1 item, not 0"),
    ("[1e-3, 1e-2]", "[1e-3, 0.001]", "compare.main.grid.learning_rate[1]: 0.001 is given twice"),
    ("[1e-3, 1e-2]", "[1e-3, 3]", "compare.main.grid.learning_rate[1]: must be at most 1, not 3"),
    ("learning_rate: [1e-3", "learning_rat: [1e-3",
     "compare.main.grid.learning_rat: unknown key; did you mean 'learning_rate'?"),
    ("batch_examples: [4, 8]", "seed: [1, 2]", "compare.main.grid.seed: unknown key; "),
    ("batch_examples: [4, 8]", "batch_examples: [4], batch_tokens: [512]",
     "compare.main.grid.batch_examples: a batch is so many examples or so many tokens; give one"),
    ("threads: 1,", "threads: 1, batch_tokens: 99, batch_examples: 9,",
     "training.batch_examples: a batch is so many examples or so many tokens; give one of them"),
    ("epochs: 2,", "seed: 2,",
     "compare.main.training.seed: the seeds of a comparison are its `seeds`; leave this key out"),
    ("epochs: 2,", "learning_rate: 0.1,",
     "compare.main.training.learning_rate: the grid gives this; leave one of them out"),
    ("tasks: [intent]", "tasks: [far]\n    languages: [en, fi]",
     "compare.main.languages[1]: far needs a language adapter of 'fi', and `languages` has none"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "fault"), FAULTS)
def test_faults_of_a_comparison_are_told_with_their_place(
    tmp_path: Path, old: str, new: str, fault: str
):
    assert old in RECIPE
    (found,) = [one.message for one in faults_of(tmp_path, RECIPE.replace(old, new))]
    assert found.startswith(fault)


def test_an_adapter_that_cannot_stand_over_a_language_is_refused_where_it_is_compared(
    tmp_path: Path,
):
    text = RECIPE.replace("tasks: [intent]", "tasks: [intent, far]").replace(
        "deep: {kind: madapter, width: 4,", "deep: {kind: madapter, width: 4, invertible: true,"
    )
    (fault,) = [one.message for one in faults_of(tmp_path, text)]
    assert fault.startswith("compare.main.adapters[1]: ")
    assert "invertible" in fault


@pytest.mark.parametrize(
    ("block", "place"),
    [
        ("evaluations: {e: {compositions: [intent], languages: [en]}}",
         "evaluations.e.compositions[0]"),
        ("bundles: {b: {compositions: [intent]}}", "bundles.b.compositions[0]"),
        ("compositions: {c: $language > intent}", "compositions.c"),
        ("compositions: {c: {expression: 'average(en, de)', task: intent}}", "compositions.c.task"),
        ("compositions: {c: {expression: 'fuse(en, intent)', train: {task: intent}}}",
         "compositions.c.expression"),
    ],
)  # fmt: skip
def test_what_needs_the_adapter_of_a_task_without_one_is_refused(
    tmp_path: Path, block: str, place: str
):
    (fault,) = [one.message for one in faults_of(tmp_path, f"{RECIPE}{block}\n")]
    assert fault == (
        f"{place}: intent has no adapter, so nothing is trained for it; give `tasks.intent.adapter`"
    )


def test_a_composition_learns_the_labels_of_a_task_without_an_adapter(tmp_path: Path):
    block = "compositions: {c: {expression: 'fuse(en, de)', train: {task: intent}}}\n"
    stages = {one.name: one for one in expand(load(tmp_path, RECIPE + block).recipe)}
    assert "composition/c" in stages
    assert "task/intent" not in stages
