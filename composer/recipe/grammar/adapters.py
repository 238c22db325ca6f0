"""The shapes of adapters that a recipe may ask for: one frozen model a kind.

    adapters:
      task: {kind: madapter, width: 32, train_norm: true}
      thin: {kind: lora, rank: 8, targets: [query, value]}

A bottleneck of any kind adds to the hidden states behind a sub-layer; the other kinds change the
backbone's products, or what its layers read.
"""

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import Field, model_validator

from composer.recipe.grammar.block import Block, Layer, Share, Width

Placement = Literal["houlsby", "pfeiffer", "after-attention", "after-feed-forward"]
Form = Literal["sequential", "parallel"]
SubLayer = Literal["attention", "output"]  # as in the names of files; "output": feed-forward
NonLinearity = Literal["relu", "gelu", "swish", "tanh"]
Matrix = Literal["query", "key", "value", "mixed", "wide", "narrow"]


Factor = Annotated[float, Field(ge=1, le=2**16)]
LayerOrDefault = Annotated[str, Field(pattern=r"^(default|0|[1-9][0-9]{0,4})$")]
FactorByLayer = Annotated[dict[LayerOrDefault, Factor], Field(min_length=1)]

_SUB_LAYERS: dict[Placement, tuple[SubLayer, ...]] = {
    "houlsby": ("attention", "output"),
    "pfeiffer": ("output",),
    "after-attention": ("attention",),
    "after-feed-forward": ("output",),
}


def sub_layers(placement: Placement) -> tuple[SubLayer, ...]:
    """Name the sub-layers that have an adapter behind them, from the embeddings up."""
    return _SUB_LAYERS[placement]


def joint_placement(placements: Collection[Placement]) -> Placement:
    """Give a placement with all sub-layers that some placements have.

    >>> joint_placement(["pfeiffer", "after-feed-forward"]), joint_placement(["pfeiffer"])
    ('after-feed-forward', 'pfeiffer')
    """
    if len(set(placements)) == 1:
        return next(iter(placements))
    found = {where for placement in placements for where in sub_layers(placement)}
    return "after-feed-forward" if found == {"output"} else "houlsby"


class Sparsity(Block):
    """Weights masked once at initialisation (SparseAdapter, He et al., 2022).

    Attributes:
        method: How weights are scored. "random" and "erdos-renyi" draw, "magnitude" takes what
            they start with, "snip" and "grasp" gradients on the first training batches.
        ratio: Share of the weights that is masked, of all projections and middle layers together.
    """

    method: Literal["random", "magnitude", "erdos-renyi", "snip", "grasp"]
    ratio: Share = 0.4


class _Bottleneck(Block):
    """What every kind of bottleneck says."""

    placement: Placement = "houlsby"
    form: Form = "sequential"
    width: Width | None = None
    reduction_factor: Factor | FactorByLayer | None = None
    non_linearity: NonLinearity = "relu"
    bias: bool = True
    init: Literal["normal", "near-identity", "xavier", "truncated-normal"] = "normal"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    scaling: float | Literal["learned"] = 1.0
    leave_out: tuple[Layer, ...] = ()
    invertible: bool = False
    train_norm: bool = False

    @model_validator(mode="after")
    def _one_width(self) -> "_Bottleneck":
        if self.width is not None and self.reduction_factor is not None:
            raise ValueError("give `width` or `reduction_factor`, not both")
        return self

    @model_validator(mode="after")
    def _scores_tell(self) -> "_Bottleneck":
        sparsity: Sparsity | None = getattr(self, "sparsity", None)
        scored = sparsity is not None and sparsity.method not in ("random", "erdos-renyi")
        if sparsity is not None and scored and self.init == "near-identity":
            raise ValueError(
                f"{sparsity.method!r} scores weights by what they start with, and with "
                "`init: near-identity` half of them start at 0; use another `init`"
            )
        return self


class BottleneckAdapter(_Bottleneck):
    """A bottleneck adapter: project down, apply a non-linearity, project up, add.

    Attributes:
        kind: Always "bottleneck".
        placement: "houlsby": after attention and after feed-forward (Houlsby et al., 2019).
            "after-attention", "after-feed-forward": after one of them. "pfeiffer": after
            feed-forward, reading what the norm behind it gives (Pfeiffer et al., 2021).
        form: "sequential" reads the sub-layer's output; "parallel" its input, the residual
            stream (He et al., 2022).
        width: Units of the bottleneck.
        reduction_factor: Hidden size divided by width; 16 where neither is given. Of each layer:
            {"0": 8, "default": 16}.
        non_linearity: Between the projections.
        bias: Whether the projections have one.
        init: How matrices start: "normal" N(0, 0.02), "truncated-normal" N(0, 0.01) within two
            deviations, "xavier" uniform, "near-identity" with zeros on the way up.
        dropout: On the non-linearity's output, in training.
        scaling: Factor on what the bottleneck adds; "learned": one at each site, from 1.
        leave_out: Layers without an adapter, counted from 0 (AdapterDrop).
        invertible: Also learn an invertible adapter on the embeddings (MAD-X).
        train_norm: Train an own copy of the layer norm at each site.
        sparsity: Mask weights at initialisation.
    """

    kind: Literal["bottleneck"]
    sparsity: Sparsity | None = None


