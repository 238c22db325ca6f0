"""What a bundle says is what the trained model says, for every composition and type of task."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from composer.bundle.reader import open_bundle
from composer.data.examples import Example
from composer.data.sources import read_examples
from composer.model.backbone import Backbone
from composer.model.bundled import open_composition
from composer.model.predictor import Predictor
from composer.recipe.expansion.stages import (
    BundledComposition,
    DataUse,
    Export,
    TaskSettings,
    TrainComposition,
    TrainLanguage,
    TrainTask,
)
from composer.recipe.grammar.adapters import BitFit, BottleneckAdapter, Full, Lora, Prefix, Prompt
from composer.recipe.grammar.bundles import GraphPrecision, PartPrecision, StaticShape
from composer.recipe.grammar.composition import NONE, Composition, parse_composition
from composer.recipe.grammar.data import FileData, SplitPaths
from composer.recipe.grammar.training import Training
from composer.train.assembly import assemble
from composer.train.results import read_scores
from composer.train.setup import encoder_for, prepare
from tests.train.conftest import (
    DEEP,
    INTENT,
    SLOTS,
    TRAINING,
    TURNED,
    WARMTH,
    WIDE,
    Workshop,
    _parts,
    bytes_of,
    composition_stage,
    evaluation_stage,
    language_stage,
    task_stage,
)

TOLERANCE = 1e-4  # of the largest logit
LEARN = Training(**TRAINING.model_dump() | {"epochs": 4, "learning_rate": 3e-2, "dropout": False})
LOW = BottleneckAdapter(
    kind="bottleneck", placement="pfeiffer", width=4, non_linearity="gelu", train_norm=True
)
LOWER = LOW.model_copy(update={"width": 8, "non_linearity": "tanh", "train_norm": False})
LOW_RANK = Lora(kind="lora", rank=4, targets=("query", "value", "wide"), train_norm=True)
BITS = BitFit(kind="bitfit")
PROMPT = Prompt(kind="prompt", length=3)
PREFIX = Prefix(kind="prefix", length=3)
PAIRS = TaskSettings(type="text-classification", labels=None, pooling="first", score="accuracy")

Trained = TrainLanguage | TrainTask | TrainComposition
Bench = Callable[[str], tuple["Workshop", "Case"]]


@dataclass(frozen=True)
class Case:
    """What is trained, and the composition that is bundled.

    Attributes:
        stages: Trained in this order.
        expression: Of the composition.
        owner: Stage whose head is used.
        data: File that is predicted.
        precision: Of the training.
    """

    stages: tuple[Trained, ...]
    expression: str
    owner: str
    data: str = "intent.csv"
    precision: str = "float32"


def learnt(stage: Trained) -> Trained:
    """Let a stage learn enough that every weight matters."""
    return replace(stage, training=LEARN)


def alone(stage: TrainTask, **more: str) -> Case:
    name = stage.name.removeprefix("task/")
    return Case((learnt(stage),), name, stage.name, **more)


TWO = (
    learnt(task_stage("intent", shape=WIDE)),
    learnt(task_stage("domain", shape=DEEP, data="domain.csv")),
)
TWO_LOW = (
    learnt(task_stage("intent", shape=LOW)),
    learnt(task_stage("domain", shape=LOWER, data="domain.csv")),
)
THREE = (*TWO, learnt(task_stage("warmth", task=WARMTH, data="warmth.csv")))
OVER = learnt(task_stage("intent", over={"en": "language/en"}))


OVER_PREFIX = learnt(task_stage("intent", shape=PREFIX, over={"en": "language/en"}))
TURNED_EN = learnt(language_stage("en", shape=TURNED))
OVER_TURNED = learnt(task_stage("intent", over={"en": "language/en"}))


def composed(
    expression: str, *before: Trained, train_norm: bool | None = None, precision: str = "float32"
) -> Case:
    stage = learnt(composition_stage(expression, train_norm=train_norm))
    return Case((*before, stage), expression, stage.name, precision=precision)


CASES = {
    "bottleneck": alone(task_stage()),
    "bottleneck learnt in bfloat16": alone(task_stage(), precision="bfloat16"),
    "pfeiffer with a trained norm": alone(task_stage(shape=LOW)),
    "madapter with a trained norm": alone(task_stage(shape=DEEP)),
    "spans": alone(task_stage("slots", task=SLOTS, data="slots.jsonl"), data="slots.jsonl"),
    "numbers": alone(task_stage("warmth", task=WARMTH, data="warmth.csv"), data="warmth.csv"),
    "pairs": alone(task_stage("pairs", task=PAIRS, data="pairs.csv"), data="pairs.csv"),
    "average of two heads' adapters": Case(TWO, "average(intent, domain)", "task/intent"),
    "average with a head of its own": composed(
        "average(0.7 * intent, 0.3 * domain)", *TWO, train_norm=True
    ),
    "head alone": composed("none"),
    "fusion": composed("fuse(intent, domain)", *TWO),
    "fusion learnt in bfloat16": composed("fuse(intent, domain)", *TWO, precision="bfloat16"),
    "fusion with the null member": composed("fuse(domain, none, intent)", *TWO),
    "fusion of pfeiffer adapters": composed("fuse(intent, domain)", *TWO_LOW),
    "gate": composed("gate(intent, domain)", *TWO, train_norm=False),
    "gate with a trained norm": composed("gate(intent, none)", *TWO, train_norm=True),
    "fusion under a task": composed("fuse(intent, domain) > warmth", *THREE),
    "language under a task": Case((language_stage("en"), OVER), "en > intent", "task/intent"),
    "invertible language under a task": Case(
        (TURNED_EN, OVER_TURNED), "en > intent", "task/intent"
    ),
    "invertible language under a fusion": composed(
        "en > fuse(intent, domain)", TURNED_EN, OVER_TURNED, TWO[1]
    ),
    "language under a fusion": composed(
        "en > fuse(intent, domain)", learnt(language_stage("en")), OVER, TWO[1]
    ),
    "lora": alone(task_stage(shape=LOW_RANK)),
    "full fine-tuning": alone(task_stage(shape=Full(kind="full"))),
    "prefix over a bitfit language": Case(
        (learnt(language_stage("en", shape=BITS)), OVER_PREFIX), "en > intent", "task/intent"
    ),
    "prompt under a fusion": composed(
        "en > fuse(intent, domain)", learnt(language_stage("en", shape=PROMPT)), OVER, TWO[1]
    ),
}


@dataclass
class Shelf:
    """What was trained already: many cases share their first stages.

    Attributes:
        workshop: Trains what is not here yet.
        made: What was asked for -> its result.
    """

    workshop: Workshop
    made: dict[str, Path] = field(default_factory=dict)

    def train(self, case: Case) -> dict[str, Path]:
        """Give the result of each stage of a case."""
        found: dict[str, Path] = {}
        for number, stage in enumerate(case.stages, start=1):
            asked = f"{case.precision} {case.stages[:number]}"
            if asked not in self.made:
                self.workshop.precision, self.workshop.inputs = case.precision, dict(found)
                self.made[asked] = self.workshop.run(stage, run=str(len(self.made)))
            found[stage.name] = self.made[asked]
        return found


@pytest.fixture(scope="module")
def shelf(tiny_folder: Path, data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """A shelf with a file of pairs beside the others."""
    data = shutil.copytree(data_folder, tmp_path_factory.mktemp("paired") / "data")
    rooms = ("kitchen", "bedroom")
    rows = [f"turn on the lamp {n},in the {rooms[n % 2]},{rooms[n % 2][0]}" for n in range(60)]
    (data / "pairs.csv").write_text("\n".join(["text,pair,label", *rows]) + "\n")
    made = tmp_path_factory.mktemp("shelf")
    return Shelf(Workshop(backbone_folder=tiny_folder, data_folder=data, folder=made))


@pytest.fixture
def bench(shelf: Shelf, tmp_path: Path) -> Bench:
    """Gives a case by name, and a workshop where its stages are trained."""

    def prepared(name: str) -> tuple[Workshop, Case]:
        results = shelf.train(CASES[name])
        workshop = replace(shelf.workshop, folder=tmp_path, precision="float32", inputs=results)
        return workshop, CASES[name]

    return prepared


def export_stage(
    case: Case,
    *evaluations: str,
    precision: GraphPrecision | None = None,
    part_precision: PartPrecision = "float32",
    static: StaticShape | None = None,
    data: DataUse | None = None,
    pieces: int | None = None,
) -> Export:
    bundled = BundledComposition(
        name="it",
        composition=parse_composition(case.expression),
        owner=case.owner,
        evaluations=evaluations,
    )
    return Export(
        name="bundle/box",
        compositions=(bundled,),
        parts=_parts(case.expression),
        precision=precision,
        part_precision=part_precision,
        training=TRAINING,
        static=static,
        data=data,
        pieces=pieces,
    )


def trained_model(
    workshop: Workshop, case: Case, composition: Composition | None = None
) -> tuple[Predictor, Backbone]:
    """Put the trained parts on the float32 backbone."""
    backbone = prepare(TRAINING, workshop.context("look"), precision="float32")
    model, about = assemble(
        parse_composition(case.expression) if composition is None else composition,
        parts={name: workshop.inputs[need] for name, need in _parts(case.expression).items()},
        owner=workshop.inputs[case.owner],
        backbone=backbone,
    )
    return Predictor(model, about, encoder_for(backbone)), backbone


def bundled_model(workshop: Workshop, case: Case, backbone: Backbone) -> Predictor:
    out = workshop.run(export_stage(case))
    return open_composition(open_bundle(out / "bundle"), "it", backbone)


def whole_file(workshop: Workshop, case: Case, predictor: Predictor) -> list[Example]:
    source = FileData(source="files", path=SplitPaths(train=case.data, test=case.data))
    return read_examples(
        source,
        type=predictor.about.type,
        language="en",
        split="test",
        folder=workshop.data_folder,
    )


def logits(predictor: Predictor, examples: Sequence[Example]) -> Tensor:
    rows = predictor.logits(predictor.encode(examples))
    return torch.cat([row.reshape(-1) for row in rows])


def difference(one: Tensor, other: Tensor) -> float:
    """Give the largest difference, as a share of the largest logit."""
    return float((one - other).abs().max() / one.abs().max())


@pytest.mark.parametrize("name", CASES)
def test_a_bundle_predicts_what_the_trained_model_predicts(bench: Bench, name: str):
    workshop, case = bench(name)
    trained, backbone = trained_model(workshop, case)
    bundled = bundled_model(workshop, case, backbone)
    examples = whole_file(workshop, case, trained)
    assert len(examples) == 60
    expected = logits(trained, examples)
    assert difference(expected, logits(bundled, examples)) <= TOLERANCE
    found = [one.value for one in bundled.predict(examples)]
    if trained.about.type == "regression":
        assert found == pytest.approx([one.value for one in trained.predict(examples)], rel=1e-4)
    else:
        assert found == [one.value for one in trained.predict(examples)]
    if case.expression != NONE:  # else the comparison could not fail
        bare, _ = trained_model(workshop, case, composition=NONE)
        bare.model.mixers = None
        assert difference(expected, logits(bare, examples)) > 100 * TOLERANCE


@pytest.mark.parametrize(
    ("name", "stage", "file"),
    [
        ("fusion", "task/intent", "adapter.safetensors"),
        ("fusion", "task/domain", "adapter.safetensors"),
        ("fusion", "composition/few", "composition.safetensors"),
        ("fusion", "composition/few", "head.safetensors"),
        ("gate with a trained norm", "composition/few", "composition.safetensors"),
        ("language under a task", "language/en", "adapter.safetensors"),
        ("invertible language under a task", "language/en", "adapter.safetensors"),
    ],
)
def test_every_part_of_a_bundle_matters(bench: Bench, name: str, stage: str, file: str):
    workshop, case = bench(name)
    trained, backbone = trained_model(workshop, case)
    workshop.inputs[stage] = shutil.copytree(workshop.inputs[stage], workshop.folder / "other")
    disturb(workshop.inputs[stage] / file)
    bundled = bundled_model(workshop, case, backbone)
    examples = whole_file(workshop, case, trained)
    assert difference(logits(trained, examples), logits(bundled, examples)) > 10 * TOLERANCE


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("invertible")])
def test_what_an_adapter_does_to_the_embeddings_matters(bench: Bench, name: str):
    workshop, case = bench(name)
    trained, backbone = trained_model(workshop, case)
    stage = case.stages[0].name
    workshop.inputs[stage] = shutil.copytree(workshop.inputs[stage], workshop.folder / "other")
    disturb(workshop.inputs[stage] / "adapter.safetensors", only="embeddings.")
    bundled = bundled_model(workshop, case, backbone)
    examples = whole_file(workshop, case, trained)
    assert difference(logits(trained, examples), logits(bundled, examples)) > 10 * TOLERANCE


def disturb(file: Path, *, only: str = "") -> None:
    """Add a little noise to every tensor of a file whose name begins so."""
    from safetensors.numpy import load_file

    from composer.bundle.tensors import write_tensors

    generator = torch.Generator().manual_seed(0)
    noisy = {
        name: array
        + name.startswith(only) * 0.1 * torch.randn(array.shape, generator=generator).numpy()
        for name, array in load_file(file).items()
    }
    write_tensors(file, noisy)


def test_the_same_parts_make_the_same_bundle(bench: Bench):
    workshop, case = bench("fusion with the null member")
    one, other = (workshop.run(export_stage(case), run=run) / "bundle" for run in ("one", "other"))
    assert bytes_of(one) == bytes_of(other)
    assert bytes_of(one / "parts") == bytes_of(other / "parts")


def test_a_bundle_holds_the_scores_and_tests_itself_on_what_was_scored(bench: Bench):
    workshop, case = bench("fusion")
    scored = workshop.run(evaluation_stage(case.expression, case.owner))
    name = f"evaluation/all/{case.owner.replace('/', '-')}/en"
    out = workshop.run(export_stage(case, name))
    manifest = open_bundle(out / "bundle").manifest
    found = read_scores(scored)
    assert {score.score: score.value for score in manifest.scores} == found.scores
    assert {(s.language, s.n, s.data_digest) for s in manifest.scores} == {
        ("en", found.n, found.data_digest)
    }
    lines = (scored / "predictions.jsonl").read_text().splitlines()
    texts = [json.loads(line)["text"] for line in lines[:3]]
    assert [test.text for test in manifest.self_test.cases] == texts


def test_a_part_that_compositions_share_is_stored_once(bench: Bench):
    workshop, case = bench("fusion")
    both = export_stage(case)
    single = BundledComposition(
        name="single", composition="intent", owner="task/intent", evaluations=()
    )
    stage = replace(both, compositions=(*both.compositions, single))
    manifest = open_bundle(workshop.run(stage) / "bundle").manifest
    assert set(manifest.parts) == {"intent", "domain", "it", "few.head", "intent.head"}
    assert manifest.compositions["single"].parts == ("intent",)
    assert manifest.compositions["it"].labels == tuple(sorted({"on", "off", "up"}))


def test_the_settings_of_a_task_are_those_of_its_head(bench: Bench):
    workshop, case = bench("pairs")
    record = open_bundle(workshop.run(export_stage(case)) / "bundle").manifest.compositions["it"]
    assert (record.type, record.pooling) == (PAIRS.type, "first")
    assert record.labels == ("b", "k")
    assert INTENT.pooling != record.pooling
