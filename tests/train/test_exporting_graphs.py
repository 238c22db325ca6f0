"""A bundle with its backbone answers on a device, without torch, what was trained."""

import json
import subprocess
import sys

import numpy as np
import pytest

from composer.bundle.reader import open_bundle
from composer.device.bundle import Bundle
from composer.errors import BundleError
from composer.recipe.grammar.bundles import StaticShape
from tests.train.conftest import evaluation_stage
from tests.train.test_exporting import (
    CASES,
    Bench,
    bench,
    export_stage,
    shelf,
    trained_model,
    whole_file,
)

__all__ = ["bench", "shelf"]  # fixtures

TOLERANCE = 1e-5  # of the largest logit
REFUSED = {
    "fusion under a task": "the device graph mixes only what is on top",
    "lora": r"intent \(lora\): a device graph takes adapters in behind sub-layers only",
    "full fine-tuning": r"intent \(full\): a device graph takes",
    "prefix over a bitfit language": r"en \(bitfit\): a device graph takes",
    "prompt under a fusion": r"en \(prompt\): a device graph takes",
}


@pytest.mark.parametrize("name", [name for name in CASES if name not in REFUSED])
def test_a_device_predicts_what_the_trained_model_predicts(bench: Bench, name: str) -> None:
    workshop, case = bench(name)
    trained, _ = trained_model(workshop, case)
    examples = whole_file(workshop, case, trained)
    device = Bundle.open(workshop.run(export_stage(case, precision="float32")) / "bundle")
    composition = device.use("it")
    rows = trained.encode(examples)
    expected = np.concatenate([one.numpy().ravel() for one in trained.logits(rows)])
    got = np.concatenate([one.ravel() for one in composition.logits(rows)])
    assert np.abs(got - expected).max() <= TOLERANCE * np.abs(expected).max()
    theirs, ours = trained.predict(examples), composition.predict_examples(examples)
    for one, other in zip(theirs, ours, strict=True):
        assert other.value == (
            one.value if isinstance(one.value, str | tuple) else pytest.approx(one.value, rel=1e-4)
        )


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_graph_cannot_say_is_refused_and_not_approximated(bench: Bench, name: str) -> None:
    workshop, case = bench(name)
    with pytest.raises(BundleError, match=REFUSED[name]):
        workshop.run(export_stage(case, precision="float32"))


@pytest.mark.parametrize("precision", ["int8", "weight-int8"])
def test_a_small_graph_is_scored_beside_float32_and_tests_itself(
    bench: Bench, precision: str
) -> None:
    workshop, case = bench("fusion")
    stage = evaluation_stage("fuse(intent, domain)", "composition/few")
    workshop.run(stage)
    bundle = workshop.run(export_stage(case, stage.name, precision=precision)) / "bundle"
    manifest = open_bundle(bundle).manifest
    assert {score.precision for score in manifest.scores} == {"float32", precision}
    scores = {(s.precision, s.score): s.value for s in manifest.scores}
    assert scores[precision, "accuracy"] == pytest.approx(scores["float32", "accuracy"], abs=0.2)
    cases = manifest.self_test.cases
    assert all(case.by_graph and case.by_graph != case.expected for case in cases)
    assert Bundle.open(bundle).self_test() == 0.0  # the same graph on the same processor


def test_a_graph_that_loses_points_is_told_loudly(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("composer.train.graphs.LOSS_ALLOWED", {"int8": -100.0})
    workshop, case = bench("fusion")
    stage = evaluation_stage("fuse(intent, domain)", "composition/few")
    workshop.run(stage)
    workshop.run(export_stage(case, stage.name, precision="int8"))
    assert "it, en: in int8 its accuracy is" in caplog.text
    assert "points below float32" in caplog.text
    assert "'weight-int8' loses less" in caplog.text


def test_parts_in_float16_are_half_as_large_and_answer_nearly_the_same(bench: Bench) -> None:
    workshop, case = bench("fusion")
    trained, _ = trained_model(workshop, case)
    examples = whole_file(workshop, case, trained)
    sizes, logits = {}, {}
    for precision in ("float32", "float16"):
        stage = export_stage(case, precision="float32", part_precision=precision)
        device = Bundle.open(workshop.run(stage, run=precision) / "bundle")
        part = device.manifest.parts["it"]
        sizes[precision] = part.parameters * (2 if "F16" in str(part.tensors) else 4)
        composition = device.use("it")
        logits[precision] = np.array(composition.logits(trained.encode(examples)))
    assert sizes["float16"] == sizes["float32"] / 2
    off = np.abs(logits["float16"] - logits["float32"]).max() / np.abs(logits["float32"]).max()
    assert 0 < off < 0.01


def test_a_device_never_imports_torch(bench: Bench) -> None:
    workshop, case = bench("spans")
    bundle = workshop.run(export_stage(case, precision="float32")) / "bundle"
    code = (
        "import sys, json\n"
        "from composer.device.bundle import Bundle\n"
        "bundle = Bundle.open(sys.argv[1], threads=1)\n"
        "bundle.self_test()\n"
        "found = bundle.predict(['turn on the lamp in the kitchen 1'])\n"
        "heavy = {'torch', 'transformers', 'adapters', 'datasets', 'onnx', 'sklearn'}\n"
        "print(json.dumps([len(found), sorted(heavy & set(sys.modules))]))"
    )
    command = [sys.executable, "-c", code, str(bundle)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == [1, []]


@pytest.mark.parametrize("name", [name for name in CASES if name not in REFUSED])
def test_a_graph_of_one_shape_gives_what_a_graph_of_any_shape_gives(
    bench: Bench, name: str
) -> None:
    workshop, case = bench(name)
    trained, _ = trained_model(workshop, case)
    examples = whole_file(workshop, case, trained)[:7]
    rows = trained.encode(examples)
    found = []
    for run, static in (("any", None), ("one", StaticShape(batch=3, tokens=40))):
        stage = export_stage(case, precision="float32", static=static)
        device = Bundle.open(workshop.run(stage, run=run) / "bundle")
        found.append(device.use("it").logits(rows))
    (wide, fixed), inputs = found, device._session("graph").inputs  # noqa: SLF001
    assert all(isinstance(one, int) for shape in inputs.values() for one in shape)
    largest = max(np.abs(one).max() for one in wide)
    for one, other in zip(wide, fixed, strict=True):
        assert other.shape == one.shape
        assert np.abs(other - one).max() <= TOLERANCE * largest
    assert device.self_test() <= 1e-4
