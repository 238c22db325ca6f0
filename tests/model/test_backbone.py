import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from composer.errors import BackboneError
from composer.model.architectures import ARCHITECTURES
from composer.model.backbone import NarrowLinear, open_backbone
from tests.model.conftest import batch_of
from tests.tiny import tiny_tokenizer, write_tiny_roberta

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


def change_config(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


HOSTILE = {
    "auto_map": {"AutoModel": "model.Model"},
    "_attn_implementation_internal": "someone/kernel",
    "attn_implementation": "someone/kernel",
    "text_config": {"deeper": [{"trust_remote_code": True}]},
    "quantization_config": {"load_in_4bit": True},
}


@pytest.mark.parametrize("key", HOSTILE)
def test_a_config_that_can_run_code_is_refused(folder: Path, key: str):
    change_config(folder, **{key: HOSTILE[key]})
    named = "trust_remote_code" if key == "text_config" else key
    with pytest.raises(BackboneError, match=f"{named}.*refused"):
        open_backbone(folder, precision="float32")


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "no config.json"),
        ("tokenizer.json", "no tokenizer.json"),
        ("model.safetensors", "no .safetensors weights"),
    ],
)
def test_a_missing_file_is_named(folder: Path, missing: str, message: str):
    (folder / missing).unlink()
    with pytest.raises(BackboneError, match=message):
        open_backbone(folder, precision="float32")


def test_weights_that_do_not_fit_the_config_are_refused(folder: Path):
    change_config(folder, num_hidden_layers=3)
    with pytest.raises(BackboneError, match=r"weights do not fit.*layer\.2"):
        open_backbone(folder, precision="float32")


def test_an_architecture_without_placement_is_refused(folder: Path):
    from transformers import MPNetConfig, MPNetModel

    config = MPNetConfig(
        vocab_size=90, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32,
    )  # fmt: skip
    MPNetModel(config).save_pretrained(folder)
    with pytest.raises(BackboneError, match="architecture 'mpnet': composer runs bert, "):
        open_backbone(folder, precision="float32")


def test_a_limit_beyond_the_positions_is_refused(folder: Path):
    with pytest.raises(BackboneError, match="max_tokens 65: the backbone takes at most 64"):
        open_backbone(folder, precision="float32", max_tokens=65)


def test_every_parameter_is_frozen_and_every_site_has_its_own_norm(tiny_folder: Path):
    backbone = open_backbone(tiny_folder, precision="float32")
    assert not any(parameter.requires_grad for parameter in backbone.module.parameters())
    assert [str(site) for site in backbone.norms] == [
        "0.attention", "0.output", "1.attention", "1.output"
    ]  # fmt: skip
    assert len({id(norm) for norm in backbone.norms.values()}) == 4


def test_an_untouched_backbone_computes_what_transformers_does(tiny_folder: Path):
    from transformers import BertModel

    backbone = open_backbone(tiny_folder, precision="float32")
    plain = BertModel.from_pretrained(tiny_folder, add_pooling_layer=False)
    batch = batch_of(backbone, ["turn on the lamp", "set a timer for ten minutes"])
    real = batch["attention_mask"].bool()
    with torch.no_grad():
        got, expected = backbone.encode(batch), plain(**batch).last_hidden_state
    torch.testing.assert_close(got[real], expected[real])


SMALL = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
    "initializer_range": 0.3,
}
DISTIL = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "pad_token_id": 0}
KINDS = {
    "bert": {"hidden_act": "relu", "layer_norm_eps": 1e-3},
    "deberta-v2": {"relative_attention": True, "position_buckets": 8, "type_vocab_size": 0,
                   "pos_att_type": "p2c|c2p", "share_att_key": True, "norm_rel_ebd": "layer_norm",
                   "position_biased_input": False},
    "distilbert": DISTIL,
    "electra": {"embedding_size": 16},
    "roberta": {"type_vocab_size": 1},
    "xlm-roberta": {"type_vocab_size": 1},
}  # fmt: skip


@pytest.mark.parametrize("headed", [False, True], ids=["bare", "with a head"])
@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")  # deberta's own
def test_every_architecture_computes_what_transformers_does(
    tmp_path: Path, kind: str, headed: bool
):
    from transformers import CONFIG_MAPPING, AutoModel, AutoModelForMaskedLM

    taken = {name: SMALL[name] for name in ("vocab_size", "max_position_embeddings")}
    config = CONFIG_MAPPING[kind](**((taken if kind == "distilbert" else SMALL) | KINDS[kind]))
    torch.manual_seed(3)
    (AutoModelForMaskedLM if headed else AutoModel).from_config(config).save_pretrained(tmp_path)
    tiny_tokenizer().save(str(tmp_path / "tokenizer.json"))
    ours = open_backbone(tmp_path, precision="float32")
    theirs = AutoModel.from_pretrained(tmp_path).eval()
    assert ours.pad_id == config.pad_token_id
    batch = batch_of(ours, ["turn on the lamp", "set a timer for ten minutes"])
    plain = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        expected, got = theirs(**plain).last_hidden_state, ours.encode(batch)
        real = batch["attention_mask"].bool()
        torch.testing.assert_close(got[real], expected[real], rtol=1e-5, atol=1e-5)
    assert expected.std() > 0.1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_read_as_float32(folder: Path, dtype: torch.dtype):
    tensors = {name: one.to(dtype) for name, one in load_file(folder / WEIGHTS).items()}
    save_file(tensors, folder / WEIGHTS)
    opened = open_backbone(folder, precision="float32").module.state_dict()
    assert set(tensors) <= set(opened)
    assert all(torch.equal(opened[name], one.float()) for name, one in tensors.items())


def test_another_architecture_has_its_sites_too(tmp_path: Path):
    backbone = open_backbone(write_tiny_roberta(tmp_path), precision="float32")
    assert len(backbone.norms) == 4
    assert backbone.max_tokens == 65
    assert backbone.encode(batch_of(backbone, ["set a timer"])).shape[-1] == 32


def test_bfloat16_casts_the_operands_of_frozen_products_only(tiny_folder: Path):
    exact = open_backbone(tiny_folder, precision="float32")
    narrow = open_backbone(tiny_folder, precision="bfloat16")
    products = [m for m in narrow.module.modules() if isinstance(m, NarrowLinear)]
    assert len(products) == 2 * 6
    assert not any(isinstance(m, torch.nn.Linear) for m in narrow.module.modules())
    for norm in narrow.norms.values():
        assert norm.weight.dtype == torch.float32
    batch = batch_of(exact, ["turn on the lamp in the kitchen"])
    with torch.no_grad():
        one, other = exact.encode(batch), narrow.encode(batch)
    assert other.dtype == torch.float32
    difference = (one - other).abs().max() / one.abs().max()
    assert 0 < difference < 0.05


def test_opening_leaves_the_files_as_they_are(folder: Path):
    before = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}
    open_backbone(folder, precision="bfloat16")
    after = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}
    assert before == after
