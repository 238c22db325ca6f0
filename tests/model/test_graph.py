"""The device graph run by ONNX Runtime equals the trained model on torch."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from composer.bundle.graphs import TOKEN_INPUTS, GraphRecord, Signature
from composer.bundle.slots import fill_slots, needed_signature, norm_owner
from composer.device.feeds import Trained, feeds_of
from composer.device.session import Session
from composer.errors import BackboneError, BundleError
from composer.model.backbone import Backbone, open_backbone
from composer.model.composed import ComposedModel, pool
from composer.model.families import read_encoder
from composer.model.folded import fold
from composer.model.graph_files import make_graphs
from composer.recipe.grammar.bundles import GraphPrecision
from composer.recipe.grammar.composition import NONE, adapter_names, parse_composition
from tests.model.conftest import SHAPES, batch_of
from tests.tiny import SENTENCES, write_tiny_backbone, write_tiny_family

# Expression -> whether the composition trains norms of its own.
EXPRESSIONS = {
    "none": False,
    "relu": False,
    "bare": False,
    "top": False,
    "tanh": False,
    "mid1": False,
    "mid3": False,
    "low": False,
    "low2": False,
    "low3": False,
    "relu > mid2": False,
    "low > relu": False,
    "relu > low2": False,
    "average(relu, gelu)": False,
    "average(0.2 * relu, 0.5 * mid1, 0.3 * tanh)": True,
    "average(relu, swish) > gelu": False,
    "fuse(relu, gelu)": False,
    "fuse(relu, mid1, mid3)": True,
    "fuse(low, low2, low3)": True,
    "fuse(bare, top, none)": False,
    "fuse(relu, gelu, swish, tanh, mid1, mid2, mid3, top)": True,
    "fuse(average(0.3 * swish, 0.7 * tanh), relu)": False,
    "gate(relu, gelu, none)": False,
    "gate(low, low2)": True,
    "swish > fuse(relu, mid1)": True,
    "low > gate(low2, low3)": False,
    "turnedbare": False,
    "turned > tanh": False,
    "turnedlow > average(low, low3)": True,
    "turned > fuse(relu, mid1)": True,
    "seen": False,
    "fed": False,
    "beside": False,
    "seen > fed": False,
    "beside > relu": False,
    "low > average(beside, beside2)": True,
    "fuse(seen, seen2)": True,
    "fuse(beside, beside2, none)": False,
    "gate(scaled, layered, layered2)": False,
    "fuse(layered, scaled, layered2)": True,
    "layered > layered2": False,
}
REFUSED = {
    "fuse(relu, gelu) > mid1": "mixes only what is on top",
    "relu > gelu > tanh": "a stack of 3",
    "fuse(relu > gelu, tanh)": "a stack inside a fusion",
    "average(relu > gelu, tanh)": "a stack inside a fusion, gate or average",
    "relu > turned": "turned is invertible and does not stand alone at the start of relu > turned",
    "average(turned, relu) > gelu": "turned is invertible and does not stand alone at the start",
    "fuse(relu, turned)": "so it is neither mixed nor put on top; train it with",
}


def arrays(tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy() for name, tensor in tensors.items()}


def signature_of(model: ComposedModel) -> Signature:
    names = adapter_names(model.composition)
    shapes = {name: model.adapter(name).shape for name in names}
    owned = model.owned.names if model.owned else ()
    return needed_signature(
        model.composition, shapes, own_norms=any("norm_weight" in name for name in owned)
    )


def feeds_for(model: ComposedModel, signature: Signature) -> dict[str, np.ndarray]:
    names = adapter_names(model.composition)
    trained = Trained(
        filling=fill_slots(model.composition),
        shapes={name: model.adapter(name).shape for name in names},
        adapters={name: arrays(model.adapter(name).tensors()) for name in names},
        owned=arrays(fold(model)),
        head=arrays(model.head.tensors()),
        top=norm_owner(model.composition),
    )
    encoder = read_encoder(model.backbone)
    return feeds_of(trained, signature, encoder.weights, encoder.layers)


def run(session: Session, feeds: dict[str, np.ndarray], batch: dict, pooling: str) -> np.ndarray:
    tokens = {name: batch[name].numpy() for name in TOKEN_INPUTS if name in session.inputs}
    mask = tokens["attention_mask"]
    rows = (mask / mask.sum(1, keepdims=True))[:, None]
    if pooling == "first":
        rows = np.eye(mask.shape[1])[:1][None].repeat(len(mask), 0)
    if pooling == "none":
        rows = np.eye(mask.shape[1])[None].repeat(len(mask), 0)
    return session.run({**tokens, **feeds, "pooling": rows.astype(np.float32)})


def tolerance(expression: str) -> float:
    """Random weights make scores of hundreds, where a rounding of 1e-7 grows a thousandfold.

    Trained ones are held to 1e-5 where bundles are exported.
    """
    return 3e-4 if "fuse" in expression else 1e-5


def difference(got: np.ndarray, expected: np.ndarray) -> float:
    assert got.shape == expected.shape
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def records(signatures: dict[str, Signature], precision: GraphPrecision) -> dict[str, GraphRecord]:
    return {
        name: GraphRecord(signature=one, precision=precision) for name, one in signatures.items()
    }


def session_of(backbone: Backbone, signature: Signature) -> Session:
    files = make_graphs(read_encoder(backbone), records({"graph": signature}, "float32"))
    return Session(files.structures["graph"], files.weights, threads=1, place="graph")


WIDEST = Signature(
    lower={"placement": "houlsby", "non_linearities": ("gelu", "relu", "swish", "tanh")},
    upper={
        "placement": "houlsby",
        "non_linearities": ("gelu", "relu", "swish", "tanh"),
        "middle_layers": 3,
    },
    mixing=True,
    norms=True,
    invertible=("gelu", "relu"),
)


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize("pooling", ["mean", "first", "none"])
def test_the_graph_gives_the_trained_models_logits(
    compose: Callable[..., ComposedModel], expression: str, pooling: str
):
    model = compose(expression, train_norm=EXPRESSIONS[expression])
    model.pooling = pooling
    batch = batch_of(model.backbone, SENTENCES[:3])
    with torch.no_grad():
        expected = model(batch)
        expected = (expected if pooling == "none" else expected[:, None]).numpy()
    signature = signature_of(model)
    session = session_of(model.backbone, signature)
    (record,) = records({"graph": signature}, "float32").values()
    session.check_inputs(record, size=model.backbone.size, layers=2, place="graph")
    got = run(session, feeds_for(model, signature), batch, pooling)
    assert difference(got, expected) < tolerance(expression)


def _elsewhere(expression: str) -> bool:
    return any(name in expression for name in ("low", "seen", "fed", "beside"))


@pytest.fixture(scope="module")
def widest(backbone: Backbone) -> Session:
    return session_of(backbone, WIDEST)


@pytest.mark.parametrize("expression", [name for name in EXPRESSIONS if not _elsewhere(name)])
def test_one_graph_runs_every_composition_of_its_placement(
    compose: Callable[..., ComposedModel], widest: Session, expression: str
):
    model = compose(expression, train_norm=EXPRESSIONS[expression])
    batch = batch_of(model.backbone, SENTENCES)
    with torch.no_grad():
        expected = model(batch)[:, None].numpy()
    got = run(widest, feeds_for(model, WIDEST), batch, "mean")
    assert difference(got, expected) < tolerance(expression)


@pytest.mark.parametrize("expression", REFUSED)
def test_what_the_graph_cannot_say_is_refused(expression: str):
    composition = parse_composition(expression)
    shapes = {name: SHAPES[name] for name in adapter_names(composition)}
    with pytest.raises(BundleError, match=re.escape(REFUSED[expression])):
        needed_signature(composition, shapes, own_norms=False)


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta", "distilbert"])
def test_every_family_gives_the_encoders_own_hidden_states(family: str, tmp_path: Path):
    backbone = open_backbone(write_tiny_family(tmp_path / family, family), precision="float32")
    batch = batch_of(backbone, [*SENTENCES, "[PAD] turn on [PAD]"])
    with torch.no_grad():
        hidden = pool(backbone.encode(batch), batch["attention_mask"], "none").numpy()
    real = batch["attention_mask"].numpy()[..., None]
    head = {"head_weight": np.eye(backbone.size), "head_bias": np.zeros(backbone.size)}
    feeds = {name: array.astype(np.float32) for name, array in head.items()}
    got = run(session_of(backbone, Signature()), feeds, batch, "none")
    assert difference(got * real, hidden * real) < 1e-5


def test_an_architecture_without_a_graph_is_refused_by_name(tmp_path: Path):
    backbone = open_backbone(write_tiny_backbone(tmp_path), precision="float32")
    backbone = replace(backbone, architecture="electra")
    with pytest.raises(BackboneError, match=r"'electra' has no device graph; .* bert, roberta"):
        read_encoder(backbone)


@pytest.mark.parametrize(("precision", "least"), [("int8", 0.98), ("weight-int8", 0.999)])
def test_a_small_graph_says_nearly_the_same(
    compose: Callable[..., ComposedModel], precision: str, least: float
):
    model = compose("relu > mid1", classes=32)
    batch = batch_of(model.backbone, SENTENCES)
    signature = signature_of(model)
    files = make_graphs(read_encoder(model.backbone), records({"graph": signature}, precision))
    session = Session(files.structures["graph"], files.weights, threads=1, place=precision)
    with torch.no_grad():
        expected = model(batch).numpy()
    got = run(session, feeds_for(model, signature), batch, "mean")[:, 0]
    cosine = (
        (got * expected).sum(1) / np.linalg.norm(got, axis=1) / np.linalg.norm(expected, axis=1)
    )
    assert least < cosine.min() < 0.9999999


def test_the_same_backbone_gives_the_same_graph_bytes(backbone: Backbone):
    for precision in ("float32", "int8", "weight-int8"):
        one, other = (
            make_graphs(
                read_encoder(backbone), records({"wide": WIDEST, "plain": Signature()}, precision)
            )
            for _ in range(2)
        )
        assert one.structures == other.structures
        assert one.weights.keys() == other.weights.keys()
        for name in one.weights:
            np.testing.assert_array_equal(one.weights[name], other.weights[name])


def test_a_composition_names_its_norms():
    assert norm_owner(parse_composition("relu > tanh")) == "tanh"
    assert norm_owner(parse_composition("fuse(relu, tanh)")) is None
    assert norm_owner(NONE) is None
