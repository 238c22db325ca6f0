import pytest

from composer.bundle.header import TensorType
from composer.bundle.layout import Kind, layout_faults, mixers
from tests.bundle.content import LAYERS, SIZE, adapter, fusion, head


def types(**tensors: str) -> dict[str, TensorType]:
    return {name.replace("__", "."): TensorType.parse(text) for name, text in tensors.items()}


def types_of(arrays: dict[str, object]) -> dict[str, TensorType]:
    return {name: TensorType("F32", array.shape) for name, array in arrays.items()}


def without(tensors: dict[str, TensorType], *inner: str) -> dict[str, TensorType]:
    return {name: one for name, one in tensors.items() if not name.endswith(inner)}


COUPLING = types(
    **{
        f"embeddings.{which}_{name}": text
        for which in "fg"
        for name, text in {
            "down": "F32[1,2]",
            "down_bias": "F32[1]",
            "up": "F32[2,1]",
            "up_bias": "F16[2]",
        }.items()
    }
)
ADAPTER = types_of(adapter(3, middle=3, norms=True))
MIXER = types_of(fusion(units=5, members=2))


@pytest.mark.parametrize(
    ("kind", "tensors"),
    [
        ("bottleneck", types_of(adapter(3))),
        ("bottleneck", without(types_of(adapter(3)), "_bias")),
        ("bottleneck", {n: t for n, t in types_of(adapter(2)).items() if n.startswith("1.out")}),
        ("madapter", ADAPTER),
        ("fusion", MIXER),
        ("fusion", without(MIXER, "f_down", "f_down_bias")),
        ("fusion", {**MIXER, **{n: t for n, t in ADAPTER.items() if ".norm" in n}}),
        ("norms", {n: t for n, t in ADAPTER.items() if ".norm" in n}),
        ("head", types_of(head(3))),
        ("head", types_of(head(3)) | types(dense="F32[4,4]", dense_bias="F16[4]")),
        ("bottleneck", {**types_of(adapter(3)), **COUPLING}),
        ("madapter", {**ADAPTER, **without(COUPLING, "_bias")}),
    ],
    ids=range(12),
)
def test_what_training_makes_is_accepted(kind: Kind, tensors: dict[str, TensorType]):
    assert layout_faults(kind, tensors, size=SIZE, layers=LAYERS) == []


