"""AdapterFusion goes to `adapters` 1.3.0 and comes from it with the same hidden states."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from adapters import AdapterFusionConfig, DoubleSeqBnConfig, SeqBnConfig, SeqBnInvConfig
from adapters.composition import Fuse, Stack

from composer.model.backbone import Backbone
from composer.model.composed import ComposedModel
from composer.model.interchange.hub import read_hub_adapter, write_hub_adapter
from composer.model.interchange.hubfusions import (
    ForeignSetup,
    read_hub_fusion,
    read_members,
    read_setup,
    write_hub_fusion,
    write_setup,
)
from composer.model.methods.kinds import stored_adapter
from composer.model.mixers import TrainedMixers
from composer.model.parts import Owned
from composer.recipe.grammar.composition import parse_composition
from tests.model.conftest import batch_of
from tests.model.interchange.library import BERT_NAME, bert, far_apart, randomise, theirs_of

TEXTS = ["turn on the lamp in the kitchen", "set a timer"]
PFEIFFER = (SeqBnConfig(reduction_factor=4), SeqBnConfig(reduction_factor=8))
HOULSBY = (DoubleSeqBnConfig(reduction_factor=4), DoubleSeqBnConfig(reduction_factor=8))
CASES = {
    "dynamic": (PFEIFFER, AdapterFusionConfig.load("dynamic")),
    "houlsby": (HOULSBY, AdapterFusionConfig.load("dynamic", query_before_ln=True)),
    "static": (PFEIFFER, AdapterFusionConfig.load("static")),
    "V behind": (PFEIFFER, AdapterFusionConfig.load("dynamic", value_before_softmax=False)),
    "K alone": (HOULSBY, AdapterFusionConfig.load("dynamic", query=False, value=False)),
}


def fused(folder: Path, members: tuple[Any, Any], config: Any) -> Any:
    model = bert(folder)
    for name, one in zip("ab", members, strict=True):
        model.add_adapter(name, config=one)
        randomise(model, ord(name), only=f".{name}.")
    model.add_adapter_fusion(Fuse("a", "b"), config)
    randomise(model, 7, only="adapter_fusion_layer")
    model.set_active_adapters(Fuse("a", "b"))
    return model.eval()


def ours_of(backbone: Backbone, folder: Path, expression: str = "fuse(a, b)") -> ComposedModel:
    read = {name: read_hub_adapter(folder / name, backbone) for name in ("a", "b")}
    tensors = read_hub_fusion(folder / "a,b", [one.shape for one in read.values()], backbone)
    return ComposedModel(
        backbone,
        composition=parse_composition(expression),
        adapters={name: stored_adapter(one.shape, _torched(one.tensors), backbone)
                  for name, one in read.items()},
        mixers=TrainedMixers(Owned(_torched(tensors))),
    )  # fmt: skip


def _torched(tensors: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(one.copy()) for name, one in tensors.items()}


@pytest.mark.parametrize("name", CASES)
def test_a_fusion_comes_and_goes_with_the_same_outputs(
    backbone: Backbone, tiny_folder: Path, tmp_path: Path, name: str
):
    theirs, batch = fused(tiny_folder, *CASES[name]), batch_of(backbone, TEXTS)
    expected = theirs_of(theirs, batch)
    for member in "ab":
        theirs.save_adapter(tmp_path / member, member, use_safetensors=True)
    theirs.save_adapter_fusion(tmp_path / "a,b", "a,b", use_safetensors=True)
    assert read_members(tmp_path / "a,b") == ("a", "b")
    ours = ours_of(backbone, tmp_path)
    with torch.no_grad():
        assert far_apart(ours.hidden(batch), expected, batch) < 1e-5

    again = tmp_path / "again"
    for member in ("a", "b", "a,b"):
        (again / member).mkdir(parents=True)
    shapes = [ours.adapter(member).shape for member in "ab"]
    for member in "ab":
        write_hub_adapter(
            again / member,
            member,
            ours.adapter(member).shape,
            {key: one.numpy() for key, one in ours.adapter(member).tensors().items()},
            backbone=backbone,
            model=BERT_NAME,
        )
    owned = {key: one.numpy() for key, one in ours.owned.tensors().items()}
    write_hub_fusion(again / "a,b", "ab", shapes, owned, backbone=backbone, model=BERT_NAME)
    write_setup(again, ForeignSetup(stacked=(), fused=("a", "b"), head=None))
    loaded = bert(tiny_folder)
    loaded.load_adapter_setup(str(again), set_active=True, use_safetensors=True)
    assert far_apart(theirs_of(loaded, batch), expected, batch) < 1e-5
    assert read_setup(again) == ForeignSetup(stacked=(), fused=("a", "b"), head=None)


def test_a_stack_with_a_fusion_on_top_is_read_as_the_library_saves_it(
    tiny_folder: Path, tmp_path: Path
):
    model = fused(tiny_folder, *CASES["dynamic"])
    model.add_adapter("de", config=SeqBnInvConfig())
    model.save_adapter_setup(tmp_path, Stack("de", Fuse("a", "b")), use_safetensors=True)
    assert read_setup(tmp_path) == ForeignSetup(stacked=("de",), fused=("a", "b"), head=None)
