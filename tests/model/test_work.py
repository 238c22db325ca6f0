"""A slow path is seen without a clock: products, what they multiply, and what is kept, counted.

What the mathematics needs is counted on paper by `benchmarks/operations.py`.
"""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F

from composer.model.backbone import Backbone, open_backbone
from composer.model.composed import ComposedModel
from composer.model.encoder import Arrived
from composer.model.folded import FoldedMixers, fold
from composer.model.mixers import TrainedMixers
from composer.model.parts import Adapter, new_bottleneck, new_head, new_owned
from composer.recipe.grammar.adapters import BottleneckAdapter
from composer.recipe.grammar.composition import Fuse, parse_composition
from tests.counting import Work, counted, saved_for_backward

TEXTS, TOKENS, WIDTH, CLASSES = 3, 7, 4, 3


def on_paper() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "operations.py"
    spec = importlib.util.spec_from_file_location("benchmarks_operations", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


OPERATIONS = on_paper()


@pytest.fixture(scope="module")
def narrow(tiny_folder: Path) -> Backbone:
    return open_backbone(tiny_folder, precision="bfloat16")


def adapter(backbone: Backbone, *, leave_out: Sequence[int] = (), width: int = WIDTH) -> Adapter:
    shape = BottleneckAdapter(
        kind="bottleneck", placement="pfeiffer", width=width, leave_out=tuple(leave_out)
    )
    return new_bottleneck(
        shape, sites=backbone.norms, size=backbone.size, generator=torch.Generator()
    )


def one_adapter(
    backbone: Backbone, *, leave_out: Sequence[int] = (), pooling: str = "mean"
) -> ComposedModel:
    return ComposedModel(
        backbone,
        composition="a",
        adapters={"a": adapter(backbone, leave_out=leave_out)},
        head=new_head(classes=CLASSES, size=backbone.size, generator=torch.Generator()),
        pooling=pooling,
    )


def fusion(
    backbone: Backbone, members: int, *, folded: bool, products: torch.dtype | None = None
) -> ComposedModel:
    names = [f"a{number}" for number in range(members)]
    owned = new_owned(
        mixers=[("fuse", members)],
        train_norm=False,
        sites=backbone.norms,
        placement="pfeiffer",
        size=backbone.size,
        generator=torch.Generator(),
    )
    frozen = {name: adapter(backbone) for name in names}
    for one in frozen.values():
        one.freeze()
    model = ComposedModel(
        backbone,
        composition=Fuse(tuple(names)),
        adapters=frozen,
        mixers=TrainedMixers(owned),
        head=new_head(classes=CLASSES, size=backbone.size, generator=torch.Generator()),
        products=products,
    )
    if folded:
        model.mixers = FoldedMixers(fold(model))
    return model


def plain(backbone: Backbone) -> ComposedModel:
    return ComposedModel(
        backbone,
        composition=parse_composition("none"),
        adapters={},
        head=new_head(classes=CLASSES, size=backbone.size, generator=torch.Generator()),
    )


def batch(texts: int = TEXTS, tokens: int = TOKENS) -> dict[str, torch.Tensor]:
    ids = torch.arange(texts * tokens).view(texts, tokens) % 20 + 5
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "token_type_ids": torch.zeros_like(ids),
    }


def step(
    model: ComposedModel,
    given: dict[str, torch.Tensor] | None = None,
    *,
    arrived: Arrived | None = None,
) -> None:
    logits = model(given or batch(), arrived=arrived)
    F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long)).backward()


def work_of(action: Callable[[], object]) -> Work:
    with counted() as work:
        action()
    return work


def predict(model: ComposedModel, given: dict[str, torch.Tensor] | None = None) -> None:
    model.eval()
    with model.backbone.predicting(), torch.inference_mode():
        model(given or batch())


def shape_of(backbone: Backbone, *, width: int) -> object:
    config = backbone.config
    return OPERATIONS.Shape(
        layers=config.num_hidden_layers,
        size=config.hidden_size,
        wide=config.intermediate_size,
        width=width,
    )


def head_operations(backbone: Backbone) -> int:
    return 2 * TEXTS * backbone.size * CLASSES


@pytest.mark.parametrize("opened", ["backbone", "narrow"])
def test_a_prediction_multiplies_what_the_mathematics_needs(
    opened: str, request: pytest.FixtureRequest
):
    backbone = request.getfixturevalue(opened)
    needed = OPERATIONS.forward(
        shape_of(backbone, width=WIDTH), tokens=TEXTS * TOKENS, length=TOKENS
    )
    work = work_of(lambda: predict(one_adapter(backbone)))
    assert work.operations == needed + head_operations(backbone)


@pytest.mark.parametrize("opened", ["backbone", "narrow"])
def test_learning_multiplies_what_the_mathematics_needs(
    opened: str, request: pytest.FixtureRequest
):
    backbone = request.getfixturevalue(opened)
    needed = OPERATIONS.training(shape_of(backbone, width=WIDTH), [TOKENS] * TEXTS)
    work = work_of(lambda: step(one_adapter(backbone)))
    assert work.operations == needed + 3 * head_operations(backbone)


