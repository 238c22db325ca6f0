from dataclasses import replace
from pathlib import Path

import pytest

from composer.recipe.expansion.expand import expand
from composer.recipe.expansion.stages import (
    BundledComposition,
    DataUse,
    Evaluate,
    Export,
    Stage,
    TaskSettings,
    TrainComposition,
    TrainLanguage,
    TrainTask,
)
from composer.recipe.grammar.composition import Fuse, Stack
from composer.recipe.grammar.data import SampleData
from composer.recipe.grammar.training import Training
from composer.recipe.reading.reader import recipe_from
from tests.recipe.recipes import large_recipe, load, recipe_of

TRAINING = Training(epochs=8, learning_rate=1e-3, seed=13)


def sample(name: str) -> SampleData:
    return SampleData(source="sample", name=f"assistant/{name}")


def stages(folder: Path, **changes: str) -> dict[str, Stage]:
    """Expand the sound recipe after replacing `old` by `new` for each pair."""
    found = expand(recipe_of(folder, changes))
    names = [stage.name for stage in found]
    assert len(set(names)) == len(names)
    return dict(zip(names, found, strict=True))


def test_everything_declared_is_a_stage_needs_first(tmp_path: Path):
    found = stages(tmp_path)
    assert list(found) == [
        "language-head/shared",
        "language/en",
        "language/de",
        "language/ru",
        "task/intent",
        "task/domain",
        "composition/few-shot",
        "evaluation/far/mad-x/en",
        "evaluation/far/mad-x/ru",
        "evaluation/far/few-shot/en",
        "evaluation/far/few-shot/ru",
        "evaluation/far/domain/en",
        "evaluation/far/domain/ru",
        "bundle/box",
    ]
    done: set[str] = set()
    for name, stage in found.items():
        assert set(stage.needs) <= done
        done.add(name)


def test_a_language_is_trained_on_its_own_text(tmp_path: Path):
    recipe = recipe_of(tmp_path)
    assert stages(tmp_path)["language/de"] == TrainLanguage(
        name="language/de",
        shape=recipe.adapters["thin"],
        data=DataUse(source=sample("text"), languages=("de",)),
        training=TRAINING,
        head="language-head/shared",
    )


def test_a_task_is_trained_over_the_adapter_of_each_batchs_language(tmp_path: Path):
    recipe = recipe_of(tmp_path)
    intent = TrainTask(
        name="task/intent",
        shape=recipe.adapters["task"],
        task=TaskSettings(
            type="text-classification", labels=None, pooling="mean", score="accuracy"
        ),
        data=DataUse(source=sample("intent"), languages=("en", "de")),
        over={"en": "language/en", "de": "language/de"},
        training=TRAINING,
    )
    found = stages(tmp_path)
    assert found["task/intent"] == intent
    domain = found["task/domain"]
    assert domain == replace(
        intent,
        name="task/domain",
        shape=recipe.adapters["thin"],
        data=DataUse(source=sample("domain"), languages=("en",)),
        over={},
    )


def test_a_composition_is_trained_over_all_its_parts(tmp_path: Path):
    few_shot = stages(tmp_path)["composition/few-shot"]
    assert few_shot == TrainComposition(
        name="composition/few-shot",
        composition=Stack(("$language", Fuse(("intent", "domain")))),
        parts={"en": "language/en", "intent": "task/intent", "domain": "task/domain"},
        task=TaskSettings(
            type="text-classification", labels=None, pooling="mean", score="accuracy"
        ),
        data=DataUse(source=sample("intent"), languages=("en",), examples=200),
        train_norm=None,
        training=TRAINING,
    )


def test_a_composition_takes_languages_it_does_not_say_from_its_task(tmp_path: Path):
    changes = {"{task: intent, languages: [en], examples: 200}": "{task: intent, train_norm: true}"}
    few_shot = stages(tmp_path, **changes)["composition/few-shot"]
    assert isinstance(few_shot, TrainComposition)
    assert few_shot.data == DataUse(source=sample("intent"), languages=("en", "de"))
    assert list(few_shot.parts) == ["en", "de", "intent", "domain"]
    assert few_shot.train_norm is True


def test_an_evaluation_binds_the_language_and_names_whose_head_is_used(tmp_path: Path):
    found = stages(tmp_path)
    assert found["evaluation/far/mad-x/ru"] == Evaluate(
        name="evaluation/far/mad-x/ru",
        composition=Stack(("ru", "intent")),
        parts={"ru": "language/ru", "intent": "task/intent"},
        owner="task/intent",
        data=DataUse(source=sample("intent"), languages=("ru",)),
        split="test",
        training=Training(),
    )
    few_shot = found["evaluation/far/few-shot/en"]
    assert isinstance(few_shot, Evaluate)
    assert few_shot.owner == "composition/few-shot"
    assert few_shot.needs == ("language/en", "task/intent", "task/domain", "composition/few-shot")


def test_the_head_of_an_average_is_the_one_that_is_said(tmp_path: Path):
    found = stages(tmp_path, **{"[mad-x, few-shot, domain]": "[mean]"})
    mean = found["evaluation/far/mean/en"]
    assert isinstance(mean, Evaluate)
    assert (mean.owner, mean.data.source) == ("task/domain", sample("domain"))


@pytest.mark.parametrize(
    ("name", "composition"), [("intent", Stack(("ru", "intent"))), ("domain", "domain")]
)
def test_a_task_stands_for_its_adapter_over_what_it_was_trained_over(
    tmp_path: Path, name: str, composition: object
):
    found = stages(tmp_path, **{"[mad-x, few-shot, domain]": f"[{name}]"})
    stage = found[f"evaluation/far/{name}/ru"]
    assert isinstance(stage, Evaluate)
    assert (stage.composition, stage.owner) == (composition, f"task/{name}")


