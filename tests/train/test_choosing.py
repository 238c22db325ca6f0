from dataclasses import replace
from pathlib import Path

import pytest

from composer.bundle.files import read_json
from composer.errors import StoreError
from composer.recipe.expansion.stages import Choose, Trial
from composer.recipe.grammar.training import Training
from composer.train.choosing import (
    FILE,
    TrialScore,
    best_trial,
    read_choice,
    settled,
)
from composer.train.results import TrainingFile, read_training
from tests.train.conftest import Workshop, bytes_of, task_stage


def trial_score(name: str, score: float | None) -> TrialScore:
    return TrialScore(name=name, settings={}, score=score, best_epoch=1, epochs=1)


@pytest.mark.parametrize(
    ("scores", "best"),
    [([0.2, 0.5, 0.4], "1"), ([0.5, 0.5, 0.5], "0"), ([-0.2, -0.1], "1"), ([None, -1.0], "1")],
)
def test_the_highest_score_is_the_best_and_of_equal_ones_the_first(
    scores: list[float | None], best: str
):
    trials = [trial_score(str(place), score) for place, score in enumerate(scores)]
    assert best_trial(trials).name == best


def write_trial(folder: Path, *, score: float, epochs: int = 3) -> Path:
    """Write what a training writes, with other files beside it."""
    (folder / "deeper").mkdir(parents=True)
    for name in ("adapter.safetensors", "deeper/part.json", "manifest.json"):
        (folder / name).write_text(f"{name} with {score}")
    TrainingFile(
        steps=3 * epochs,
        epochs=epochs,
        best_epoch=2,
        best_score=score,
        history=(),
        trainable_parameters=7,
        seed=1,
        training_examples=20,
        validation_examples=5,
    ).write(folder / "training.json")
    return folder


def choice_of(workshop: Workshop, scores: dict[str, float]) -> Choose:
    trials = []
    for name, score in scores.items():
        stage = f"trial/main/thin/intent/{name}"
        workshop.inputs[stage] = write_trial(workshop.folder / name, score=score)
        settings = {"learning_rate": float(name), "batch_examples": 4}
        trials.append(Trial(name=name, settings=settings, stage=stage))
    return Choose(
        name="choice/main/thin/intent",
        score="matthews",
        trials=tuple(trials),
        training=Training(threads=1),
    )


def test_a_choice_holds_every_trials_score_and_the_files_of_the_best(workshop: Workshop):
    stage = choice_of(workshop, {"0.001": 0.4, "0.01": 0.7, "0.1": 0.6})
    out = workshop.run(stage)
    chosen = workshop.folder / "0.01"
    assert read_training(out) == read_training(chosen)
    assert (out / "deeper" / "part.json").read_bytes() == (
        (chosen / "deeper" / "part.json").read_bytes()
    )
    assert not (out / "manifest.json").exists()  # it is the trial's
    found = read_choice(out)
    assert (found.score, found.chosen) == ("matthews", "0.01")
    assert found.settings == {"learning_rate": 0.01, "batch_examples": 4}
    assert {one.name: one.score for one in found.trials} == {"0.001": 0.4, "0.01": 0.7, "0.1": 0.6}
    assert {(one.best_epoch, one.epochs) for one in found.trials} == {(2, 3)}


def test_a_choice_names_no_stage_adapter_or_task(workshop: Workshop):
    out = workshop.run(choice_of(workshop, {"0.001": 0.4}))
    assert read_json(out / FILE, error=StoreError).keys() == {"score", "chosen", "trials"}
    text = (out / FILE).read_text()
    assert not [word for word in ("thin", "intent", "main") if word in text]


def test_a_repeat_takes_the_chosen_settings_and_keeps_its_seed(workshop: Workshop):
    choice = choice_of(workshop, {"0.001": 0.4, "0.01": 0.7})
    workshop.run(choice)
    training = Training(seed=9, learning_rate=0.5, weight_decay=0.25)
    repeat = replace(task_stage(), training=training, choice=choice.name)
    found = settled(repeat, workshop.context("repeat"))
    assert found.training == training.model_copy(
        update={"learning_rate": 0.01, "batch_examples": 4}
    )
    assert found.choice is None
    assert settled(task_stage(), workshop.context("task")) == task_stage()


def test_a_repeat_is_trained_as_a_task_with_what_was_chosen(workshop: Workshop):
    choice = choice_of(workshop, {"0.01": 0.7, "0.001": 0.4})
    workshop.run(choice)
    plain = task_stage()
    repeat = replace(plain, name="repeat/main/thin/intent/13", choice=choice.name)
    training = plain.training.model_copy(update={"learning_rate": 0.01, "batch_examples": 4})
    written_out = replace(plain, name="task/same", training=training)
    assert bytes_of(workshop.run(repeat)) == bytes_of(workshop.run(written_out))
    assert bytes_of(workshop.run(plain)) != bytes_of(workshop.inputs[repeat.name])


def test_batches_of_examples_are_what_is_learnt_from(workshop: Workshop):
    plain = task_stage()
    training = plain.training.model_copy(update={"batch_examples": 16, "epochs": 1})
    trained = read_training(workshop.run(replace(plain, training=training)))
    assert trained.steps == -(-trained.training_examples // 16)
