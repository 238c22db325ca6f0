"""Adapters go to `adapters` 1.3.0 and come from it with the same hidden states."""

from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import (
    BnConfig,
    DoubleSeqBnConfig,
    DoubleSeqBnInvConfig,
    LoRAConfig,
    ParBnConfig,
    PrefixTuningConfig,
    PromptTuningConfig,
    SeqBnConfig,
    SeqBnInvConfig,
)

from composer.model.backbone import Backbone
from composer.model.interchange.hub import read_hub_adapter, write_hub_adapter
from tests.model.conftest import batch_of
from tests.model.interchange.library import (
    BERT_NAME,
    bert,
    composed,
    far_apart,
    randomise,
    theirs_of,
)

TEXTS = ["turn on the lamp in the kitchen", "set a timer"]
ALIKE = 1e-5

CONFIGS = {
    "pfeiffer": SeqBnConfig(reduction_factor=4),
    "houlsby": DoubleSeqBnConfig(reduction_factor=4),
    "after attention": BnConfig(
        mh_adapter=True, output_adapter=False, reduction_factor=8, non_linearity="tanh"
    ),
    "after feed-forward": BnConfig(
        mh_adapter=False, output_adapter=True, reduction_factor=4.5, non_linearity="gelu"
    ),
    "parallel": ParBnConfig(reduction_factor=4),
    "parallel at both": ParBnConfig(mh_adapter=True, reduction_factor=4, scaling="learned"),
    "invertible": SeqBnInvConfig(reduction_factor=4),
    "narrow invertible": DoubleSeqBnInvConfig(reduction_factor=4, inv_adapter_reduction_factor=4),
    "by layer": DoubleSeqBnConfig(reduction_factor={"1": 2, "default": 8}),
    "some layers": SeqBnConfig(reduction_factor=4, leave_out=[0], scaling=0.5, dropout=0.1),
    "lora": LoRAConfig(r=3, alpha=7),
    "lora of all": LoRAConfig(
        r=2, attn_matrices=["k"], intermediate_lora=True, output_lora=True, leave_out=[1]
    ),
    "lora of two": LoRAConfig(selfattn_lora=False, intermediate_lora=True),
    "prefix": PrefixTuningConfig(prefix_length=3, bottleneck_size=7),
    "flat prefix": PrefixTuningConfig(flat=True, prefix_length=3, leave_out=[0]),
    "prompt": PromptTuningConfig(prompt_length=4),
}


def saved(folder: Path, config: Any, to: Path) -> Any:
    model = bert(folder)
    model.add_adapter("ner", config=config)
    randomise(model, 5, only="ner")
    model.set_active_adapters("ner")
    # the library cannot save a prefix in safetensors: its copies share memory
    is_prefix = isinstance(config, PrefixTuningConfig)
    model.save_adapter(to, "ner", use_safetensors=not is_prefix)
    return model


def texts_for(name: str) -> list[str]:
    # beside a longer text, the library gives a text other values: its mask is not lengthened
    return TEXTS[:1] if name == "prompt" else TEXTS


@pytest.mark.parametrize("name", CONFIGS)
def test_an_adapter_comes_and_goes_with_the_same_outputs(
    backbone: Backbone, tiny_folder: Path, tmp_path: Path, name: str
):
    theirs = saved(tiny_folder, CONFIGS[name], tmp_path / "theirs")
    batch = batch_of(backbone, texts_for(name))
    expected = theirs_of(theirs, batch)

    read = read_hub_adapter(tmp_path / "theirs", backbone)
    with torch.no_grad():
        got = composed(backbone, read.shape, read.tensors).hidden(batch)
        bare = backbone.encode(batch)
    assert far_apart(got, expected, batch) < ALIKE
    assert far_apart(bare, expected, batch) > 0.01  # it does something

    (tmp_path / "ours").mkdir()
    write_hub_adapter(
        tmp_path / "ours", "ner", read.shape, read.tensors, backbone=backbone, model=BERT_NAME
    )
    again, told = bert(tiny_folder), {}
    again.load_adapter(
        str(tmp_path / "ours"), set_active=True, use_safetensors=True, loading_info=told
    )
    assert far_apart(theirs_of(again, batch), expected, batch) < ALIKE
    assert not told["unexpected_keys"]
    assert not [name for name in told["missing_keys"] if ".pool." not in name]  # copies of one
    once_more = read_hub_adapter(tmp_path / "ours", backbone)
    assert {name: one.tobytes() for name, one in once_more.tensors.items()} == {
        name: one.tobytes() for name, one in read.tensors.items()
    }
