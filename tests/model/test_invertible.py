"""Invertible adapters equal the formula, the library's block, and their own inverse."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import adapters
import numpy as np
import pytest
import torch
from adapters import DoubleSeqBnInvConfig, SeqBnInvConfig
from adapters.methods.modeling import NICECouplingBlock
from torch import Tensor, nn
from transformers import AutoModel

from composer.errors import AdapterError, BackboneError
from composer.model.arithmetic import couple, uncouple
from composer.model.backbone import Backbone, open_backbone
from composer.model.composed import ComposedModel
from composer.model.parts import Adapter, Bottleneck, Part, new_bottleneck, new_head
from composer.recipe.grammar.adapters import BottleneckAdapter, NonLinearity
from composer.recipe.grammar.composition import parse_composition
from tests.model import reference
from tests.model.conftest import adapter, batch_of, randomised
from tests.model.test_composed_against_adapters import difference, put
from tests.model.test_graph import difference as of_graphs
from tests.model.test_graph import feeds_for, run, session_of, signature_of
from tests.tiny import SENTENCES, write_tiny_family

ACTS: list[NonLinearity] = ["relu", "gelu", "swish", "tanh"]
FAMILIES = ["bert", "roberta", "xlm-roberta", "distilbert"]


def made(backbone: Backbone, **values: object) -> Adapter:
    shape = BottleneckAdapter.model_validate(
        {"kind": "bottleneck", "width": 4, "invertible": True, **values}
    )
    found = new_bottleneck(
        shape, sites=backbone.norms, size=backbone.size, generator=torch.Generator()
    )
    randomised(found, 7)
    return found


def doubled(part: Part) -> dict[str, Tensor]:
    return {name: tensor.double() for name, tensor in part.tensors().items()}


def vectors(size: int) -> Tensor:
    return torch.randn(3, 7, size, generator=torch.Generator().manual_seed(1)).double()


def library_block(part: Adapter, size: int) -> NICECouplingBlock:
    block = NICECouplingBlock([[size]], non_linearity=part.shape.non_linearity)
    copy_block(block, part)
    return block.double()


def copy_block(block: NICECouplingBlock, part: Adapter) -> None:
    for which, network in (("f", block.F), ("g", block.G)):
        put(network[0], part, f"embeddings.{which}_down")
        put(network[2], part, f"embeddings.{which}_up")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("act", ACTS)
def test_it_equals_the_published_formula_and_so_does_its_inverse(
    backbone: Backbone, act: NonLinearity, bias: bool
):
    part = made(backbone, non_linearity=act, bias=bias)
    x, weights = vectors(backbone.size), doubled(part)
    coupling = part.double().coupling()
    for ours, theirs in ((couple, reference.moved), (uncouple, reference.moved_back)):
        assert torch.allclose(ours(x, coupling), theirs(x, weights, act), rtol=0, atol=1e-10)
        assert not torch.allclose(ours(x, coupling), x, atol=0.1)


@pytest.mark.parametrize("act", ACTS)
def test_it_equals_the_librarys_block_both_ways_and_in_its_gradients(
    backbone: Backbone, act: NonLinearity
):
    part = made(backbone, non_linearity=act)
    block, coupling = library_block(part, backbone.size), part.double().coupling()
    x = vectors(backbone.size)
    assert (couple(x, coupling) - block(x)).abs().max() < 1e-10
    assert (uncouple(x, coupling) - block(x, rev=True)).abs().max() < 1e-10
    (couple(x, coupling) * x.cos()).sum().backward()
    (block(x) * x.cos()).sum().backward()
    for which, network in (("f", block.F), ("g", block.G)):
        for name, linear in (("down", network[0]), ("up", network[2])):
            for suffix, tensor in (("", linear.weight), ("_bias", linear.bias)):
                ours = part.parameter(f"embeddings.{which}_{name}{suffix}").grad
                assert ours is not None
                assert (ours - tensor.grad).abs().max() < 1e-10


def test_the_comparison_notices_that_f_and_g_are_swapped(backbone: Backbone):
    part = made(backbone)
    block, x = library_block(part, backbone.size), vectors(backbone.size)
    block.F, block.G = block.G, block.F
    assert (couple(x, part.double().coupling()) - block(x)).abs().max() > 1e-2


@pytest.mark.parametrize("name", ["turned", "turnedbare", "turnedlow"])
def test_the_inverse_undoes_it(backbone: Backbone, name: str):
    coupling = adapter(backbone, name).coupling()
    x = vectors(backbone.size).float()
    with torch.no_grad():
        assert (uncouple(couple(x, coupling), coupling) - x).abs().max() < 1e-5
        assert (couple(uncouple(x, coupling), coupling) - x).abs().max() < 1e-5


def test_a_fresh_one_is_next_to_the_identity_and_changes_no_other_weight(backbone: Backbone):
    plain, turned = (
        new_bottleneck(
            BottleneckAdapter(kind="bottleneck", width=4, invertible=invertible),
            sites=backbone.norms,
            size=backbone.size,
            generator=torch.Generator().manual_seed(3),
        )
        for invertible in (False, True)
    )
    for name in plain.names:
        assert torch.equal(plain[name], turned[name])
    assert set(turned.names) - set(plain.names) == {
        f"embeddings.{which}_{name}"
        for which in "fg"
        for name in ("down", "down_bias", "up", "up_bias")
    }
    x = vectors(backbone.size).float()
    moved = (couple(x, turned.coupling()) - x).abs().max()
    assert 0 < moved < 0.1
    assert plain.coupling() is None


@pytest.mark.parametrize(
    ("family", "expression"),
    [("bert", "turned > relu"), *((family, "turnedlow") for family in FAMILIES)],
)
def test_hidden_states_equal_the_librarys(family: str, expression: str, tmp_path: Path):
    ours, _ = model_of(family, expression, tmp_path)
    batch = batch_of(ours.backbone, SENTENCES[:3])
    theirs = library_model(tmp_path / family, ours)
    if family == "distilbert":
        del batch["token_type_ids"]
    ours.backbone.to(torch.float64)
    assert difference(ours.double(), theirs.double(), batch) < 1e-10
    with torch.no_grad():
        ours.adapter(expression.split()[0])["embeddings.g_up"].add_(0.01)
    assert difference(ours, theirs, batch) > 1e-6


def model_of(family: str, expression: str, folder: Path) -> tuple[ComposedModel, Backbone]:
    path = write_tiny_family(folder / family, family)
    backbone = open_backbone(path, precision="float32")
    composition = parse_composition(expression)
    names = expression.split(" > ")
    head = new_head(classes=3, size=backbone.size, generator=torch.Generator().manual_seed(3))
    randomised(head, 4)
    parts = {name: without_norms(adapter(backbone, name)) for name in names}
    return ComposedModel(backbone, composition=composition, adapters=parts, head=head), backbone


def without_norms(part: Adapter) -> Adapter:
    """Leave out trained norms, which `adapters` does not have."""
    kept = {name: tensor for name, tensor in part.tensors().items() if "norm_" not in name}
    return Bottleneck(part.shape.model_copy(update={"train_norm": False}), kept)


def library_model(folder: Path, ours: ComposedModel) -> nn.Module:
    model = AutoModel.from_pretrained(folder)
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    adapters.init(model)
    names = str(ours.composition).split(" > ")
    for name in names:
        shape = ours.adapter(name).shape
        kind = {"houlsby": DoubleSeqBnInvConfig, "pfeiffer": SeqBnInvConfig}[shape.placement]
        config = kind(
            reduction_factor=32 / shape.width,
            non_linearity=shape.non_linearity,
            scaling=float(shape.scaling),
            inv_adapter="nice" if shape.invertible else None,
        )
        model.add_adapter(name, config=config)
        if shape.invertible:
            copy_block(model.invertible_adapters[name], ours.adapter(name))
    model.set_active_adapters(adapters.Stack(*names))
    for site, layer in library_sites(model):
        for name in set(names) & set(layer.adapters):
            put(layer.adapters[name].adapter_down[0], ours.adapter(name), f"{site}.down")
            put(layer.adapters[name].adapter_up, ours.adapter(name), f"{site}.up")
    return model.eval()


def library_sites(model: nn.Module) -> list[tuple[str, nn.Module]]:
    found = []
    for number, layer in model.iter_layers():
        for module in layer.modules():
            key = getattr(module, "location_key", None)
            where = {"mh_adapter": "attention", "output_adapter": "output"}.get(key)
            if where is not None and hasattr(module, "adapters"):
                found.append((f"{number}.{where}", module))
    assert len(found) == 4
    return found


@pytest.mark.parametrize(
    ("family", "expression"),
    [("bert", "turnedbare"), *((family, "turned > relu") for family in FAMILIES)],
)
def test_the_graph_of_every_family_gives_the_trained_models_logits(
    family: str, expression: str, tmp_path: Path
):
    model, backbone = model_of(family, expression, tmp_path)
    batch = batch_of(backbone, SENTENCES[:3])
    with torch.no_grad():
        expected = model(batch)[:, None].numpy()
    signature = signature_of(model)
    assert signature.invertible
    feeds = feeds_for(model, signature)
    session = session_of(backbone, signature)
    assert of_graphs(run(session, feeds, batch, "mean"), expected) < 1e-5
    for name in [name for name in feeds if name.startswith("embeddings_")]:
        feeds[name] = np.zeros_like(feeds[name])
    first = expression.split()[0]
    with torch.no_grad():
        for name in model.adapter(first).names:
            if name.startswith("embeddings."):
                model.adapter(first)[name].zero_()
        plain = model(batch)[:, None].numpy()
    assert of_graphs(run(session, feeds, batch, "mean"), plain) < 1e-5
    assert of_graphs(plain, expected) > 1e-3


def test_what_acts_at_the_embeddings_acts_in_its_own_thread(
    compose: Callable[..., ComposedModel], backbone: Backbone
):
    names = ["turned", "relu", "turnedbare", "turned > relu"] * 2
    models = {name: compose(name).eval() for name in set(names)}
    batch = batch_of(backbone, SENTENCES)
    with torch.no_grad():
        alone = {name: model.hidden(batch) for name, model in models.items()}
    gate = threading.Barrier(len(names))

    def often(name: str) -> bool:
        gate.wait()
        with torch.no_grad():
            return all(torch.equal(models[name].hidden(batch), alone[name]) for _ in range(8))

    with ThreadPoolExecutor(len(names)) as pool:
        assert all(pool.map(often, names))
    plain = compose("none")
    with torch.no_grad():
        assert torch.equal(plain.hidden(batch), backbone.encode(batch))


@pytest.mark.parametrize(
    "expression",
    [
        "relu > turned",
        "turned > turnedbare",
        "fuse(turned, relu)",
        "gate(relu, turned)",
        "average(turned, turnedbare)",
        "average(turned, turnedbare) > relu",
        "fuse(turned > relu, gelu)",
        "turned > fuse(turned, relu)",
    ],
)
def test_one_that_is_mixed_or_on_top_is_refused(
    compose: Callable[..., ComposedModel], expression: str
):
    message = r"is invertible and does not stand alone at the start of .*`invertible: false`"
    with pytest.raises(AdapterError, match=message):
        compose(expression)


def test_one_that_a_language_brings_in_may_stand_first_only(backbone: Backbone):
    parts = {"de": made(backbone), "intent": adapter(backbone, "relu")}
    good = parse_composition("$language > intent")
    ComposedModel(backbone, composition=good, adapters=parts)
    bad = parse_composition("average($language, intent)")
    with pytest.raises(AdapterError, match=r"^\$language is invertible and does not stand alone"):
        ComposedModel(backbone, composition=bad, adapters=parts)


@pytest.mark.parametrize("size", [33, 2])
def test_a_hidden_size_without_halves_is_refused(backbone: Backbone, size: int):
    with pytest.raises(AdapterError, match=f"cuts the hidden size in halves, .* is {size}"):
        new_bottleneck(
            BottleneckAdapter(kind="bottleneck", width=1, invertible=True),
            sites=backbone.norms,
            size=size,
            generator=torch.Generator(),
        )


def test_embeddings_of_another_size_than_the_hidden_states_are_refused(tmp_path: Path):
    backbone = open_backbone(write_tiny_family(tmp_path, "electra"), precision="float32")
    model = ComposedModel(backbone, composition="a", adapters={"a": made(backbone)})
    with pytest.raises(BackboneError, match="embeddings have another size .* no invertible"):
        model.hidden(batch_of(backbone, SENTENCES[:1]))