def test_from_what_arrives_nothing_below_the_first_adapter_is_multiplied(backbone: Backbone):
    shape, lengths = shape_of(backbone, width=WIDTH), [TOKENS] * TEXTS
    model = one_adapter(backbone)
    site = model.first_site
    assert backbone.encoder is not None
    assert site is not None
    arrived = backbone.encoder.arrive(batch(), site)
    below = work_of(lambda: backbone.encoder.arrive(batch(), site))  # type: ignore[union-attr]
    above = work_of(lambda: step(model, arrived=arrived))
    heads = 3 * head_operations(backbone)
    once, thrice = (OPERATIONS.training(shape, lengths, epochs=count) for count in (1, 3))
    assert below.operations + above.operations == once + heads
    assert below.operations + 3 * above.operations == thrice + 3 * heads


@pytest.mark.parametrize("opened", ["backbone", "narrow"])
def test_behind_the_last_attention_only_tokens_that_are_read_are_multiplied(
    opened: str, request: pytest.FixtureRequest
):
    backbone = request.getfixturevalue(opened)
    shape = shape_of(backbone, width=WIDTH)
    needed = OPERATIONS.training(shape, [TOKENS] * TEXTS, first_only=True)
    work = work_of(lambda: step(one_adapter(backbone, pooling="first")))
    assert work.operations == needed + 3 * head_operations(backbone)
    assert needed < OPERATIONS.training(shape, [TOKENS] * TEXTS)


def test_a_fusion_is_learnt_in_narrow_products_but_for_shares(narrow: Backbone):
    members = 5
    units = members * (WIDTH + 1)
    layers = narrow.config.num_hidden_layers
    shares = 3 * 4 * TEXTS * TOKENS * units * members * layers  # scores of members, and back
    work = work_of(lambda: step(fusion(narrow, members, folded=False, products=narrow.products)))
    assert work.operations_in(torch.float32) <= shares + 3 * head_operations(narrow)
    assert work.operations_in(torch.bfloat16) > 0.9 * work.operations


def test_a_layer_takes_four_products_of_all_tokens_and_two_of_attention(backbone: Backbone):
    work = work_of(lambda: predict(plain(backbone)))
    layers = backbone.config.num_hidden_layers
    assert len(work.products) == 6 * layers + 1  # the head


def test_frozen_products_are_narrow_forward_and_backward(narrow: Backbone):
    adapters = 3 * 4 * TEXTS * TOKENS * narrow.size * WIDTH * narrow.config.num_hidden_layers
    work = work_of(lambda: step(one_adapter(narrow)))
    wide = work.operations_in(torch.float32)
    assert wide <= adapters + 3 * head_operations(narrow)
    assert work.operations_in(torch.bfloat16) == work.operations - wide


def test_no_gradient_goes_below_the_first_adapter(backbone: Backbone):
    highest = backbone.config.num_hidden_layers - 1
    everywhere = work_of(lambda: step(one_adapter(backbone)))
    above = work_of(lambda: step(one_adapter(backbone, leave_out=range(highest))))
    forward = work_of(lambda: predict(one_adapter(backbone, leave_out=range(highest))))
    of_adapter = 6 * TEXTS * TOKENS * backbone.size * WIDTH
    assert above.operations == forward.operations + of_adapter + 2 * head_operations(backbone)
    assert above.operations < everywhere.operations


@pytest.mark.parametrize("folded", [True, False], ids=["folded", "trained"])
def test_members_of_a_fusion_add_nothing_of_the_hidden_size_to_a_token(
    backbone: Backbone, folded: bool
):
    def numbers_a_token(members: int) -> float:
        """Tell tokens from weights: by how much more is made for twice the texts."""
        model = fusion(backbone, members, folded=folded)
        predict(model)  # what is made of weights alone is made once
        few, many = (work_of(partial(predict, model, batch(n))) for n in (TEXTS, 2 * TEXTS))
        more = many.numbers_made(backbone.size) - few.numbers_made(backbone.size)
        return more / (TEXTS * TOKENS)

    assert numbers_a_token(2) == numbers_a_token(7)


def test_members_of_a_folded_fusion_share_their_products(backbone: Backbone):
    two, seven = (
        work_of(partial(predict, fusion(backbone, members, folded=True))) for members in (2, 7)
    )
    assert len(two.products) == len(seven.products)
    # A member's units are read, scored and written, and its bias is one more of them.
    wide = 6 * backbone.size * (WIDTH + 1)
    among = 4 * (WIDTH + 1) * (7 * 7 - 2 * 2)  # from units to members and back
    layers = backbone.config.num_hidden_layers
    added = TEXTS * TOKENS * layers * (5 * wide + among)
    assert seven.operations - two.operations <= added


@pytest.mark.parametrize(("opened", "most"), [("backbone", 7.2), ("narrow", 5.4)])
def test_little_is_kept_for_the_backward_pass(
    opened: str, most: int, request: pytest.FixtureRequest
):
    """Counted in numbers of the hidden size in float32, a token and layer."""
    backbone = request.getfixturevalue(opened)
    model = one_adapter(backbone)
    state = [*backbone.module.state_dict().values(), *model.parameters()]
    frozen = {one.untyped_storage().data_ptr() for one in state}
    texts, tokens = 16, 16
    with saved_for_backward(leave_out=frozen) as sizes:
        logits = model(batch(texts, tokens))
    assert logits.requires_grad
    layers = backbone.config.num_hidden_layers
    each = sum(sizes) / (texts * tokens * layers * backbone.size * 4)
    assert each <= most
