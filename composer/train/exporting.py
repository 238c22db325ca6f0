"""Make a bundle of compositions: their adapters, folded fusions, heads, scores and a self-test.

    bundle/   as `composer.bundle.writer` draws it

After it is written the bundle is opened like anybody's and its self-test is run, so what is
published has answered once what the trained model answers.
"""

import hashlib
import importlib.metadata
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from composer.bundle.fingerprint import tensor_digests
from composer.bundle.heads import head_config
from composer.bundle.reader import open_bundle
from composer.bundle.records import (
    BackboneRecord,
    CompositionRecord,
    ScoreRecord,
    SelfTest,
    SelfTestCase,
)
from composer.bundle.writer import NewPart, write_bundle
from composer.data.examples import Example
from composer.data.samples.backbones import SAMPLE_BACKBONES
from composer.device.bundle import Bundle
from composer.errors import AdapterError
from composer.model.backbone import Backbone
from composer.model.bundled import outputs, self_test
from composer.model.composed import ComposedModel
from composer.model.files import HeadFile, stored_arrays
from composer.model.folded import fold
from composer.model.predictor import Predictor
from composer.model.trimming import read_trimmed
from composer.recipe.expansion.stages import BundledComposition, Export
from composer.recipe.grammar.adapters import AdaMix
from composer.recipe.grammar.backbones import FolderBackbone, HubBackbone, SampleBackbone
from composer.recipe.grammar.composition import adapter_names, mixers_of, print_composition
from composer.train.assembly import assemble
from composer.train.context import StageContext
from composer.train.graphs import DeviceGraphs, make_device_graphs, score_on_device
from composer.train.results import read_scores
from composer.train.setup import encoder_for, prepare
from composer.train.vocabulary import own_vocabulary

_TEST_INPUTS = 3  # sentences a composition in the self-test


@dataclass
class _Contents:
    """What has been put in so far."""

    parts: dict[str, NewPart] = field(default_factory=dict)
    compositions: dict[str, CompositionRecord] = field(default_factory=dict)
    scores: list[ScoreRecord] = field(default_factory=list)
    cases: list[SelfTestCase] = field(default_factory=list)
    tolerance: float = 1e-4  # of the self-test
    graphs: DeviceGraphs | None = None

    def halve(self) -> None:
        """Keep all that was trained in float16; too large a number is refused when written."""
        self.tolerance = 5e-3  # what the self-test expects was computed from float32
        for name, part in self.parts.items():
            with np.errstate(over="ignore"):
                halved = {
                    inner: one.astype(np.float16) if one.dtype.kind == "f" else one
                    for inner, one in part.tensors.items()
                }
            self.parts[name] = replace(part, tensors=halved)


@dataclass(frozen=True, kw_only=True)
class _Frozen:
    """What a bundle says of its backbone, read from the files once."""

    record: BackboneRecord
    tensors: Mapping[str, str]
    tokenizer: bytes
    rows: Sequence[int] | None


def export(stage: Export, *, context: StageContext) -> None:
    """Write the bundle, open it, and run its self-test."""
    with own_vocabulary(stage, context) as own:
        _export(stage, own)


def _export(stage: Export, context: StageContext) -> None:
    backbone = prepare(stage.training, context, precision="float32")
    contents = _Contents()
    for bundled in stage.compositions:
        _add(contents, bundled, stage, backbone, context)
    if stage.part_precision == "float16":
        contents.halve()
    if stage.precision is not None:
        contents.graphs = make_device_graphs(
            backbone,
            contents.parts,
            contents.compositions,
            stage.precision,
            static=stage.static,
        )
        for name, graph in contents.graphs.used_by.items():
            record = contents.compositions[name]
            contents.compositions[name] = record.model_copy(update={"graph": graph})
    target, frozen = context.out / "bundle", _frozen(backbone, context)
    _write(target, contents, frozen, context)
    if stage.precision is not None and (stage.precision != "float32" or frozen.rows):
        _measure(target, contents, stage, context)
        _write(target, contents, frozen, context)
    opened = open_bundle(target)
    self_test(opened, backbone)
    if stage.precision is not None:
        Bundle(opened, threads=stage.training.threads).self_test()


def _write(target: Path, contents: _Contents, frozen: _Frozen, context: StageContext) -> None:
    write_bundle(
        target,
        composer=importlib.metadata.version("adapter-composer"),
        backbone=frozen.record,
        backbone_tensors=frozen.tensors,
        tokenizer=frozen.tokenizer,
        rows=frozen.rows,
        parts=contents.parts,
        compositions=contents.compositions,
        graphs=contents.graphs.files if contents.graphs else None,
        scores=contents.scores,
        licences=_licences(context),
        recipe=context.recipe,
        lock=context.lock,
        self_test=SelfTest(cases=tuple(contents.cases), tolerance=contents.tolerance),
    )


def _measure(target: Path, contents: _Contents, stage: Export, context: StageContext) -> None:
    """Take down what the graph answers where it rounds: in the self-test, and as scores."""
    device = Bundle(open_bundle(target), threads=stage.training.threads)
    if stage.precision != "float32":
        contents.cases = [
            case.model_copy(update={"by_graph": device.outputs(case)}) for case in contents.cases
        ]
    for bundled in stage.compositions:
        for name in bundled.evaluations:
            contents.scores += score_on_device(device, bundled.name, context.inputs[name])


