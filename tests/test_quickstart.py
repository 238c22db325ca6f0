"""The quickstart, carried out on its real backbone: minutes, so only `make slow` runs it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
RECIPE = ROOT / "recipes" / "assistant" / "quickstart.yaml"
POINTS = 0.03  # a score may differ by so much from the one in the recipe's header

pytestmark = pytest.mark.slow


def promised_scores() -> dict[str, list[float]]:
    """Read the table in the recipe's header: composition -> a score a language."""
    rows = re.findall(r"^#\s+([a-z-]+)((?:\s+[01]?\.\d{3})+)\s*$", RECIPE.read_text(), re.MULTILINE)
    return {name: [float(value) for value in values.split()] for name, values in rows}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("quickstart")
    command = [sys.executable, "-m", "composer", "run", str(RECIPE), "--json"]
    command += ["--store", str(folder / "store"), "--lock", str(folder / "quickstart.lock")]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout) | {"store": folder / "store"}


def test_the_quickstart_reaches_the_scores_in_its_header(report: dict[str, object]):
    promised = promised_scores()
    assert len(promised) >= 4
    for name, values in promised.items():
        rows = [row for row in report["scores"] if row["composition"] == name]
        got = [row["scores"]["accuracy"] for row in rows]
        assert np.allclose(got, values[: len(got)], atol=POINTS), (name, got, values)


def test_its_bundle_predicts_what_the_trained_model_does(report: dict[str, object]):
    """Every logit within 1e-4 of the largest, and every label equal, on all test sets."""
    from composer.bundle.reader import open_bundle
    from composer.data.encode import Encoder
    from composer.data.samples.assistant import sample_examples
    from composer.data.samples.backbones import default_cache, sample_backbone
    from composer.engine.storage.refs import resolve
    from composer.engine.storage.store import Store
    from composer.model.backbone import open_backbone
    from composer.model.bundled import open_composition
    from composer.model.predictor import Predictor
    from composer.recipe.grammar.composition import parse_composition
    from composer.train.assembly import assemble

    store = Store(report["store"])

    def folder(name: str, kind: str) -> Path:
        return store.find(resolve(store, name, kinds=(kind,)).key)

    place = sample_backbone("multilingual-e5-small", cache=default_cache())
    backbone = open_backbone(place, precision="float32", max_tokens=64)
    bundle = open_bundle(folder("phone", "bundle") / "bundle")
    expression = bundle.manifest.compositions["few-shot"].expression
    names = ["intent", "domain", "slots", "response"]
    trained, about = assemble(
        parse_composition(expression),
        parts={name: folder(name, "task") for name in names},
        owner=folder("few-shot", "composition"),
        backbone=backbone,
    )
    encoder = Encoder(backbone.tokenizer, max_tokens=64)
    direct, bundled = (
        Predictor(trained, about, encoder),
        open_composition(bundle, "few-shot", backbone),
    )
    for language in ("en", "de", "fr", "es"):
        rows = direct.encode(sample_examples("intent", language=language, split="test"))
        expected = np.stack([one.numpy() for one in direct.logits(rows)])
        got = np.stack([one.numpy() for one in bundled.logits(rows)])
        assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()
        assert (got.argmax(1) == expected.argmax(1)).all()


def test_its_bundle_loses_little_on_a_device(report: dict[str, object]):
    """Scores of the graph in 8 bits are told beside float32's, a point away at most."""
    from composer.device.bundle import Bundle
    from composer.engine.storage.refs import resolve
    from composer.engine.storage.store import Store

    store = Store(report["store"])
    bundle = Bundle.open(store.find(resolve(store, "phone", kinds=("bundle",)).key) / "bundle")
    values = {(s.language, s.score, s.precision): s.value for s in bundle.manifest.scores}
    small = {key: value for key, value in values.items() if key[2] == "weight-int8"}
    assert len(small) == len(values) / 2 >= 4
    for (language, score, _), value in small.items():
        assert abs(value - values[language, score, "float32"]) <= 0.01, (language, score)
    assert bundle.self_test() <= bundle.manifest.self_test.graph_tolerance
