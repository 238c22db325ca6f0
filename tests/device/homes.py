"""Small bundles with graphs, for the tiny backbone: random weights, every kind of composition."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from composer.bundle.fingerprint import tensor_digests
from composer.bundle.graphs import WEIGHTS
from composer.bundle.header import header_bytes
from composer.bundle.heads import head_config
from composer.bundle.records import BackboneRecord, CompositionRecord, SelfTest, SelfTestCase
from composer.bundle.tensors import parse_tensors, tensor_types
from composer.bundle.writer import NewPart, write_bundle
from composer.device.bundle import Bundle
from composer.model.backbone import Backbone
from composer.model.composed import ComposedModel, TrainedMixers
from composer.model.folded import fold
from composer.recipe.grammar.adapters import NonLinearity
from composer.recipe.grammar.bundles import GraphPrecision, StaticShape
from composer.recipe.grammar.composition import adapter_names, parse_composition
from composer.train.graphs import make_device_graphs
from tests.bundle.content import change_manifest
from tests.model.bundles import arrays
from tests.model.conftest import adapter, head_of, owned_for


@dataclass(frozen=True)
class Task:
    """A composition of a bundle."""

    expression: str
    type: str = "text-classification"
    classes: int = 3
    pooling: str = "mean"
    between: NonLinearity | None = None  # the two layers of its head; None: it has one


TASKS = {
    "one": Task("relu"),
    "stacked": Task("relu > mid2", classes=2),
    "fused": Task("fuse(relu, mid2, none)"),
    "gated": Task("gate(relu, mid3)", "regression", 1),
    "mean": Task("average(0.25 * relu, 0.75 * mid2)"),
    "spans": Task("mid3", "token-classification"),
    "first": Task("swish > relu", pooling="first"),
    "low": Task("low > low2"),  # other sites, so a graph of its own
}


def write_home(
    target: Path,
    backbone: Backbone,
    folder: Path,
    *,
    tasks: Mapping[str, Task] = TASKS,
    precision: GraphPrecision | None = "float32",
    static: StaticShape | None = None,
) -> Path:
    """Write a bundle; the self-test holds what its own graphs answer."""
    parts: dict[str, NewPart] = {}
    compositions: dict[str, CompositionRecord] = {}
    for name, task in tasks.items():
        made, compositions[name] = _composition(name, task, backbone)
        parts |= made
    graphs = None
    if precision is not None:
        graphs = make_device_graphs(backbone, parts, compositions, precision, static=static)
        compositions = {
            name: one.model_copy(update={"graph": graphs.used_by[name]})
            for name, one in compositions.items()
        }
    tokenizer = (folder / "tokenizer.json").read_bytes()
    values = {
        "composer": "0.1.0",
        "backbone": _record(backbone, tokenizer),
        "backbone_tensors": tensor_digests(folder),
        "tokenizer": tokenizer,
        "parts": parts,
        "compositions": compositions,
        "graphs": None if graphs is None else graphs.files,
    }
    write_bundle(target, **values)
    if graphs is None:
        return target
    bundle = Bundle.open(target, threads=1)
    cases = [SelfTestCase(composition=one, text="lamp", expected=((0.0,),)) for one in tasks]
    cases = [one.model_copy(update={"expected": bundle.outputs(one)}) for one in cases]
    write_bundle(target, **values, self_test=SelfTest(cases=tuple(cases)))
    return target


def _composition(
    name: str, task: Task, backbone: Backbone
) -> tuple[dict[str, NewPart], CompositionRecord]:
    """Make a composition's parts, adapters that others use too among them."""
    composition = parse_composition(task.expression)
    used = tuple(adapter_names(composition))
    adapters = {one: adapter(backbone, one) for one in used}
    parts = {
        one: NewPart(
            kind=made.shape.kind,
            role="task",
            tensors=arrays(made),
            config=made.shape.model_dump(mode="json", exclude_none=True),
        )
        for one, made in adapters.items()
    }
    head = head_of(task.classes, backbone.size, task.between, seed=len(name))
    parts[f"{name}.head"] = NewPart(
        kind="head", role="head", tensors=arrays(head), config=head_config(task.type, task.between)
    )
    owned = owned_for(composition, backbone, train_norm=name == "fused")
    if owned.names:
        model = ComposedModel(
            backbone, composition=composition, adapters=adapters, mixers=TrainedMixers(owned)
        )
        folded = {key: tensor.numpy() for key, tensor in fold(model).items()}
        parts[f"{name}.mix"] = NewPart(kind="fusion", role="composition", tensors=folded)
        used = (*used, f"{name}.mix")
    count = {"regression": 0, "token-classification": 1}.get(task.type, task.classes)
    record = CompositionRecord(
        expression=str(composition),
        parts=used,
        head=f"{name}.head",
        type=task.type,
        labels=tuple(f"label {number}" for number in range(count)),
        pooling=task.pooling,
    )
    return parts, record


def _record(backbone: Backbone, tokenizer: bytes) -> BackboneRecord:
    tokens = backbone.word_embeddings.weight.numel()
    return BackboneRecord(
        name="tiny",
        source="folder",
        body=backbone.fingerprints.body,
        vocabulary=backbone.fingerprints.vocabulary,
        tokenizer=sha256(tokenizer).hexdigest(),
        model_type="bert",
        hidden_size=backbone.size,
        layers=len(backbone.sites.order) // 2,
        max_tokens=backbone.max_tokens,
        parameters=tokens + 1000,
        token_parameters=tokens,
    )


def put_file(folder: Path, name: str, data: bytes) -> None:
    """Replace a file as an attacker would: size, hash and digest are made to match."""
    (folder / name).write_bytes(data)
    record = {"bytes": len(data), "sha256": sha256(data).hexdigest()}
    change_manifest(folder, lambda values: values["files"].__setitem__(name, record))


def change_weights(folder: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    """Change the frozen weights and reseal the bundle; numbers that are not finite too."""
    data = bytearray((folder / WEIGHTS).read_bytes())
    found = {name: one.copy() for name, one in parse_tensors(data, place=WEIGHTS).items()}
    change(found)
    found = dict(sorted(found.items()))
    types = tensor_types({name: np.zeros_like(one) for name, one in found.items()})
    body = b"".join(np.ascontiguousarray(found[name]).tobytes() for name in types)
    put_file(folder, WEIGHTS, header_bytes(types) + body)