def _add(
    contents: _Contents,
    bundled: BundledComposition,
    stage: Export,
    backbone: Backbone,
    context: StageContext,
) -> None:
    """Add one composition and every part it needs that is not there yet."""
    names = adapter_names(bundled.composition)
    needs = {name: stage.parts[name] for name in names}
    model, about = assemble(
        bundled.composition,
        parts={name: context.inputs[need] for name, need in needs.items()},
        owner=context.inputs[bundled.owner],
        backbone=backbone,
    )
    for name, need in needs.items():
        contents.parts[name] = _adapter_part(model, name, need, context)
    used = [*names, *_add_owned(contents, bundled, model, context)]
    head = f"{_label(bundled.owner)}.head"
    contents.parts[head] = NewPart(
        kind="head",
        role="head",
        tensors=_arrays(model.head.tensors() if model.head else {}),
        config=head_config(about.type, about.non_linearity),
        parents=(context.needs[bundled.owner],),
    )
    scored = [context.inputs[name] for name in bundled.evaluations]
    contents.compositions[bundled.name] = _composition(bundled, about, used, head, scored)
    contents.scores += [record for at in scored for record in _scores(bundled.name, at)]
    predictor = Predictor(model, about, encoder_for(backbone))
    contents.cases += _cases(bundled.name, predictor, about, scored)


def _adapter_part(model: ComposedModel, name: str, need: str, context: StageContext) -> NewPart:
    adapter = model.adapter(name)
    shape = adapter.shape
    if isinstance(shape, AdaMix):
        raise AdapterError(f"{name}: adamix is averaged into one bottleneck before it is stored")
    return NewPart(
        kind=shape.kind,
        role="language" if need.startswith("language/") else "task",
        tensors=stored_arrays(adapter),
        config=shape.model_dump(mode="json", exclude_none=True),
        parents=(context.needs[need],),
    )


def _add_owned(
    contents: _Contents, bundled: BundledComposition, model: ComposedModel, context: StageContext
) -> list[str]:
    """Add what a composition owns, folded; languages share it where it is the same."""
    folded = _arrays(fold(model))
    if not folded:
        return []
    name, _, language = bundled.name.partition(":")
    known = contents.parts.get(name)
    if known is not None and not _same(known.tensors, folded):
        name = f"{name}@{language}"
    contents.parts[name] = NewPart(
        kind="fusion" if mixers_of(model.composition) else "norms",
        role="composition",
        tensors=folded,
        parents=(context.needs[bundled.owner],),
    )
    return [name]


def _composition(
    bundled: BundledComposition,
    about: HeadFile,
    parts: list[str],
    head: str,
    scored: list[Path],
) -> CompositionRecord:
    _, _, language = bundled.name.partition(":")
    languages = {language} if language else {read_scores(at).language for at in scored}
    return CompositionRecord(
        expression=print_composition(bundled.composition),
        parts=tuple(parts),
        head=head,
        type=about.type,
        labels=about.labels,
        pooling="first" if about.pooling == "first" else "mean",
        languages=tuple(sorted(map(str, languages))),
    )


def _scores(name: str, folder: Path) -> Iterator[ScoreRecord]:
    found = read_scores(folder)
    for score, value in found.scores.items():
        yield ScoreRecord(
            composition=name,
            language=found.language,
            split=found.split,
            score=score,
            value=value,
            n=found.n,
            seed=found.seed,
            data_digest=found.data_digest,
        )


def _cases(
    name: str, predictor: Predictor, about: HeadFile, scored: list[Path]
) -> list[SelfTestCase]:
    """Take a few inputs that were scored; without scores, the labels themselves will do."""
    examples = [Example(text=label) for label in about.labels[:_TEST_INPUTS] or ("1",)]
    if scored:
        with (scored[0] / "predictions.jsonl").open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line, _ in zip(lines, range(_TEST_INPUTS), strict=False)]
        examples = [Example(text=row["text"], pair=row.get("pair")) for row in rows]
    return [
        SelfTestCase(
            composition=name,
            text=example.text,
            pair=example.pair,
            expected=outputs(predictor, example),
        )
        for example in examples
    ]


def _frozen(backbone: Backbone, context: StageContext) -> _Frozen:
    folder, block = context.backbone_folder(), context.backbone
    trimmed = read_trimmed(folder)
    tokenizer = (folder / "tokenizer.json").read_bytes()
    record = BackboneRecord(
        name=Path(block.path).name if isinstance(block, FolderBackbone) else block.name,
        source=block.source,
        revision=block.revision if isinstance(block, HubBackbone) else None,
        body=backbone.fingerprints.body,
        vocabulary=backbone.fingerprints.vocabulary,
        tokenizer=hashlib.sha256(tokenizer).hexdigest(),
        model_type=backbone.architecture,
        hidden_size=backbone.size,
        layers=len(backbone.sites.order) // 2,
        max_tokens=backbone.max_tokens,
        parameters=sum(one.numel() for one in backbone.module.parameters()),
        token_parameters=backbone.word_embeddings.weight.numel(),
        trimmed=trimmed.record if trimmed else None,
    )
    return _Frozen(
        record=record,
        tensors=tensor_digests(folder),
        tokenizer=tokenizer,
        rows=trimmed.rows if trimmed else None,
    )


def _licences(context: StageContext) -> dict[str, str]:
    block = context.backbone
    if isinstance(block, SampleBackbone):
        return {"backbone": SAMPLE_BACKBONES[block.name].licence}
    return {}


def _label(stage_name: str) -> str:
    return stage_name.rpartition("/")[2]


def _same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(one[name], other[name]) for name in one
    )


def _arrays(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.detach().cpu().float().numpy() for name, tensor in tensors.items()}
