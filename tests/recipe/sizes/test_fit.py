from dataclasses import replace
from pathlib import Path

import pytest

from composer.recipe.expansion.expand import expand
from composer.recipe.grammar.adapters import (
    AdapterShape,
    BitFit,
    BottleneckAdapter,
    Full,
    Lora,
    MAdapter,
    Prefix,
    Prompt,
)
from composer.recipe.grammar.composition import Average, Fuse, Gate
from composer.recipe.sizes.backbone_shape import BackboneShape
from composer.recipe.sizes.fit import (
    Trainable,
    adapter_parameters,
    adapter_sites,
    bottleneck_width,
    check_fit,
    head_parameters,
    mixture_parameters,
    shapes_of,
    trainable,
    trainable_parameters,
)
from tests.recipe.recipes import SOUND, load, recipe_of

SHAPE = BackboneShape(hidden_size=384, layers=12, max_tokens=512)
D = SHAPE.hidden_size


def bottleneck(**values: object) -> BottleneckAdapter:
    return BottleneckAdapter.model_validate({"kind": "bottleneck", **values})


def madapter(**values: object) -> MAdapter:
    return MAdapter.model_validate({"kind": "madapter", **values})


def misfits(folder: Path, old: str, new: str) -> list[str]:
    assert old in SOUND
    loaded = load(folder, SOUND.replace(old, new))
    return [
        str(fault).replace(f"{folder}/", "")
        for fault in check_fit(loaded.recipe, SHAPE, loaded.place)
    ]


