"""A composition as a plain `transformers` model answers what composer answers."""

import copy
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor

from composer.bundle.reader import OpenedBundle, open_bundle
from composer.data.examples import Example
from composer.data.predictions import Prediction
from composer.errors import BackboneError, BundleError
from composer.model.backbone import open_backbone
from composer.model.bundled import open_composition
from composer.model.folded import FoldedMixers
from composer.model.plain import PlainModel, plain_model
from composer.model.predictor import Predictor
from tests.device.homes import Task, write_home
from tests.tiny import SENTENCES, write_tiny_roberta

TASKS = {
    "one": Task("relu"),
    "first": Task("swish > relu", pooling="first"),
    "fused": Task("fuse(relu, mid2, none)"),
    "gated": Task("gate(relu, mid3)", "regression", 1),
    "many": Task("mid2", "multi-label-classification"),
    "spans": Task("mid3", "token-classification"),
}
PAIRS = [(one, other) for one, other in zip(SENTENCES, reversed(SENTENCES), strict=True)]


@pytest.fixture(
    scope="module", params=["bert", pytest.param("xlm-roberta", marks=pytest.mark.slow)]
)
def folder(
    request: pytest.FixtureRequest, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    if request.param == "bert":
        return tiny_folder
    return write_tiny_roberta(tmp_path_factory.mktemp("roberta"))


@pytest.fixture(scope="module")
def bundle(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> OpenedBundle:
    backbone = open_backbone(folder, precision="float32")
    target = tmp_path_factory.mktemp("plain") / "home"
    return open_bundle(write_home(target, backbone, folder, tasks=TASKS, precision=None))


def put(bundle: OpenedBundle, folder: Path, name: str) -> tuple[PlainModel, Predictor]:
    """Give a plain model, and composer's own on a backbone of its own."""
    models = [
        open_composition(bundle, name, open_backbone(folder, precision="float32")) for _ in range(2)
    ]
    return plain_model(models[0]), models[1]


def answers(predictor: Predictor, texts: list[str] | list[tuple[str, str]]) -> list[Tensor]:
    examples = [
        Example(text=one) if isinstance(one, str) else Example(text=one[0], pair=one[1])
        for one in texts
    ]
    return predictor.logits(predictor.encode(examples))


@pytest.mark.parametrize("texts", [SENTENCES, PAIRS], ids=["texts", "pairs"])
@pytest.mark.parametrize("name", TASKS)
def test_it_answers_what_composer_answers(
    bundle: OpenedBundle, folder: Path, name: str, texts: list[str]
):
    plain, own = put(bundle, folder, name)
    batch = plain.tokenizer(texts, padding=True, return_tensors="pt")
    logits = plain.model(**batch).logits
    for row, expected in zip(logits, answers(own, texts), strict=True):
        found = row[: len(expected)] if name == "spans" else row
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_a_mask_and_types_may_be_left_out(bundle: OpenedBundle, folder: Path):
    plain, own = put(bundle, folder, "one")
    ids = plain.tokenizer(SENTENCES[0], return_tensors="pt")["input_ids"]
    (logits,) = plain.model(ids, return_dict=False)
    torch.testing.assert_close(logits[0], answers(own, SENTENCES[:1])[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["one", "many", "gated"])
def test_a_pipeline_of_texts_says_what_composer_says(
    bundle: OpenedBundle, folder: Path, name: str, caplog: pytest.LogCaptureFixture
):
    plain, own = put(bundle, folder, name)
    with caplog.at_level(logging.ERROR, "transformers"):
        pipe = transformers.pipeline(
            "text-classification", model=plain.model, tokenizer=plain.tokenizer, device="cpu"
        )
    assert not caplog.records
    said = own.predict([Example(text=one) for one in SENTENCES])
    for found, one in zip(pipe(SENTENCES, top_k=None, batch_size=3), said, strict=True):
        scores = {each["label"]: each["score"] for each in found}
        assert_alike(scores, one)


def assert_alike(scores: dict[str, float], one: Prediction) -> None:
    if isinstance(one.value, float):
        assert scores == {"value": pytest.approx(one.value, abs=1e-6)}
    elif isinstance(one.value, tuple):
        assert {label for label, score in scores.items() if score > 0.5} == set(one.value)
    else:
        assert max(scores, key=scores.__getitem__) == one.value
        assert scores[one.value] == pytest.approx(one.confidence, abs=1e-6)


def test_a_pipeline_of_tokens_finds_the_tags(bundle: OpenedBundle, folder: Path):
    plain, own = put(bundle, folder, "spans")
    pipe = transformers.pipeline(
        "token-classification", model=plain.model, tokenizer=plain.tokenizer, device="cpu"
    )
    expected = answers(own, SENTENCES[:1])[0].softmax(-1)[1:-1]  # without special tokens
    names = plain.model.config.id2label
    for one in pipe(SENTENCES[0]):
        row = expected[one["index"] - 1]
        assert one["entity"] == names[int(row.argmax())]
        assert one["score"] == pytest.approx(float(row.max()), abs=1e-6)


def test_a_trainer_evaluates_it(bundle: OpenedBundle, folder: Path, tmp_path: Path):
    plain, own = put(bundle, folder, "one")
    labels = [int(row.argmax()) for row in answers(own, SENTENCES)]
    rows = [
        {**plain.tokenizer(text), "labels": label}
        for text, label in zip(SENTENCES, labels, strict=True)
    ]
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), report_to=[], use_cpu=True, per_device_eval_batch_size=3
    )
    trainer = transformers.Trainer(
        plain.model,
        arguments,
        eval_dataset=rows,
        processing_class=plain.tokenizer,
        compute_metrics=lambda found: {"right": float(np.mean(found[0].argmax(1) == found[1]))},
    )
    found = trainer.evaluate()
    expected = F.cross_entropy(torch.stack(answers(own, SENTENCES)), torch.tensor(labels))
    assert found["eval_right"] == 1.0
    assert found["eval_loss"] == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "labels", "loss"),
    [
        ("gated", torch.ones(8), lambda rows: F.mse_loss(rows[:, 0], torch.ones(8))),
        (
            "many",
            torch.ones(8, 3),
            lambda rows: F.binary_cross_entropy_with_logits(rows, torch.ones(8, 3)),
        ),
    ],
)
def test_losses_are_those_of_the_task(
    bundle: OpenedBundle, folder: Path, name: str, labels: Tensor, loss: object
):
    plain, own = put(bundle, folder, name)
    batch = plain.tokenizer(SENTENCES, padding=True, return_tensors="pt")
    found = plain.model(**batch, labels=labels).loss
    expected = loss(torch.stack(answers(own, SENTENCES)))  # type: ignore[operator]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_a_tag_that_is_ignored_is_in_no_loss(bundle: OpenedBundle, folder: Path):
    plain, own = put(bundle, folder, "spans")
    batch = plain.tokenizer(SENTENCES[:1], return_tensors="pt")
    labels = torch.full_like(batch["input_ids"], -100)
    labels[0, 1] = 2
    expected = F.cross_entropy(answers(own, SENTENCES[:1])[0][1:2], torch.tensor([2]))
    torch.testing.assert_close(
        plain.model(**batch, labels=labels).loss, expected, rtol=0, atol=1e-6
    )


