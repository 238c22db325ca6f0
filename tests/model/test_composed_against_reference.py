"""Every composition at a site equals the published formulas in float64, and so do gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from composer.model.adapters import Site
from composer.model.composed import ComposedModel
from composer.recipe.grammar.adapters import MAdapter
from composer.recipe.grammar.composition import (
    NONE,
    Average,
    Composition,
    Fuse,
    Gate,
    Stack,
    adapter_names,
)
from tests.model import reference
from tests.model.conftest import ATTENTION, OUTPUT, random_states

SITES = [Site(0, "attention"), Site(0, "output"), OUTPUT]

EXPRESSIONS = [
    "relu",
    "mid1",
    "mid3",
    "tanh",
    "low",
    "low2",
    "top",
    "bare",
    "relu > gelu",
    "low > low2",
    "relu > mid3",
    "tanh > relu",
    "average(relu, gelu)",
    "average(0.2 * relu, 0.5 * mid1, 0.3 * tanh)",
    "average(0.3 * low, 0.7 * low2)",
    "fuse(relu, gelu, swish, tanh)",
    "fuse(relu, mid1, mid3)",
    "fuse(low, low2, low3)",
    "fuse(relu, gelu, none)",
    "fuse(relu, top)",
    "fuse(bare, relu)",
    "gate(relu, gelu, mid1)",
    "gate(low, low2, none)",
    "swish > fuse(relu, gelu)",
    "low > fuse(low2, low3)",
    "fuse(relu > gelu, tanh)",
    "fuse(low > low2, low3)",
    "gate(average(0.25 * relu, 0.75 * gelu), mid1)",
    "fuse(relu, gelu) > mid3",
    "fuse(relu, gelu) > gate(mid1, tanh)",
    "seen",
    "fed",
    "beside",
    "beside2",
    "scaled",
    "layered",
    "seen > fed",
    "beside > beside2",
    "beside > relu",
    "average(0.3 * beside, 0.7 * beside2)",
    "fuse(seen, seen2, none)",
    "fuse(beside, beside2)",
    "gate(beside, beside2)",
    "fuse(scaled, layered, layered2)",
    "relu > gate(scaled, layered)",
]
AFTER_ATTENTION = {"seen", "fuse(seen, seen2, none)"}  # nowhere else


class Reference:
    """The same composition with the same weights, by `tests.model.reference`."""

    def __init__(self, model: ComposedModel) -> None:
        self.model = model
        self.adapters = {
            name: _double(model.adapter(name).tensors())
            for name in adapter_names(model.composition)
        }
        self.owned = _double(model.owned.tensors()) if model.owned else {}
        self.key_bias = torch.randn(model.backbone.size, dtype=torch.float64)

    def at(self, site: Site, hidden: Tensor, residual: Tensor) -> Tensor:
        composition = self.model.composition
        parts = composition.parts if isinstance(composition, Stack) else (composition,)
        number = 0
        for part in parts:
            if isinstance(part, Fuse | Gate):
                hidden = hidden + self._mixed(part, number, site, hidden, residual)
                number += 1
            else:
                hidden = hidden + self._added(part, site, hidden, residual)
        weight, bias = self._norm(parts[-1], site)
        return reference.layer_norm(hidden + residual, weight, bias, 1e-12)

    def _read(self, part: Composition, site: Site, hidden: Tensor, residual: Tensor) -> Tensor:
        shape = self.model.adapter(adapter_names(part)[0]).shape
        if shape.form == "parallel":
            return residual
        if shape.placement != "pfeiffer":
            return hidden
        norm = self.model.backbone.norms[site]
        return reference.layer_norm(
            hidden + residual, norm.weight.double(), norm.bias.double(), 1e-12
        )

    def _added(self, part: Composition, site: Site, hidden: Tensor, residual: Tensor) -> Tensor:
        if isinstance(part, Stack):
            start = hidden
            for one in part.parts:
                hidden = hidden + self._added(one, site, hidden, residual)
            return hidden - start
        if isinstance(part, Average):
            pieces = [self._added(one, site, hidden, residual) for one in part.parts]
            return sum(w * piece for w, piece in zip(part.weights, pieces, strict=True))
        weights = self.adapters.get(part, {})
        if part == NONE or f"{site}.down" not in weights:
            return torch.zeros_like(hidden)
        shape = self.model.adapter(part).shape
        middle = shape.middle_layers if isinstance(shape, MAdapter) else 0
        for name in ("down", "up"):
            weights.setdefault(f"{site}.{name}_bias", torch.zeros(len(weights[f"{site}.{name}"])))
        read = self._read(part, site, hidden, residual)
        scaling = weights[f"{site}.scaling"] if shape.scaling == "learned" else shape.scaling
        return scaling * reference.up_projection(
            read, weights, str(site), shape.non_linearity, middle
        )

    def _mixed(
        self, part: Fuse | Gate, number: int, site: Site, hidden: Tensor, residual: Tensor
    ) -> Tensor:
        prefix = f"{site}.{number}"
        if not any(name.startswith(prefix) for name in self.owned):
            return torch.zeros_like(hidden)  # its members do not act at this site
        read = self._read(part, site, hidden, residual)
        ups = [self._added(member, site, hidden, residual) for member in part.parts]
        if isinstance(part, Gate):
            return reference.gate(read, ups, self.owned, prefix)
        return reference.fusion(read, ups, self.owned, prefix, self.key_bias)

    def _norm(self, top: Composition, site: Site) -> tuple[Tensor, Tensor]:
        weights = self.adapters[top] if isinstance(top, str) else self.owned
        if f"{site}.norm_weight" in weights:
            return weights[f"{site}.norm_weight"], weights[f"{site}.norm_bias"]
        norm = self.model.backbone.norms[site]
        return norm.weight.double(), norm.bias.double()


def _double(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.double() for name, tensor in tensors.items()}


def ours(model: ComposedModel, site: Site, hidden: Tensor, residual: Tensor) -> Tensor:
    return model.walk().act(site, hidden, residual, model.backbone.norms[site])


@pytest.mark.parametrize("site", SITES, ids=str)
@pytest.mark.parametrize("train_norm", [False, True])
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_composition_equals_the_published_formulas(
    compose: Callable[..., ComposedModel], expression: str, train_norm: bool, site: Site
):
    model = compose(expression, train_norm=train_norm)
    hidden, residual = random_states(model.backbone)
    expected = Reference(model).at(site, hidden.double(), residual.double())
    got = ours(model, site, hidden, residual).double()
    assert torch.allclose(got, expected, rtol=1e-5, atol=1e-5), (got - expected).abs().max()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_gradients_equal_those_of_the_published_formulas(
    compose: Callable[..., ComposedModel], expression: str
):
    model = compose(expression, train_norm=True)
    site = ATTENTION if expression in AFTER_ATTENTION else OUTPUT
    hidden, residual = random_states(model.backbone, seed=1)
    upstream = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(2))
    written_out = Reference(model)
    leaves = [*written_out.adapters.values(), written_out.owned]
    for weights in leaves:
        for tensor in weights.values():
            tensor.requires_grad_()
    read = hidden.double().requires_grad_()
    written_out.at(site, read, residual.double()).backward(upstream.double())
    hidden.requires_grad_()
    ours(model, site, hidden, residual).backward(upstream)
    assert_close(hidden.grad, read.grad, "hidden")
    parts = {**{n: model.adapter(n) for n in written_out.adapters}, "owned": model.owned}
    compared = 0
    for owner, weights in {**written_out.adapters, "owned": written_out.owned}.items():
        for name, tensor in weights.items():
            if tensor.grad is not None and name in parts[owner]:
                assert_close(parts[owner][name].grad, tensor.grad, f"{owner}.{name}")
                compared += 1
    assert compared >= 2


def assert_close(got: Tensor | None, expected: Tensor | None, what: str) -> None:
    assert got is not None, what
    assert expected is not None, what
    difference = (got.double() - expected).abs().max() / expected.abs().max().clamp(min=1e-3)
    assert difference < 1e-4, f"{what}: {difference:.1e}"


MUTATIONS = {
    "the key reads the query's weights": ("fuse(relu, gelu)", "0.key", "0.query"),
    "a down-projection's bias is another": ("relu > gelu", "down_bias", None),
    "an up-projection's bias is another": ("fuse(relu, gelu)", "up_bias", None),
    "a middle layer is another": ("mid1", "middle.0", None),
    "the norm's weight and bias are swapped": ("tanh", "norm_weight", "norm_bias"),
    "the gate's bias is another": ("gate(relu, gelu)", "0.gate_bias", None),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_comparison_notices_a_mutation(compose: Callable[..., ComposedModel], name: str):
    expression, changed, taken = MUTATIONS[name]
    model = compose(expression)
    hidden, residual = random_states(model.backbone)
    expected = Reference(model).at(OUTPUT, hidden.double(), residual.double())
    parts = [*model.members.children(), *([model.owned] if model.owned else [])]
    touched = 0
    for part in parts:
        place = f"{OUTPUT}.{changed}"
        if place in part:
            with torch.no_grad():
                new = (
                    part[f"{OUTPUT}.{taken}"]
                    if taken
                    else part[place]
                    + torch.linspace(0, 0.1, part[place].numel()).view_as(part[place])
                )
                part[place].copy_(new)
            touched += 1
    assert touched
    got = ours(model, OUTPUT, hidden, residual).double()
    assert not torch.allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pair", [("fuse(relu, mid3)", "fuse(mid3, relu)")])
def test_the_order_of_fused_adapters_does_not_matter(
    compose: Callable[..., ComposedModel], pair: tuple[str, str]
):
    one, other = (compose(expression, train_norm=True) for expression in pair)
    hidden, residual = random_states(one.backbone)
    got = [ours(model, OUTPUT, hidden, residual) for model in (one, other)]
    torch.testing.assert_close(got[0], got[1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("count", [2, 4])
def test_nothing_of_members_times_size_is_kept_per_token(
    compose: Callable[..., ComposedModel], count: int
):
    names = ["relu", "gelu", "swish", "mid1"][:count]
    model = compose(f"fuse({', '.join(names)})")
    hidden, residual = random_states(model.backbone)
    hidden.requires_grad_()
    kept: list[tuple[int, ...]] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tuple(tensor.shape))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        ours(model, OUTPUT, hidden, residual)
    tokens = hidden.shape[0] * hidden.shape[1]
    per_token = [shape for shape in kept if shape[:2] == hidden.shape[:2] or tokens in shape]
    assert per_token
    assert max(torch.Size(shape).numel() for shape in per_token) <= tokens * model.backbone.size


def _tilted(tensor: Tensor) -> Tensor:
    # Not the same everywhere: a softmax would not notice.
    return tensor + torch.linspace(0, 0.1, tensor.numel()).view_as(tensor)