@pytest.mark.parametrize(
    ("old", "new", "faults"),
    [
        ("width: 32", "width: 384", []),
        (
            "width: 32",
            "width: 385",
            ["home.yaml:5:33: adapters.task.width: must be at most 384, the backbone's hidden "
             "size, not 385"],
        ),
        ("reduction_factor: 16", "reduction_factor: 384", []),
        (
            "reduction_factor: 16",
            "reduction_factor: 384.5",
            ["home.yaml:6:46: adapters.thin.reduction_factor: must be at most 384, the "
             "backbone's hidden size, not 384.5"],
        ),
        ("width: 32", "leave_out: [0, 11]", []),
        (
            "width: 32",
            "leave_out: [11, 12, 40]",
            ["home.yaml:5:42: adapters.task.leave_out[1]: the backbone has the layers 0 to 11, "
             "and no 12",
             "home.yaml:5:46: adapters.task.leave_out[2]: the backbone has the layers 0 to 11, "
             "and no 40"],
        ),
        (
            "width: 32",
            f"leave_out: {list(range(12))}",
            ["home.yaml:5:37: adapters.task.leave_out: no layer is left for the adapter"],
        ),
        ("-small}", "-small, max_tokens: 512}", []),
        (
            "-small}",
            "-small, max_tokens: 513}",
            ["home.yaml:3:69: backbone.max_tokens: must be at most 512, what the backbone takes, "
             "not 513"],
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_backbone_is_told(
    tmp_path: Path, old: str, new: str, faults: list[str]
):
    assert misfits(tmp_path, old, new) == faults


@pytest.mark.parametrize(("size", "fits"), [(384, True), (386, True), (385, False), (2, False)])
def test_an_invertible_adapter_needs_a_hidden_size_with_halves(
    tmp_path: Path, size: int, fits: bool
):
    low = "placement: pfeiffer"
    changes = {"width: 32": "width: 1", "factor: 16": "factor: 2"}
    recipe = recipe_of(tmp_path, {**changes, low: f"{low}, width: 1, invertible: true"})
    shape = BackboneShape(hidden_size=size, layers=12, max_tokens=512)
    told = [str(fault) for fault in check_fit(recipe, shape)]
    expected = (
        "adapters.low.invertible: an invertible adapter cuts the hidden size in halves, and the "
        f"backbone's is {size}; leave `invertible` out"
    )
    assert told == ([] if fits else [expected])


def test_a_misfit_has_its_path_as_place_where_no_file_is_known(tmp_path: Path):
    recipe = recipe_of(tmp_path, {"width: 32": "width: 400"})
    (fault,) = check_fit(recipe, SHAPE)
    assert str(fault) == (
        "adapters.task.width: must be at most 384, the backbone's hidden size, not 400"
    )


@pytest.mark.parametrize(
    ("adapter", "width"),
    [
        (bottleneck(), 24),
        (madapter(), 12),
        (bottleneck(width=7), 7),
        (bottleneck(reduction_factor=384), 1),
        (bottleneck(reduction_factor=5), 76),
        (madapter(reduction_factor=1.5), 256),
    ],
)
def test_the_width_is_as_said_or_by_the_reduction_factor(adapter: AdapterShape, width: int):
    assert bottleneck_width(adapter, D) == width


@pytest.mark.parametrize(
    ("adapter", "count"),
    [
        (bottleneck(), 24),
        (bottleneck(placement="pfeiffer"), 12),
        (bottleneck(leave_out=(0, 11)), 20),
        (bottleneck(leave_out=(3,), placement="pfeiffer"), 11),
    ],
)
def test_sites_are_two_a_layer_or_one(adapter: AdapterShape, count: int):
    assert len(adapter_sites(adapter, SHAPE.layers)) == count


@pytest.mark.parametrize(
    ("adapter", "count"),
    [
        (bottleneck(width=32, bias=False), 24 * 2 * D * 32),
        (bottleneck(width=32), 24 * (2 * D * 32 + 32 + D)),
        (bottleneck(width=32, placement="pfeiffer"), 12 * (2 * D * 32 + 32 + D)),
        (bottleneck(width=32, train_norm=True), 24 * (2 * D * 32 + 32 + D + 2 * D)),
        (bottleneck(width=32, leave_out=(1,)), 22 * (2 * D * 32 + 32 + D)),
        (madapter(width=32, bias=False), 24 * (2 * D + 32) * 32),
        (madapter(width=32), 24 * ((2 * D + 32) * 32 + 32 + 32 + D)),
        (madapter(width=32, middle_layers=3), 24 * ((2 * D + 3 * 32) * 32 + 4 * 32 + D)),
        (bottleneck(width=32, invertible=True),
         24 * (2 * D * 32 + 32 + D) + D * D // 2 + 2 * (D // 4 + D // 2)),
        (madapter(width=32, bias=False, invertible=True), 24 * (2 * D + 32) * 32 + D * D // 2),
    ],
)  # fmt: skip
def test_the_weights_of_an_adapter_are_counted(adapter: AdapterShape, count: int):
    assert adapter_parameters(adapter, SHAPE) == count


@pytest.mark.parametrize(
    ("mixture", "count"),
    [
        (Fuse(("a", "b")), 24 * (3 * D * D + D)),
        (Fuse(("a", "b", "c", "none")), 24 * (3 * D * D + D)),
        (Gate(("a", "b")), 24 * (2 * D + 2)),
        (Gate(("a", "b", "none")), 24 * (3 * D + 3)),
        (Average(("a", "b"), (0.5, 0.5)), 0),
    ],
)
def test_the_weights_of_a_mixture_are_counted(mixture: Fuse | Gate | Average, count: int):
    assert mixture_parameters(mixture, sites=24, hidden_size=D) == count


def test_the_weights_of_a_head_are_counted():
    assert head_parameters(D, 42) == 42 * D + 42


def trained(folder: Path, name: str, changes: dict[str, str], classes: int | None = 42) -> int:
    stages = expand(recipe_of(folder, changes))
    stage = {one.name: one for one in stages}[name]
    return trainable_parameters(stage, backbone=SHAPE, shapes=shapes_of(stages), classes=classes)


HEAD = 42 * D + 42
FUSION = 24 * (3 * D * D + D)
NORMS = 24 * 2 * D


@pytest.mark.parametrize(
    ("name", "changes", "count"),
    [
        ("language/de", {}, adapter_parameters(bottleneck(reduction_factor=16), SHAPE)),
        ("task/intent", {}, adapter_parameters(madapter(width=32, train_norm=True), SHAPE) + HEAD),
        ("composition/few-shot", {}, FUSION + NORMS + HEAD),
        ("composition/few-shot", {", train_norm: true": ""}, FUSION + HEAD),
        ("composition/few-shot", {"les: 200": "les: 200, train_norm: false"}, FUSION + HEAD),
        ("composition/few-shot", {"> fuse(": "> gate("}, 24 * 2 * (D + 1) + NORMS + HEAD),
        ("composition/few-shot", {"> fuse(intent, domain)": "> average(intent, domain)"},
         NORMS + HEAD),
        ("composition/few-shot", {"> fuse(intent, domain)": "> intent"}, HEAD),
        ("composition/few-shot", {"$language > fuse(intent, domain)": "none"}, HEAD),
        ("composition/few-shot", {"$language > fuse(intent, domain)": "fuse($language, intent)"},
         FUSION + NORMS + HEAD),
        ("composition/few-shot",
         {"width: 32": "leave_out: [0]", "reduction_factor: 16": "leave_out: [0, 1]"},
         (FUSION + NORMS) // 24 * 22 + HEAD),
        ("evaluation/far/domain/en", {}, 0),
        ("bundle/box", {}, 0),
    ],
)  # fmt: skip
def test_what_a_stage_trains_is_counted(
    tmp_path: Path, name: str, changes: dict[str, str], count: int
):
    assert trained(tmp_path, name, changes) == count


def test_a_head_whose_classes_are_not_known_is_not_counted(tmp_path: Path):
    found = trained(tmp_path, "task/domain", {}, classes=None)
    assert found == adapter_parameters(bottleneck(), SHAPE)


BERT = BackboneShape(
    hidden_size=768,
    layers=12,
    max_tokens=512,
    intermediate_size=3072,
    embedding_rows=30522 + 512 + 2,
    architecture="bert",
)


@pytest.mark.parametrize(
    ("shape", "count"),
    [
        (Lora(kind="lora"), 12 * 2 * 8 * (768 + 768)),  # 294,912: Hu et al., table 2
        (Lora(kind="lora", rank=4, targets=("wide", "narrow")), 12 * 2 * 4 * (768 + 3072)),
        (Lora(kind="lora", leave_out=(0, 1), train_norm=True), 10 * (2 * 8 * 1536 + 4 * 768)),
        (BitFit(kind="bitfit"), 102_144),  # 0.09 % of BERT-base: Ben Zaken et al., table 1
        (BitFit(kind="bitfit", train_norm=True), 102_144 + 12 * 2 * 768),
        (Prefix(kind="prefix"), 12 * 2 * 30 * 768),
        (Prefix(kind="prefix", length=5, leave_out=(11,)), 11 * 2 * 5 * 768),
        (Prompt(kind="prompt"), 20 * 768),
        (Prompt(kind="prompt", train_norm=True), 20 * 768 + 36_864),
        (Full(kind="full"), 108_891_648),  # BERT-base without its pooler
    ],
    ids=str,
)  # fmt: skip
def test_other_kinds_are_counted_to_the_weight(shape: AdapterShape, count: int):
    assert adapter_parameters(shape, BERT) == count


@pytest.mark.parametrize(
    "shape", [BitFit(kind="bitfit"), Full(kind="full"), Lora(kind="lora", targets=("wide",))]
)
def test_what_needs_more_of_the_backbone_is_not_guessed(shape: AdapterShape):
    assert adapter_parameters(shape, SHAPE) is None


def test_norms_and_heads_are_counted_apart(tmp_path: Path):
    """The paper's numbers for BERT-base: r = 64 and r' = 32, norms 36,864."""
    changes = {
        "kind: madapter, width: 32, train_norm: true": "kind: lora, train_norm: true",
        "fuse(": "average(",
    }
    stages = {one.name: one for one in expand(recipe_of(tmp_path, changes))}
    found = trainable(stages["task/intent"], backbone=BERT, shapes={}, classes=2)
    assert found == Trainable(adapter=294_912, norms=36_864, head=2 * 769)
    unknown = trainable(stages["task/intent"], backbone=BERT, shapes={})
    assert (unknown.head, unknown.total) == (None, 294_912 + 36_864)


@pytest.mark.parametrize(
    ("shape", "fault"),
    [
        ("{kind: lora, rank: 769}", "adapters.other.rank: must be at most 768, the backbone's"),
        ("{kind: lora, leave_out: [12]}", "adapters.other.leave_out[0]: the backbone has the lay"),
        ("{kind: prefix, leave_out: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]}", "no layer is left"),
        ("{kind: bitfit, leave_out: [40]}", "adapters.other.leave_out[0]: the backbone has the l"),
    ],
)
def test_other_kinds_are_held_to_the_backbone(tmp_path: Path, shape: str, fault: str):
    text = SOUND.replace("  low: {kind", f"  other: {shape}\n  low: {{kind")
    assert fault in "\n".join(map(str, check_fit(load(tmp_path, text).recipe, BERT)))


@pytest.mark.parametrize("kind", ["lora", "prefix", "prompt", "bitfit", "full"])
def test_layers_that_transformers_computes_take_bottlenecks_only(tmp_path: Path, kind: str):
    text = SOUND.replace("  low: {kind", f"  other: {{kind: {kind}}}\n  low: {{kind")
    (fault,) = check_fit(load(tmp_path, text).recipe, replace(BERT, architecture="electra"))
    assert str(fault).startswith(f"adapters.other.kind: {kind} acts inside a layer, and the layers")


def test_kinds_without_a_bottleneck_have_no_width_and_no_sites():
    lora = Lora(kind="lora")
    with pytest.raises(TypeError, match="lora has no bottleneck"):
        bottleneck_width(lora, D)
    with pytest.raises(TypeError, match="lora has no sites"):
        adapter_sites(lora, 2)
