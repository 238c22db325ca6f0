import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch

from composer.errors import BackboneError
from composer.model.backbone import NarrowLinear, open_backbone, screen_folder
from tests.model.conftest import batch_of
from tests.tiny import write_tiny_roberta


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


@pytest.mark.parametrize("name", ["modeling.py", "deep/tool.py", "weights.pkl"])
def test_code_beside_the_weights_is_refused(folder: Path, name: str):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("raise SystemExit")
    with pytest.raises(BackboneError, match="holds code"):
        screen_folder(folder)


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
    with pytest.raises(BackboneError, match="'mpnet'.*no placement"):
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
    with torch.no_grad():
        torch.testing.assert_close(backbone.encode(batch), plain(**batch).last_hidden_state)


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
