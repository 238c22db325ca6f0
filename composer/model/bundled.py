"""A bundle on torch: its parts put on a backbone, and its self-test.

A device runs the same arithmetic without torch; here it is what the export is held to.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from composer.bundle.fingerprint import tensor_digests
from composer.bundle.heads import head_non_linearity
from composer.bundle.layout import ADAPTERS
from composer.bundle.reader import OpenedBundle
from composer.bundle.records import CompositionRecord, SelfTestCase
from composer.bundle.selftest import Rows, output_rows, relative_difference
from composer.bundle.shapes import AnyShape, read_shape
from composer.data.encode import Encoder
from composer.data.examples import Example
from composer.errors import AdapterError, BundleError
from composer.model.backbone import Backbone
from composer.model.composed import ComposedModel
from composer.model.files import HeadFile
from composer.model.folded import FoldedMixers
from composer.model.methods.kinds import promised_tensors, stored_adapter
from composer.model.parts import Adapter, Head
from composer.model.predictor import Predictor
from composer.recipe.grammar.composition import parse_composition


def check_backbone(bundle: OpenedBundle, folder: Path, backbone: Backbone) -> None:
    """Refuse any backbone but the one that the bundle was made for.

    Raises:
        BundleError: Naming the first tensor that differs, or what is said of it and is not so.
    """
    bundle.check_backbone(backbone.fingerprints, tensor_digests(folder))
    recorded = bundle.manifest.backbone
    for field, said, found in (
        ("hidden_size", recorded.hidden_size, backbone.size),
        ("layers", recorded.layers, 1 + max(site.layer for site in backbone.norms)),
    ):
        if said != found:
            raise BundleError(
                f"{bundle.path}: backbone.{field}: {said!r:.80}, and the backbone's is {found!r}"
            )


def open_composition(bundle: OpenedBundle, name: str, backbone: Backbone) -> Predictor:
    """Put one composition of a bundle on its backbone.

    Raises:
        BundleError: A part changed since the bundle was opened, or is not for this version.
    """
    record = bundle.manifest.compositions[name]
    adapters: dict[str, Adapter] = {}
    folded: dict[str, Tensor] = {}
    for part in record.parts:
        tensors = _tensors(bundle.read_part(part))
        if bundle.manifest.parts[part].kind in ADAPTERS:
            shape = read_shape(bundle.manifest.parts[part].config)
            place = f"{bundle.path}: {part}"
            adapters[part] = _adapter(shape, tensors, backbone, place=place)
        else:
            folded |= tensors
    head = Head(
        _tensors(bundle.read_part(record.head)),
        head_non_linearity(bundle.manifest.parts[record.head].config),
    )
    model = ComposedModel(
        backbone,
        composition=parse_composition(record.expression),
        adapters=adapters,
        mixers=FoldedMixers(folded) if folded else None,
        head=head,
        pooling=_pooling(record),
    )
    model.requires_grad_(requires_grad=False).eval()
    about = HeadFile(
        size=backbone.size,
        type=record.type,
        labels=record.labels,
        pooling=_pooling(record),
        non_linearity=head.non_linearity,
    )
    return Predictor(model, about, Encoder(backbone.tokenizer, max_tokens=backbone.max_tokens))


def _adapter(
    shape: AnyShape, tensors: Mapping[str, Tensor], backbone: Backbone, *, place: str
) -> Adapter:
    """Put an adapter on a backbone, of which the manifest does not say everything."""
    try:
        promised = promised_tensors(shape, backbone)
    except AdapterError as fault:
        raise BundleError(f"{place}: {fault}") from fault
    found = {name: tuple(one.shape) for name, one in tensors.items()}
    wrong = sorted({name for name, _ in found.items() ^ promised.items()})
    if wrong:
        raise BundleError(f"{place}: tensor {wrong[0]!r} does not fit the backbone")
    return stored_adapter(shape, tensors, backbone)


def self_test(bundle: OpenedBundle, backbone: Backbone) -> float:
    """Run a bundle's own test cases; give the largest difference, relative to the largest output.

    Raises:
        BundleError: An output is further off than the manifest allows.
    """
    worst = 0.0
    for name in bundle.manifest.compositions:
        cases = [case for case in bundle.manifest.self_test.cases if case.composition == name]
        predictor = open_composition(bundle, name, backbone)
        for case in cases:
            difference = _difference(predictor, case)
            if not difference <= bundle.manifest.self_test.tolerance:  # NaN is no match
                raise BundleError(
                    f"{bundle.path}: {name}: self-test: {case.text!r} is off by {difference:.1e} "
                    f"of the largest output, allowed is {bundle.manifest.self_test.tolerance:.0e}"
                )
            worst = max(worst, difference)
    return worst


def outputs(predictor: Predictor, example: Example) -> Rows:
    """Give the head's outputs for one input: one row, or one a token."""
    (logits,) = predictor.logits(predictor.encode([example], truncate=True))
    return output_rows(logits.numpy())


def _difference(predictor: Predictor, case: SelfTestCase) -> float:
    got = outputs(predictor, Example(text=case.text, pair=case.pair))
    return relative_difference(got, case.expected)


def _pooling(record: CompositionRecord) -> str:
    return "none" if record.type == "token-classification" else record.pooling


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Take arrays over; what is stored in float16 is widened, as everything else is float32."""
    return {name: torch.from_numpy(array).float() for name, array in arrays.items()}
