from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from composer.model.adapters import Site
from composer.model.backbone import Backbone, open_backbone
from composer.model.composed import ComposedModel
from composer.model.mixers import TrainedMixers
from composer.model.parts import Adapter, Head, Owned, Part, new_bottleneck, new_head, new_owned
from composer.recipe.grammar.adapters import (
    BottleneckAdapter,
    MAdapter,
    NonLinearity,
    joint_placement,
)
from composer.recipe.grammar.composition import (
    NONE,
    Composition,
    Fuse,
    Gate,
    Stack,
    adapter_names,
    parse_composition,
)


@pytest.fixture(scope="session")
def backbone(tiny_folder: Path) -> Backbone:
    return open_backbone(tiny_folder, precision="float32")


SHAPES = {
    "relu": BottleneckAdapter(kind="bottleneck", width=4),
    "gelu": BottleneckAdapter(kind="bottleneck", width=6, non_linearity="gelu"),
    "swish": BottleneckAdapter(kind="bottleneck", width=3, non_linearity="swish", scaling=0.5),
    "tanh": BottleneckAdapter(kind="bottleneck", width=5, non_linearity="tanh", train_norm=True),
    "mid1": MAdapter(kind="madapter", width=4),
    "mid2": MAdapter(kind="madapter", width=4, middle_layers=2, non_linearity="gelu"),
    "mid3": MAdapter(kind="madapter", width=3, middle_layers=3, train_norm=True),
    "low": BottleneckAdapter(kind="bottleneck", placement="pfeiffer", width=4),
    "low2": BottleneckAdapter(
        kind="bottleneck", placement="pfeiffer", width=6, non_linearity="gelu", train_norm=True
    ),
    "low3": MAdapter(kind="madapter", placement="pfeiffer", width=8, middle_layers=2),
    "top": BottleneckAdapter(kind="bottleneck", width=4, leave_out=(0,)),
    "bare": BottleneckAdapter(kind="bottleneck", width=4, bias=False),
    "seen": BottleneckAdapter(kind="bottleneck", placement="after-attention", width=4),
    "seen2": MAdapter(kind="madapter", placement="after-attention", width=3, non_linearity="tanh"),
    "fed": BottleneckAdapter(kind="bottleneck", placement="after-feed-forward", width=4),
    "beside": BottleneckAdapter(kind="bottleneck", form="parallel", width=4, scaling=4.0),
    "beside2": MAdapter(
        kind="madapter", form="parallel", width=4, non_linearity="gelu", scaling="learned"
    ),
    "scaled": BottleneckAdapter(kind="bottleneck", width=4, scaling="learned", bias=False),
    "layered": BottleneckAdapter(
        kind="bottleneck", reduction_factor={"0": 4.0, "default": 16.0}, non_linearity="tanh"
    ),
    "layered2": MAdapter(
        kind="madapter", reduction_factor={"1": 4.0, "0": 8.0}, non_linearity="swish"
    ),
    "turned": BottleneckAdapter(
        kind="bottleneck", width=4, non_linearity="gelu", invertible=True, scaling=0.5
    ),
    "turnedbare": MAdapter(kind="madapter", width=4, bias=False, invertible=True),
    "turnedlow": BottleneckAdapter(
        kind="bottleneck", placement="pfeiffer", width=4, invertible=True, train_norm=True
    ),
}


def randomised(part: Part, seed: int) -> None:
    """Draw every weight anew: a fresh adapter is near zero, and equal for the wrong reason."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name in part.names:
            part[name].add_(torch.empty_like(part[name]).normal_(0.0, 0.3, generator=generator))


def adapter(backbone: Backbone, name: str, *, seed: int = 0) -> Adapter:
    made = new_bottleneck(
        SHAPES[name], sites=backbone.norms, size=backbone.size, generator=torch.Generator()
    )
    randomised(made, seed + sorted(SHAPES).index(name))
    return made


def head_of(classes: int, size: int, between: NonLinearity | None, *, seed: int = 0) -> Head:
    """Make a head with random weights: of one layer, or of two with something between them."""
    head = new_head(classes=classes, size=size, generator=torch.Generator().manual_seed(seed))
    randomised(head, seed)
    if between is None:
        return head
    dense = {"dense": torch.zeros(size, size), "dense_bias": torch.zeros(size)}
    head = Head({**head.tensors(), **dense}, between)
    randomised(head, seed)
    return head


def owned_for(composition: Composition, backbone: Backbone, *, train_norm: bool) -> Owned:
    parts = composition.parts if isinstance(composition, Stack) else (composition,)
    mixers = [
        ("fuse" if isinstance(part, Fuse) else "gate", len(part.parts))
        for part in parts
        if isinstance(part, Fuse | Gate)
    ]
    placements = [SHAPES[name].placement for name in adapter_names(composition) if name != NONE]
    made = new_owned(
        mixers=mixers,
        train_norm=train_norm,
        sites=backbone.norms,
        placement=joint_placement(placements),
        size=backbone.size,
        generator=torch.Generator().manual_seed(5),
    )
    randomised(made, 99)
    return made


@pytest.fixture
def compose(backbone: Backbone) -> Callable[..., ComposedModel]:
    """Build a model of an expression whose names are those of SHAPES, with random weights."""

    def build(expression: str, *, train_norm: bool = False, classes: int = 3) -> ComposedModel:
        composition = parse_composition(expression)
        used = [name for name in SHAPES if name in _words(expression)]
        owned = owned_for(composition, backbone, train_norm=train_norm)
        head = new_head(
            classes=classes, size=backbone.size, generator=torch.Generator().manual_seed(3)
        )
        return ComposedModel(
            backbone,
            composition=composition,
            adapters={name: adapter(backbone, name) for name in used},
            mixers=TrainedMixers(owned) if owned.names else None,
            head=head,
        )

    return build


def _words(expression: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in expression).split()


def batch_of(backbone: Backbone, texts: list[str]) -> dict[str, torch.Tensor]:
    encodings = [backbone.tokenizer.encode(text).ids for text in texts]
    longest = max(map(len, encodings))
    rows = [ids + [backbone.pad_id] * (longest - len(ids)) for ids in encodings]
    ids = torch.tensor(rows)
    mask = torch.tensor([[1] * len(e) + [0] * (longest - len(e)) for e in encodings])
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}


def random_states(backbone: Backbone, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (3, 7, backbone.size)
    return torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)


ATTENTION, OUTPUT = Site(1, "attention"), Site(1, "output")
