"""A small bundle for tests: two adapters, a fusion of them, two heads, 2 layers of size 4."""

import json
import struct
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from composer.bundle.fingerprint import fingerprints_of
from composer.bundle.header import TensorType
from composer.bundle.jsontext import canonical_json
from composer.bundle.layout import Kind
from composer.bundle.manifest import Manifest
from composer.bundle.records import (
    BackboneRecord,
    CompositionRecord,
    ScoreRecord,
    SelfTest,
    SelfTestCase,
)
from composer.bundle.sparse import parameter_count
from composer.bundle.writer import NewPart, write_bundle

SIZE, LAYERS = 4, 2
SITES = [f"{layer}.{where}" for layer in range(LAYERS) for where in ("attention", "output")]
TOKENIZER = b'{"model": {}}'
KEY = "0" * 64
BACKBONE_TENSORS = {
    "embeddings.word_embeddings.weight": "1" * 64,
    "encoder.layer.2.output.dense.weight": "2" * 64,
    "encoder.layer.10.output.dense.weight": "3" * 64,
}


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def adapter(width: int, *, middle: int = 0, norms: bool = False) -> dict[str, np.ndarray]:
    tensors: dict[str, np.ndarray] = {}
    for site in SITES:
        tensors[f"{site}.down"] = numbers(width, SIZE)
        tensors[f"{site}.down_bias"] = numbers(width)
        tensors[f"{site}.up"] = numbers(SIZE, width)
        tensors[f"{site}.up_bias"] = numbers(SIZE)
        for depth in range(middle):
            tensors[f"{site}.middle.{depth}"] = numbers(width, width)
            tensors[f"{site}.middle.{depth}_bias"] = numbers(width)
        if norms:
            tensors[f"{site}.norm_weight"] = numbers(SIZE)
            tensors[f"{site}.norm_bias"] = numbers(SIZE)
    return tensors


def fusion(*, units: int, members: int) -> dict[str, np.ndarray]:
    shapes = {
        "f_down": (units, SIZE),
        "f_down_bias": (units,),
        "f_up_score": (members, SIZE),
        "f_score": (members,),
        "up": (SIZE, units),
        "up_bias": (members, SIZE),
    }
    return {f"{site}.0.{name}": numbers(*shape) for site in SITES for name, shape in shapes.items()}


def head(classes: int) -> dict[str, np.ndarray]:
    return {"weight": numbers(classes, SIZE), "bias": numbers(classes)}


def part(kind: Kind, tensors: Mapping[str, np.ndarray], **more: object) -> NewPart:
    role = {"fusion": "composition", "head": "head"}.get(kind, "task")
    return NewPart(**{"kind": kind, "role": role, "tensors": tensors, "parents": (KEY,), **more})


def content() -> dict[str, object]:
    """Return what `write_bundle` takes, new each time."""
    tokenizer = sha256(TOKENIZER).hexdigest()
    prints = fingerprints_of(BACKBONE_TENSORS, tokenizer=tokenizer)
    return {
        "composer": "0.1.0",
        "backbone": BackboneRecord(
            name="tiny",
            source="folder",
            body=prints.body,
            vocabulary=prints.vocabulary,
            tokenizer=tokenizer,
            model_type="bert",
            hidden_size=SIZE,
            layers=LAYERS,
            max_tokens=16,
            parameters=1000,
            token_parameters=100,
        ),
        "backbone_tensors": BACKBONE_TENSORS,
        "tokenizer": TOKENIZER,
        "parts": {
            "intent": part(
                "madapter",
                adapter(3, middle=1, norms=True),
                config={"kind": "madapter", "width": 3, "train_norm": True},
                licence="Apache-2.0",
            ),
            "domain": part("bottleneck", adapter(2), config={"kind": "bottleneck", "width": 2}),
            "intent.head": part("head", head(3)),
            "few-shot.fusion": part("fusion", fusion(units=5, members=2)),
            "few-shot.head": part("head", head(1)),
        },
        "compositions": {
            "intent": CompositionRecord(
                expression="intent",
                parts=("intent",),
                head="intent.head",
                type="text-classification",
                labels=("off", "on", "licht an"),
                languages=("en", "de"),
            ),
            "few-shot:de": CompositionRecord(
                expression="fuse(intent, domain)",
                parts=("intent", "domain", "few-shot.fusion"),
                head="few-shot.head",
                type="regression",
                languages=("de",),
            ),
        },
        "scores": [
            ScoreRecord(
                composition="intent",
                language=language,
                split="test",
                score="accuracy",
                value=0.75,
                n=400,
                seed=13,
                data_digest=KEY,
            )
            for language in ("en", "de")
        ],
        "licences": {"backbone": "MIT", "data/assistant/intent": "Apache-2.0"},
        "recipe": {"composer": 1, "members": ("en", "de")},
        "lock": {"torch": "2.13.0"},
        "self_test": SelfTest(
            cases=(SelfTestCase(composition="intent", text="Licht an!", expected=((0.1, 1, -2),)),)
        ),
    }


def make_bundle(folder: Path, **changes: object) -> Manifest:
    return write_bundle(folder, **{**content(), **changes})


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a bundle's manifest as an attacker would: the digest is made to match."""
    path = folder / "manifest.json"
    values = json.loads(path.read_text())
    change(values)
    values["digest"] = ""
    values["digest"] = sha256(canonical_json(values)).hexdigest()
    path.write_bytes(canonical_json(values))


def put_part(folder: Path, name: str, data: bytes, tensors: dict[str, str] | None = None) -> None:
    """Replace the file of a part, and make size, hash and digest match."""

    def change(values: dict[str, Any]) -> None:
        record = values["parts"][name]
        (folder / record["file"]).write_bytes(data)
        record.update(bytes=len(data), sha256=sha256(data).hexdigest())
        if tensors is not None:
            types = [TensorType.parse(text) for text in tensors.values()]
            count = parameter_count(dict(zip(tensors, types, strict=True)))
            record.update(tensors=tensors, parameters=count)

    change_manifest(folder, change)


def raw_tensors(header: object, body: bytes = b"") -> bytes:
    """Spell a safetensors file that may be wrong."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body