@pytest.mark.parametrize(
    ("kind", "tensors", "faults"),
    [
        (
            "bottleneck",
            types(**{"0.output.down": "F32[3,4]", "0.output.up": "F32[4,2]"}),
            ["0.output: 'up' has the shape [4, 2], not [size 4, width 3]"],
        ),
        (
            "bottleneck",
            types(**{"0.output.down": "F32[3,5]", "0.output.up": "F32[5,3]"}),
            [
                "0.output: 'down' has the shape [3, 5], not [width 3, size 4]",
                "0.output: 'up' has the shape [5, 3], not [size 4, width 3]",
            ],
        ),
        (
            "bottleneck",
            types(**{"2.output.down": "F32[3,4]", "2.output.up": "F32[4,3]"}),
            [
                "'2.output.down': the backbone has layers 0 to 1",
                "'2.output.up': the backbone has layers 0 to 1",
            ],
        ),
        (
            "bottleneck",
            types(**{"0.output.down": "I32[3,4]", "0.output.up": "F16[4,3]"}),
            ["'0.output.down' is I32[3,4]; weights are F32 or F16"],
        ),
        (
            "bottleneck",
            types(**{"0.output.down": "F32[12]", "0.output.upp": "F32[4,3]"}),
            [
                "a bottleneck has no tensor '0.output.upp'; did you mean 'up'?",
                "0.output: 'up' is missing",
                "0.output: 'down' has the shape [12], not [width ?, size 4]",
            ],
        ),
        (
            "bottleneck",
            types(**{"0.output.0.up": "F32[4,3]"}),
            ["a bottleneck has no tensor '0.output.0.up'; did you mean 'up'?"],
        ),
        (
            "bottleneck",
            types(**{"0.middle.up": "F32[4,3]", "01.output.up": "F32[4,3]"}),
            [
                "a bottleneck has no tensor '0.middle.up'; one is '0.output.up'",
                "a bottleneck has no tensor '01.output.up'; one is '0.output.up'",
            ],
        ),
        (
            "madapter",
            without(
                {n: t for n, t in ADAPTER.items() if n.startswith("0.output")}, "middle.1", "t_bias"
            ),
            ["0.output: 'middle.1' is missing"],
        ),
        (
            "madapter",
            without({n: t for n, t in ADAPTER.items() if n.startswith("0.output")}, "norm_bias"),
            ["0.output: 'norm_bias' is missing"],
        ),
        (
            "fusion",
            without({n: t for n, t in MIXER.items() if n.startswith("0.output")}, "f_down_bias"),
            ["0.output.0: 'f_down_bias' is missing"],
        ),
        (
            "fusion",
            {
                **{n: t for n, t in MIXER.items() if n.startswith("0.output")},
                "0.output.0.up_bias": TensorType("F32", (3, 4)),
            },
            ["0.output.0: 'up_bias' has the shape [3, 4], not [members 2, size 4]"],
        ),
        (
            "head",
            types(weight="F32[3,4]", bias="F32[2]"),
            ["head: 'bias' has the shape [2], not [classes 3]"],
        ),
        (
            "head",
            types(weight="F32[3,4]", bais="F32[3]"),
            ["a head has no tensor 'bais'; did you mean 'bias'?", "head: 'bias' is missing"],
        ),
        (
            "head",
            types_of(head(3)) | types(dense="F32[3,4]"),
            [
                "head: 'dense_bias' is missing",
                "head: 'dense' has the shape [3, 4], not [size 4, size 4]",
            ],
        ),
        (
            "head",
            types_of(head(3)) | types(dense_bias="F32[4]"),
            ["head: 'dense' is missing"],
        ),
        (
            "bottleneck",
            {**types_of(adapter(3)), **without(COUPLING, "g_up", "f_down")},
            ["embeddings: 'f_down' is missing", "embeddings: 'g_up' is missing"],
        ),
        (
            "madapter",
            {**ADAPTER, **COUPLING, "embeddings.g_down": TensorType("F32", (2, 2))},
            ["embeddings: 'g_down' has the shape [2, 2], not [quarter 1, half 2]"],
        ),
        (
            "bottleneck",
            types(**{"embeddings.f_dwon": "F32[1,2]", "embeddings.0.f_down": "F32[1,2]"}),
            [
                "a bottleneck has no tensor 'embeddings.f_dwon'; did you mean 'f_down'?",
                "a bottleneck has no tensor 'embeddings.0.f_down'; did you mean 'f_down'?",
            ],
        ),
        (
            "fusion",
            types(**{"embeddings.f_down": "F32[1,2]"}),
            ["a fusion has no tensor 'embeddings.f_down'; one is '0.output.0.up'"],
        ),
        (
            "norms",
            types(**{"embeddings.f_up": "F32[2,1]"}),
            ["a norms has no tensor 'embeddings.f_up'; one is '0.output.up'"],
        ),
    ],
    ids=range(20),
)
def test_what_does_not_fit_is_said(kind: Kind, tensors: dict[str, TensorType], faults: list[str]):
    assert layout_faults(kind, tensors, size=SIZE, layers=LAYERS) == faults


def test_a_hidden_size_without_halves_has_no_invertible_adapter():
    faults = layout_faults("bottleneck", COUPLING, size=5, layers=LAYERS)
    assert faults == ["embeddings: the hidden size 5 has no halves for an invertible adapter"]


def test_mixers_that_differ_between_sites_show():
    tensors = {
        **types_of(fusion(units=5, members=2)),
        "0.output.0.f_score": TensorType("F32", (3,)),
        "1.output.1.f_score": TensorType("F32", (2,)),
    }
    assert mixers(tensors) == {0: {("fuse", 2), ("fuse", 3)}, 1: {("gate", 2)}}
    assert (
        mixers({"f_score": TensorType("F32", (2,)), "0.output.0.f_score": TensorType("F32", ())})
        == {}
    )
