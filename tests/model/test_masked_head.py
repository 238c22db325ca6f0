"""The masked-LM head that a backbone brings: found, held to its shape, computed as it should be."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForMaskedLM

from composer.bundle.fingerprint import fingerprint_folder
from composer.errors import AdapterError, BackboneError
from composer.model.backbone import Backbone, open_backbone
from composer.model.masked_head_files import own_masked_head, read_masked_head, write_masked_head
from composer.model.masked_lm import new_masked_head
from composer.model.pretrained_head import find_pretrained_head, pretrained_head_digest
from tests.tiny import tiny_tokenizer, write_tiny_backbone

FAMILIES = ["bert", "roberta", "xlm-roberta", "distilbert", "electra", "deberta-v2"]


def write_whole(folder: Path, family: str, *, tied: bool = True) -> torch.nn.Module:
    """Write a small model with its masked-LM head, all of it random."""
    tokenizer = tiny_tokenizer()
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    if family == "distilbert":
        sizes = {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4}
    else:
        sizes["intermediate_size"] = 64
    if family == "electra":
        sizes["embedding_size"] = 32
    config = AutoConfig.for_model(
        family,
        vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=66,
        pad_token_id=0,
        tie_word_embeddings=tied,
        **sizes,
    )
    model = AutoModelForMaskedLM.from_config(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.0 if "orm.weight" in name else 0.0, 0.2, generator=generator)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return model.eval()


def edit(folder: Path, change: dict[str, torch.Tensor | None]) -> None:
    file = folder / "model.safetensors"
    tensors: dict[str, torch.Tensor | None] = {**load_file(file), **change}
    save_file({name: one for name, one in tensors.items() if one is not None}, file)


def batch_of(backbone: Backbone) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    ids = torch.randint(5, 60, (3, 9), generator=torch.Generator().manual_seed(2))
    ids[:, 0], ids[:, -1] = 2, 3
    labels = torch.full_like(ids, -100)
    labels[:, 2:5] = ids[:, 2:5]
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return {**batch, "token_type_ids": torch.zeros_like(ids)}, labels


@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")  # deberta's own
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_is_that_of_transformers(tmp_path: Path, family: str, tied: bool):
    model = write_whole(tmp_path, family, tied=tied)
    found = find_pretrained_head(tmp_path)
    assert found is not None
    assert ("output" in found.tensors) is not tied
    backbone = open_backbone(tmp_path, precision="float32")
    head = own_masked_head(tmp_path, backbone, digest=found.digest)
    batch, labels = batch_of(backbone)
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        scores = model(**inputs).logits
        expected = F.cross_entropy(scores.flatten(0, 1), labels.flatten())
        loss = head.loss(backbone.encode(batch), labels)
    assert torch.allclose(loss, expected, rtol=1e-4)


@pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
def test_a_bare_encoder_brings_none(tmp_path: Path, family: str):
    write_tiny_backbone(tmp_path / "bare")
    assert pretrained_head_digest(tmp_path / "bare") is None


def test_names_of_early_berts_are_known(tmp_path: Path):
    write_whole(tmp_path, "bert")
    before = pretrained_head_digest(tmp_path)
    norm = "cls.predictions.transform.LayerNorm"
    tensors = load_file(tmp_path / "model.safetensors")
    edit(
        tmp_path,
        {
            f"{norm}.gamma": tensors[f"{norm}.weight"],
            f"{norm}.beta": tensors[f"{norm}.bias"],
            **dict.fromkeys((f"{norm}.weight", f"{norm}.bias")),
        },
    )
    assert pretrained_head_digest(tmp_path) == before


def test_embeddings_that_are_stored_twice_are_not_a_matrix_of_its_own(tmp_path: Path):
    write_whole(tmp_path, "bert")
    before = pretrained_head_digest(tmp_path)
    table = load_file(tmp_path / "model.safetensors")["bert.embeddings.word_embeddings.weight"]
    edit(tmp_path, {"cls.predictions.decoder.weight": table.clone()})
    assert pretrained_head_digest(tmp_path) == before
    edit(tmp_path, {"cls.predictions.decoder.weight": table + 1})
    assert pretrained_head_digest(tmp_path) != before


def test_another_head_has_another_digest_and_the_fingerprints_stay(tmp_path: Path):
    write_whole(tmp_path, "bert")
    before, prints = pretrained_head_digest(tmp_path), fingerprint_folder(tmp_path)
    bias = load_file(tmp_path / "model.safetensors")["cls.predictions.bias"]
    edit(tmp_path, {"cls.predictions.bias": bias + 1})
    assert pretrained_head_digest(tmp_path) != before
    assert fingerprint_folder(tmp_path) == prints


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"cls.predictions.transform.dense.weight": None},
         r"cls\.predictions\.transform\.dense\.weight \[32, 32\] is missing"),
        ({"cls.predictions.bias": torch.zeros(7)}, r"cls\.predictions\.bias is F32\[7\], and must"),
        ({"cls.predictions.transform.dense.bias": torch.zeros(32, dtype=torch.int64)},
         r"cls\.predictions\.transform\.dense\.bias is I64\[32\], and must be \[32\]"),
    ],
)  # fmt: skip
def test_a_part_of_a_head_or_one_of_another_shape_is_refused(
    tmp_path: Path, change: dict[str, torch.Tensor | None], fault: str
):
    write_whole(tmp_path, "bert")
    edit(tmp_path, change)
    with pytest.raises(BackboneError, match=fault) as caught:
        pretrained_head_digest(tmp_path)
    assert "languages: {head: own}" in str(caught.value)


def test_a_number_that_is_not_finite_is_refused(tmp_path: Path):
    write_whole(tmp_path, "bert")
    edit(
        tmp_path,
        {"cls.predictions.bias": torch.full((len(tiny_tokenizer().get_vocab()),), torch.nan)},
    )
    backbone = open_backbone(tmp_path, precision="float32")
    with pytest.raises(BackboneError, match="not finite"):
        own_masked_head(tmp_path, backbone, digest=pretrained_head_digest(tmp_path) or "")


def test_a_head_that_changed_since_the_plan_is_refused(tmp_path: Path):
    write_whole(tmp_path, "bert")
    backbone = open_backbone(tmp_path, precision="float32")
    with pytest.raises(AdapterError, match="not the one that was planned for"):
        own_masked_head(tmp_path, backbone, digest="ab" * 32)


@pytest.fixture
def backbone(tmp_path: Path) -> Backbone:
    return open_backbone(write_tiny_backbone(tmp_path / "bare"), precision="float32")


def counts(backbone: Backbone) -> np.ndarray:
    found = np.zeros(len(backbone.word_embeddings.weight), dtype=np.int64)
    found[[7, 9, 20, 30]] = [5, 1, 3, 1]
    return found


def test_a_new_head_knows_how_often_each_piece_occurs_and_scores_no_other(backbone: Backbone):
    head = new_masked_head(counts(backbone), backbone)
    assert head.scored.tokens.tolist() == [7, 9, 20, 30]
    assert np.flatnonzero(head.scored.covers()).tolist() == [7, 9, 20, 30]
    shares = head.part["token_bias"].exp()
    assert torch.allclose(shares.detach(), torch.tensor([6, 2, 4, 2]) / 14)


def test_a_head_is_read_as_it_was_written_and_frozen(backbone: Backbone, tmp_path: Path):
    head = new_masked_head(counts(backbone), backbone)
    write_masked_head(tmp_path, head, backbone, origin="trained")
    found = read_masked_head(tmp_path, backbone)
    assert found.part.tensors().keys() == head.part.tensors().keys()
    for name, tensor in head.part.tensors().items():
        assert torch.equal(found.part[name], tensor)
    assert found.scored.tokens.tolist() == head.scored.tokens.tolist()
    assert not any(one.requires_grad for one in found.part.parameters())


def test_another_backbones_head_is_refused(backbone: Backbone, tmp_path: Path):
    write_masked_head(tmp_path, new_masked_head(counts(backbone), backbone), backbone,
                      origin="trained")  # fmt: skip
    folder = write_tiny_backbone(tmp_path / "other", seed=1)
    other = open_backbone(folder, precision="float32")
    with pytest.raises(AdapterError, match="trained on a backbone whose body is"):
        read_masked_head(tmp_path, other)


@pytest.mark.parametrize(
    "tokens", [[7, 9, 9, 30], [30, 20, 9, 7], [7, 9, 20, 10**6], [-1, 9, 20, 30]]
)
def test_pieces_that_the_backbone_has_not_are_refused(
    backbone: Backbone, tmp_path: Path, tokens: list[int]
):
    head = new_masked_head(counts(backbone), backbone)
    head.scored.tokens = torch.tensor(tokens)
    write_masked_head(tmp_path, head, backbone, origin="trained")
    with pytest.raises(AdapterError, match="tokens are no ascending ids"):
        read_masked_head(tmp_path, backbone)


def test_a_batch_with_nothing_to_score_teaches_nothing(backbone: Backbone):
    head = new_masked_head(counts(backbone), backbone)
    hidden = torch.randn(2, 3, 32, requires_grad=True)
    loss = head.loss(hidden, torch.full((2, 3), -100))
    loss.backward()
    assert float(loss.detach()) == 0
    assert hidden.grad is not None
    assert not hidden.grad.any()
