"""A small bundle for the tiny backbone, with every kind of part and a self-test."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch

from composer.bundle.fingerprint import tensor_digests
from composer.bundle.reader import open_bundle
from composer.bundle.records import BackboneRecord, CompositionRecord, SelfTest, SelfTestCase
from composer.bundle.writer import NewPart, write_bundle
from composer.data.examples import Example
from composer.model.backbone import Backbone
from composer.model.bundled import open_composition, outputs
from composer.model.composed import ComposedModel
from composer.model.folded import fold
from composer.model.mixers import TrainedMixers
from composer.model.parts import Part, new_head
from composer.model.predictor import Predictor
from composer.recipe.grammar.composition import adapter_names, parse_composition
from tests.model.conftest import adapter, owned_for

TEXTS = ("turn on the lamp", "wie warm ist es im wohnzimmer")
TASKS = {
    "one": ("relu", "text-classification", 3),
    "stacked": ("low > low2", "text-classification", 2),
    "fused": ("fuse(relu, mid2, none)", "text-classification", 3),
    "gated": ("gate(relu, mid3) > swish", "regression", 1),
    "mean": ("average(0.25 * relu, 0.75 * mid2)", "text-classification", 3),
    "spans": ("mid3", "token-classification", 3),
}
ADAPTERS = ("relu", "low", "low2", "mid2", "mid3", "swish")


def arrays(part: Part) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in part.tensors().items()}


def write_tiny_bundle(target: Path, backbone: Backbone, folder: Path) -> None:
    """Write a bundle, run it, and write it again with what it answered as its self-test."""
    adapters = {name: adapter(backbone, name) for name in ADAPTERS}
    parts = {
        name: NewPart(
            kind=one.shape.kind,
            role="task",
            tensors=arrays(one),
            config=one.shape.model_dump(mode="json", exclude_none=True),
        )
        for name, one in adapters.items()
    }
    compositions: dict[str, CompositionRecord] = {}
    for name, (expression, type_, classes) in TASKS.items():
        composition = parse_composition(expression)
        used = tuple(adapter_names(composition))
        head = new_head(classes=classes, size=backbone.size, generator=_seeded(len(name)))
        parts[f"{name}.head"] = NewPart(kind="head", role="head", tensors=arrays(head))
        owned = owned_for(composition, backbone, train_norm=name == "fused")
        if owned.names:
            model = ComposedModel(
                backbone,
                composition=composition,
                adapters={one: adapters[one] for one in used},
                mixers=TrainedMixers(owned),
            )
            folded = {key: tensor.numpy() for key, tensor in fold(model).items()}
            parts[f"{name}.mix"] = NewPart(kind="fusion", role="composition", tensors=folded)
            used = (*used, f"{name}.mix")
        count = {"regression": 0, "token-classification": 1}.get(type_, classes)
        compositions[name] = CompositionRecord(
            expression=str(composition),
            parts=used,
            head=f"{name}.head",
            type=type_,
            labels=tuple(f"label {number}" for number in range(count)),
        )
    tokenizer = (folder / "tokenizer.json").read_bytes()
    values = {
        "composer": "0.1.0",
        "backbone": _record(backbone, tokenizer),
        "backbone_tensors": tensor_digests(folder),
        "tokenizer": tokenizer,
        "parts": parts,
        "compositions": compositions,
    }
    write_bundle(target, **values)
    write_bundle(target, **values, self_test=SelfTest(cases=_cases(target, backbone)))


def answers(predictors: Mapping[str, Predictor]) -> dict[str, bytes]:
    """Give every bit that predictors answer."""
    return {
        f"{name}/{text}": predictor.logits(predictor.encode([Example(text=text)]))[0]
        .numpy()
        .tobytes()
        for name, predictor in predictors.items()
        for text in TEXTS
    }


def _cases(target: Path, backbone: Backbone) -> tuple[SelfTestCase, ...]:
    bundle = open_bundle(target)
    return tuple(
        SelfTestCase(
            composition=name,
            text=TEXTS[0],
            expected=outputs(open_composition(bundle, name, backbone), Example(text=TEXTS[0])),
        )
        for name in bundle.manifest.compositions
    )


def _record(backbone: Backbone, tokenizer: bytes) -> BackboneRecord:
    return BackboneRecord(
        name="tiny",
        source="folder",
        body=backbone.fingerprints.body,
        vocabulary=backbone.fingerprints.vocabulary,
        tokenizer=sha256(tokenizer).hexdigest(),
        model_type="bert",
        hidden_size=backbone.size,
        layers=2,
        max_tokens=backbone.max_tokens,
        parameters=1000,
        token_parameters=100,
    )


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