def test_it_stays_as_it_was_trained(bundle: OpenedBundle, folder: Path, tmp_path: Path):
    plain, own = put(bundle, folder, "fused")
    plain.model.train()
    assert not any(one.training for one in plain.model.modules())
    assert not any(one.requires_grad for one in plain.model.parameters())
    for save in (plain.model.save_pretrained, plain.model.push_to_hub):
        with pytest.raises(BundleError, match="keep its bundle"):
            save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_text_that_is_too_long_is_refused(bundle: OpenedBundle, folder: Path):
    plain, _ = put(bundle, folder, "one")
    longest = plain.model.max_tokens
    ids = torch.ones((1, longest + 1), dtype=torch.long)
    with pytest.raises(
        BackboneError, match=f"{longest + 1} tokens, and the backbone takes {longest};"
    ):
        plain.model(ids)
    short = plain.tokenizer("lamp " * 100, truncation=True, return_tensors="pt")
    assert plain.model(**short).logits.shape == (1, 3)


def test_all_that_it_computes_with_moves(bundle: OpenedBundle, folder: Path):
    """Widened to float64, as there may be no second device: nothing is left behind."""
    plain, own = put(bundle, folder, "fused")
    before = answers(own, SENTENCES[:1])[0]
    plain.model.double()
    mixers = plain.model.composition.mixers
    assert isinstance(mixers, FoldedMixers)
    assert {one.dtype for one in mixers._tensors.values()} == {torch.float64}
    assert {one.dtype for one in plain.model.state_dict().values()} == {torch.float64}
    batch = plain.tokenizer(SENTENCES[:1], return_tensors="pt")
    torch.testing.assert_close(plain.model(**batch).logits[0], before, rtol=0, atol=1e-5)


def test_the_tokenizer_is_a_copy(bundle: OpenedBundle, folder: Path):
    plain, own = put(bundle, folder, "one")
    before = copy.deepcopy(own.encoder._tokenizer.to_str())
    plain.tokenizer(SENTENCES, padding=True, truncation=True, max_length=4)
    assert plain.model._backbone[0].tokenizer.to_str() == before
