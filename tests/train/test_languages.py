"""The shared masked-LM head, adapters under it, and their losses; text packed and streamed."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from composer.data import windows
from composer.data.tokens import open_tokens
from composer.errors import StoppedError
from composer.model.files import read_adapter
from composer.model.masked_head_files import read_masked_head
from composer.model.pretrained_head import pretrained_head_digest
from composer.recipe.expansion.stages import DataUse, Rows, ScoreText, TrainHead, TrainLanguage
from composer.recipe.grammar.adapters import Lora
from composer.recipe.grammar.data import FileData, Split
from composer.train import plain_text
from composer.train.plain_text import read_split, read_text
from composer.train.results import read_loss, read_training
from tests.model.test_masked_head import write_whole
from tests.train.conftest import TRAINING, TURNED, WIDE, Workshop, bytes_of, use

HEAD = "language-head/shared"
LONGER = TRAINING.model_copy(
    update={"epochs": 6, "batch_tokens": 64, "learning_rate": 1e-2, "dropout": False}
)
WORDS = {
    "en": ["turn on the lamp in the kitchen", "set a timer for ten minutes", "how warm is it"],
    "de": ["schalte die lampe in der küche ein", "mach das licht aus", "wie warm ist es hier"],
    "fr": ["allume la lampe de la cuisine", "allume la cuisine", "la lampe de la cuisine"],
}


@pytest.fixture
def languages(workshop: Workshop, tmp_path: Path) -> Workshop:
    folder = tmp_path / "texts"
    folder.mkdir()
    for tag, sentences in WORDS.items():
        words, random = " ".join(sentences).split(), Random(tag)
        lines = [" ".join(random.choices(words, k=6)) for _ in range(60)]
        (folder / f"{tag}.txt").write_text("\n".join(lines) + "\n")
    workshop.data_folder = folder
    return workshop


def texts(*tags: str) -> DataUse:
    return use("$language.txt", languages=tags)


def head_stage(*tags: str, found: str | None = None) -> TrainHead:
    return TrainHead(
        name=HEAD,
        texts=() if found else (texts(*tags),),
        rows=Rows(),
        training=LONGER,
        found=found,
    )


def language(tag: str, *, head: str | None = HEAD, **more: object) -> TrainLanguage:
    stage = TrainLanguage(
        name=f"language/{tag}", shape=WIDE, data=texts(tag), training=LONGER, head=head
    )
    return replace(stage, **more)  # type: ignore[arg-type]


def loss_of(workshop: Workshop, adapter: str | None, tag: str, *, split: Split = "train") -> float:
    stage = ScoreText(
        name=f"language-loss/{adapter or 'none'}/{tag}",
        adapter=f"language/{adapter}" if adapter else None,
        head=HEAD,
        data=texts(tag),
        split=split,
        rows=Rows(),
        training=TRAINING,
    )
    return read_loss(workshop.run(stage)).loss


def test_the_matrix_of_losses_has_its_minimum_on_the_diagonal(languages: Workshop):
    languages.run(head_stage("de", "en", "fr"))
    for tag in WORDS:
        languages.run(language(tag))
    losses = {
        tag: {adapter: loss_of(languages, adapter, tag) for adapter in (None, *WORDS)}
        for tag in WORDS
    }
    for tag, found in losses.items():
        assert min(found, key=lambda adapter: found[adapter]) == tag


def test_the_head_learns_and_is_counted(languages: Workshop):
    out = languages.run(head_stage("de", "en"))
    done = read_training(out)
    scores = [entry["score"] for entry in done.history]
    assert scores[-1] > scores[0]
    assert sorted(bytes_of(out)) == [
        *("language-head.json", "language-head.safetensors", "training.json"),
    ]
    about = json.loads((out / "language-head.json").read_text())
    assert about["origin"] == "trained"
    assert done.trainable_parameters == 32 * 32 + 3 * 32 + about["pieces"]
    assert done.training_examples + done.validation_examples > 90


def test_languages_that_are_trained_under_a_head_leave_it_as_it_is(languages: Workshop):
    before = bytes_of(languages.run(head_stage("de", "en")))
    languages.run(language("de"))
    assert bytes_of(languages.inputs[HEAD]) == before


def test_an_adapter_learns_another_thing_under_a_shared_head_than_beside_its_own(
    languages: Workshop,
):
    languages.run(head_stage("de", "en"))
    shared = bytes_of(languages.run(language("de"), run="shared"))
    own = bytes_of(languages.run(language("de", head=None), run="own"))
    assert shared["adapter.safetensors"] != own["adapter.safetensors"]
    assert shared["adapter.json"] == own["adapter.json"]


@pytest.mark.parametrize("kind", ["head", "language", "packed whole words"])
def test_a_stopped_training_goes_on_to_the_same_bytes(languages: Workshop, kind: str):
    languages.run(head_stage("de", "en"))
    rows = Rows(pack_tokens=32, whole_words=True)
    stage = {
        "head": replace(head_stage("de", "en"), name="language-head/again"),
        "language": language("de"),
        "packed whole words": language("de", rows=rows),
    }[kind]
    expected = bytes_of(languages.run(stage, run="whole"))
    languages.progress.clear()

    def stop_there(progress: object) -> None:
        languages.stop.requested = len(languages.progress) == 12

    languages.on_progress = stop_there  # type: ignore[assignment]
    with pytest.raises(StoppedError):
        languages.run(stage, run="stopped")
    languages.on_progress = lambda progress: None
    languages.stop.requested = False
    assert bytes_of(languages.run(stage, run="stopped")) == expected


def test_text_is_cut_into_pieces_once_however_often_a_stage_is_stopped(
    languages: Workshop, monkeypatch: pytest.MonkeyPatch
):
    languages.on_progress = lambda progress: setattr(languages.stop, "requested", True)
    with pytest.raises(StoppedError):
        languages.run(language("de", head=None))
    languages.on_progress, languages.stop.requested = (lambda progress: None), False
    monkeypatch.setattr(plain_text, "read_sentences", None)  # would fail if it were called
    assert languages.run(language("de", head=None))


def test_tokens_that_were_damaged_meanwhile_are_made_again(languages: Workshop):
    expected = bytes_of(languages.run(language("de", head=None), run="sound"))
    context = languages.context("language/de", run="damaged")
    (context.checkpoint / "text-train").mkdir()
    for name in ("tokens.bin", "ends.bin", "tokens.json"):
        (context.checkpoint / "text-train" / name).write_text('{"ends": 1, "tokens": 2}')
    assert bytes_of(languages.run(language("de", head=None), run="damaged")) == expected


def test_pieces_that_the_head_does_not_score_are_never_hidden_and_are_told(
    languages: Workshop, caplog: pytest.LogCaptureFixture
):
    languages.run(head_stage("en"))
    languages.run(language("de"))
    assert "% of the pieces of the text of de are none that the shared" in caplog.text
    backbone = opened(languages)
    covers = read_masked_head(languages.inputs[HEAD], backbone).scored.covers()
    stage = language("de")
    context = languages.context("language/de", run="again")
    text = read_text((stage.data,), stage.rows, LONGER, backbone, context).scored_by(covers)
    for epoch in (*text.training.epochs()[:2], text.held_out.held_out_epoch()):
        for number in range(epoch.count):
            labels = epoch.batch(number).tensors["labels"]
            assert covers[labels[labels != -100].numpy()].all()
    assert 0 < text.training.covered() < 1


def opened(workshop: Workshop):  # noqa: ANN201
    from composer.model.backbone import open_backbone

    return open_backbone(workshop.backbone_folder, precision="float32")


def test_the_same_pieces_are_hidden_for_every_adapter(languages: Workshop):
    languages.run(head_stage("de", "en"))
    languages.run(language("de"))
    loss_of(languages, None, "de")
    loss_of(languages, "de", "de")
    found = [
        json.loads((languages.inputs[f"language-loss/{name}/de"] / "loss.json").read_text())
        for name in ("none", "de")
    ]
    assert found[0]["pieces"] == found[1]["pieces"] > 0
    assert found[0]["loss"] > found[1]["loss"]
    again = loss_of(languages, "de", "de")
    assert again == found[1]["loss"]


def test_an_invertible_adapter_is_undone_before_the_shared_head(languages: Workshop):
    languages.run(head_stage("de", "en"))
    out = languages.run(language("de", shape=TURNED))
    scores = [entry["score"] for entry in read_training(out).history]
    assert scores[-1] > scores[0]
    assert read_adapter(out, opened(languages)).coupling() is not None
    before = loss_of(languages, "de", "de")
    file = out / "adapter.safetensors"
    from safetensors.numpy import load_file

    from composer.bundle.tensors import write_tensors

    tensors = load_file(file)
    still = {n: a * 0 if n.startswith("embeddings.") else a for n, a in tensors.items()}
    write_tensors(file, still)
    assert loss_of(languages, "de", "de") != before


def test_other_kinds_of_adapters_learn_a_language_too(languages: Workshop):
    languages.run(head_stage("de", "en"))
    out = languages.run(language("de", shape=Lora(kind="lora", rank=4)))
    scores = [entry["score"] for entry in read_training(out).history]
    assert scores[-1] > scores[0]


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_a_head_that_the_backbone_brings_is_taken_and_not_trained(
    languages: Workshop, tmp_path: Path, family: str
):
    write_whole(tmp_path / "whole", family)
    languages.backbone_folder = tmp_path / "whole"
    digest = pretrained_head_digest(tmp_path / "whole")
    out = languages.run(head_stage(found=digest))
    assert json.loads((out / "language-head.json").read_text())["origin"] == "backbone"
    done = read_training(out)
    assert (done.steps, done.trainable_parameters) == (0, 0)
    head = read_masked_head(out, opened(languages))
    assert head.scored.covers().all()
    languages.run(language("de"))
    assert loss_of(languages, "de", "de") < loss_of(languages, None, "de")


def sentences(folder: Path, count: int) -> DataUse:
    with (folder / f"many.{count}.txt").open("w") as file:
        file.writelines(f"turn on the lamp {number} in the kitchen\n" for number in range(count))
    source = FileData(source="files", path=f"many.{count}.txt")
    return DataUse(source=source, languages=("en",))


def test_packed_rows_are_as_long_as_asked_and_hold_all_sentences(languages: Workshop):
    backbone = opened(languages)
    many = sentences(languages.data_folder, 200)
    plain, packed = (
        read_split((many,), "train", rows, LONGER, backbone, languages.context(f"x/{n}"))
        for n, rows in enumerate((Rows(), Rows(pack_tokens=40)))
    )
    longest = packed.rows.lengths([(0, len(packed.rows))])
    assert longest.max() <= 40
    assert np.median(longest) > 20
    assert packed.rows.counts[3] == plain.rows.counts[3]  # [SEP]: one a sentence
    assert packed.rows.counts[2] == len(packed.rows)  # [CLS]: one a row


def test_whole_words_are_hidden_where_that_is_asked_for(languages: Workshop):
    (languages.data_folder / "en.txt").write_text("bet lit tel\n" * 2 + "turn zen mel on\n" * 60)
    backbone = opened(languages)
    rows = Rows(whole_words=True)
    text = read_split((texts("en"),), "train", rows, LONGER, backbone, languages.context("x"))
    (first, *_) = text.epochs()
    batch = first.batch(0).tensors
    cut = open_tokens(languages.context("x").checkpoint / "text-train")
    assert cut is not None
    assert any(row.continues != [0] * len(row.ids) for row in cut.rows(range(len(cut))))
    ids = torch.where(batch["labels"] != -100, batch["labels"], batch["input_ids"])
    goes_on = [backbone.tokenizer.id_to_token(int(one)).startswith("##") for one in ids.flatten()]
    hidden = (batch["labels"] != -100).flatten().tolist()
    for at, continues in enumerate(goes_on):
        if continues:
            assert hidden[at] == hidden[at - 1]


def test_what_is_held_does_not_grow_with_the_text(
    languages: Workshop, monkeypatch: pytest.MonkeyPatch
):
    """Counts bytes: reading, cutting, and learning from some batches of an epoch."""
    monkeypatch.setattr(windows, "WINDOW", 4 * windows.BLOCK)
    backbone = opened(languages)

    def peak(count: int) -> int:
        many = sentences(languages.data_folder, count)
        context = languages.context(f"text/{count}")
        tracemalloc.start()
        text = read_text((many,), Rows(pack_tokens=40), LONGER, backbone, context)
        (epoch, *_) = text.training.epochs()
        for number in range(0, epoch.count, max(1, epoch.count // 5)):
            epoch.batch(number)
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(text.training.rows) > count / 10
        return held

    assert peak(12_000) < 1.2 * peak(6_000)