class MAdapter(_Bottleneck):
    """An MAdapter (Kim and Kim): a bottleneck with middle layers of its own width.

    Attributes:
        kind: Always "madapter".
        middle_layers: Square layers between the projections, 1 to 3.
        placement: See the bottleneck adapter; so are the rest.
        form: See the bottleneck adapter.
        width: Units of the bottleneck.
        reduction_factor: Hidden size divided by width; 32 where neither is given.
        non_linearity: After every projection but the last.
        bias: See the bottleneck adapter.
        init: See the bottleneck adapter; middle layers start with N(0, sqrt(2 / width)).
        dropout: See the bottleneck adapter.
        scaling: See the bottleneck adapter.
        leave_out: See the bottleneck adapter.
        invertible: See the bottleneck adapter.
        train_norm: See the bottleneck adapter.
        sparsity: See the bottleneck adapter.
    """

    kind: Literal["madapter"]
    middle_layers: Annotated[int, Field(ge=1, le=3)] = 1
    sparsity: Sparsity | None = None


class AdaMix(_Bottleneck):
    """Several bottlenecks, one drawn at a time in training, averaged into one (AdaMix).

    Attributes:
        kind: Always "adamix".
        experts: Bottlenecks that are trained side by side.
        placement: See the bottleneck adapter; so are the rest.
        form: See the bottleneck adapter.
        width: Units of each bottleneck.
        reduction_factor: Hidden size divided by width; 16 where neither is given.
        non_linearity: See the bottleneck adapter.
        bias: See the bottleneck adapter.
        init: See the bottleneck adapter.
        dropout: See the bottleneck adapter.
        scaling: See the bottleneck adapter.
        leave_out: See the bottleneck adapter.
        invertible: See the bottleneck adapter.
        train_norm: See the bottleneck adapter.
    """

    kind: Literal["adamix"]
    experts: Annotated[int, Field(ge=2, le=64)] = 4


class Lora(Block):
    """Low-rank changes of frozen matrices (LoRA, Hu et al., 2022).

    Attributes:
        kind: Always "lora".
        rank: Of each change.
        alpha: What is added is multiplied by alpha / rank.
        targets: The matrices that are changed.
        dropout: On what the change reads, in training.
        merge: Predict with a merged copy of each changed matrix, in float32. With false the
            change is kept apart: slower, and no memory for copies.
        leave_out: Layers without a change, counted from 0.
        train_norm: Train an own copy of the layer norm at each site.
    """

    kind: Literal["lora"]
    rank: Width = 8
    alpha: Annotated[float, Field(gt=0)] = 16.0
    targets: Annotated[tuple[Matrix, ...], Field(min_length=1)] = ("query", "value")
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    merge: bool = True
    leave_out: tuple[Layer, ...] = ()
    train_norm: bool = False

    @model_validator(mode="after")
    def _each_once(self) -> "Lora":
        if len(set(self.targets)) != len(self.targets):
            raise ValueError("a matrix is among the `targets` twice")
        return self


class Prefix(Block):
    """Learnt keys and values before those of the text, in every layer (Li and Liang, 2021).

    Attributes:
        kind: Always "prefix".
        length: Positions.
        leave_out: Layers without a prefix, counted from 0.
        train_norm: Train an own copy of the layer norm at each site.
    """

    kind: Literal["prefix"]
    length: Annotated[int, Field(ge=1, le=1024)] = 30
    leave_out: tuple[Layer, ...] = ()
    train_norm: bool = False


class Prompt(Block):
    """Learnt vectors before the embeddings of the text (prompt tuning, Lester et al., 2021).

    Attributes:
        kind: Always "prompt".
        length: Positions.
        train_norm: Train an own copy of the layer norm at each site.
    """

    kind: Literal["prompt"]
    length: Annotated[int, Field(ge=1, le=1024)] = 20
    train_norm: bool = False


class BitFit(Block):
    """Changes of the backbone's biases, kept apart from it (BitFit, Ben Zaken et al., 2022).

    Attributes:
        kind: Always "bitfit".
        leave_out: Layers whose biases stay, counted from 0.
        train_norm: Train an own copy of the layer norm at each site.
    """

    kind: Literal["bitfit"]
    leave_out: tuple[Layer, ...] = ()
    train_norm: bool = False


class Full(Block):
    """Full fine-tuning of an own copy of the backbone: the baseline.

    Attributes:
        kind: Always "full".
    """

    kind: Literal["full"]


BottleneckShape = BottleneckAdapter | MAdapter | AdaMix
"""A bottleneck behind sub-layers, of one kind or another."""

AdapterShape = Annotated[
    BottleneckAdapter | MAdapter | AdaMix | Lora | Prefix | Prompt | BitFit | Full,
    Field(discriminator="kind"),
]


def trains_norm(shape: AdapterShape) -> bool:
    """Say whether an adapter has own copies of the norms; full fine-tuning has no other."""
    return not isinstance(shape, Full) and shape.train_norm


def stored_shape(shape: AdapterShape) -> AdapterShape:
    """Give the shape of what is stored: AdaMix ends as one plain bottleneck, others stay.

    >>> stored_shape(AdaMix(kind="adamix", width=8)).kind
    'bottleneck'
    """
    return merged_shape(shape) if isinstance(shape, AdaMix) else shape


def merged_shape(shape: AdaMix) -> BottleneckAdapter:
    """Give the shape of one expert, and of the mean of all."""
    return BottleneckAdapter(kind="bottleneck", **shape.model_dump(exclude={"kind", "experts"}))