def test_an_evaluation_may_use_other_data_and_another_split(tmp_path: Path):
    changes = {"languages: [en, ru]}": "languages: [en, ru], data: domain, split: validation}"}
    stage = stages(tmp_path, **changes)["evaluation/far/mad-x/en"]
    assert isinstance(stage, Evaluate)
    assert (stage.data.source, stage.split) == (sample("domain"), "validation")


def test_a_bundle_holds_one_entry_a_language_where_one_is_bound(tmp_path: Path):
    assert stages(tmp_path)["bundle/box"] == Export(
        name="bundle/box",
        compositions=(
            BundledComposition(
                name="mad-x:de",
                composition=Stack(("de", "intent")),
                owner="task/intent",
                evaluations=(),
            ),
            BundledComposition(
                name="mad-x:ru",
                composition=Stack(("ru", "intent")),
                owner="task/intent",
                evaluations=("evaluation/far/mad-x/ru",),
            ),
            BundledComposition(
                name="domain",
                composition="domain",
                owner="task/domain",
                evaluations=("evaluation/far/domain/en", "evaluation/far/domain/ru"),
            ),
        ),
        parts={
            "de": "language/de",
            "intent": "task/intent",
            "ru": "language/ru",
            "domain": "task/domain",
        },
        precision=None,
        part_precision="float32",
        training=Training(),
    )


def test_what_a_member_changes_goes_over_what_all_languages_have(tmp_path: Path):
    members = (
        "members: {en: {}, de: {adapter: low, data: intent, training: {epochs: 3}}}, "
        "training: {epochs: 5, seed: 1}, data"
    )
    found = stages(
        tmp_path,
        **{
            "members: [en, de, ru], data": members,
            "[en, ru]": "[en]",
            "[de, ru]": "[de]",
        },
    )
    en, de = found["language/en"], found["language/de"]
    assert isinstance(en, TrainLanguage)
    assert isinstance(de, TrainLanguage)
    assert (en.training.epochs, en.training.seed) == (5, 1)
    assert (de.training.epochs, de.training.seed) == (3, 1)
    assert de.data.source == sample("intent")
    assert de.shape.model_dump()["placement"] == "pfeiffer"


def test_tasks_and_compositions_change_the_training_for_themselves(tmp_path: Path):
    found = stages(
        tmp_path,
        **{
            "adapter: thin}\ncompositions": "adapter: thin, training: {clip: 2.0}}\ncompositions",
            "examples: 200}": "examples: 200, training: {decay: cosine, dropout: false}}",
        },
    )
    domain, few_shot = found["task/domain"], found["composition/few-shot"]
    assert isinstance(domain, TrainTask)
    assert isinstance(few_shot, TrainComposition)
    assert domain.training == TRAINING.model_copy(update={"clip": 2.0})
    changed = {"decay": "cosine", "dropout": False}
    assert few_shot.training == TRAINING.model_copy(update=changed)


def test_evaluations_and_bundles_take_only_threads_and_batches_from_the_training(tmp_path: Path):
    found = stages(tmp_path, **{"epochs: 8": "epochs: 8, threads: 4, batch_tokens: 64"})
    evaluation, bundle = found["evaluation/far/domain/en"], found["bundle/box"]
    assert isinstance(evaluation, Evaluate)
    assert isinstance(bundle, Export)
    assert evaluation.training == Training(threads=4, batch_tokens=64)
    assert bundle.training == Training(threads=4)


@pytest.mark.parametrize(
    ("type_", "score", "used"),
    [
        ("text-classification", "", "accuracy"),
        ("regression", "", "pearson"),
        ("token-classification", "", "span-f1"),
        ("text-classification", "score: matthews, ", "matthews"),
    ],
)
def test_a_score_that_is_not_said_goes_by_type(tmp_path: Path, type_: str, score: str, used: str):
    old = "domain: {type: text-classification, "
    task = stages(tmp_path, **{old: f"domain: {{type: {type_}, {score}"})["task/domain"]
    assert isinstance(task, TrainTask)
    assert task.task.score == used


def test_labels_pooling_examples_and_the_longest_input_are_passed_on(tmp_path: Path):
    found = stages(
        tmp_path,
        **{
            "name: multilingual-e5-small}": "name: multilingual-e5-small, max_tokens: 64}",
            "adapter: thin}\ncompositions": "adapter: thin, labels: [b, a], pooling: first, "
            "examples: 9}\ncompositions",
        },
    )
    task = found["task/domain"]
    assert isinstance(task, TrainTask)
    assert (task.task.labels, task.task.pooling) == (("b", "a"), "first")
    assert (task.data.examples, task.data.max_tokens) == (9, 64)


def test_sixty_languages_and_four_tasks_give_a_stage_for_each(tmp_path: Path):
    recipe = load(tmp_path, large_recipe(languages=60, tasks=4)).recipe
    found = expand(recipe)
    assert len(found) == 1 + 60 + 4 + 4 + 2 * 4 * 60 + 1
    done: set[str] = set()
    for stage in found:
        assert set(stage.needs) <= done
        done.add(stage.name)
    bundle = found[-1]
    assert isinstance(bundle, Export)
    assert len(bundle.compositions) == 2 * 60


def test_a_recipe_without_anything_to_do_has_no_stages():
    values = {"composer": 1, "name": "x", "backbone": {"source": "sample", "name": "y"}}
    assert expand(recipe_from(values)) == ()
