"""`composer import` and `composer export --format`, with the real libraries on the other side."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from adapters import BertAdapterModel
from adapters.composition import Fuse
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import BertModel

from composer import Bundle, BundleClassifier
from composer.model.backbone import open_backbone
from tests.cli.projects import SHORT, well, write_project
from tests.cli.terminal import composer
from tests.model.conftest import batch_of
from tests.model.interchange.library import far_apart, randomise, theirs_of

LABELS = {0: "off", 1: "on", 2: "up"}
ON_TINY = ("--backbone", "folder:tiny")
TEST = ("--data", "test.csv", "--text", "utterance", "--label", "intent")
TEXTS = ["turn on the lamp in the kitchen", "set a timer"]


def flex(folder: Path) -> Any:
    return BertAdapterModel.from_pretrained(folder).eval()


def write_theirs(folder: Path, tiny: Path) -> Any:
    """Save adapters, heads and a fusion with `adapters`, and a LoRA with PEFT."""
    model = flex(tiny)
    for name, config in (("a", "seq_bn"), ("b", "seq_bn"), ("de", "seq_bn_inv")):
        model.add_adapter(name, config=config)
        randomise(model, ord(name[0]), only=f".{name}.")
    model.add_adapter_fusion(Fuse("a", "b"))
    randomise(model, 3, only="adapter_fusion_layer")
    for name in ("a", "few"):
        model.add_classification_head(name, num_labels=3, layers=1, id2label=LABELS)
    model.add_classification_head("b", num_labels=3)
    for name in ("a", "b", "de"):
        model.save_adapter(folder / name, name, use_safetensors=True)
    model.save_adapter_setup(
        folder / "setup", Fuse("a", "b"), head_setup="few", use_safetensors=True
    )
    lora = BertModel.from_pretrained(tiny, add_pooling_layer=False)
    tuned = get_peft_model(lora, LoraConfig(r=2, target_modules=["query", "dense"]))
    randomise(tuned, 9, only="lora_")
    tuned.save_pretrained(folder / "lora")
    return model


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    folder = tmp_path_factory.mktemp("theirs")
    write_theirs(folder, tiny_folder)
    return folder


@pytest.fixture
def project(tmp_path: Path, tiny_folder: Path, theirs: Path) -> Path:
    folder = write_project(tmp_path / "project", tiny_folder)
    shutil.copytree(theirs, folder / "hub")
    return folder


def logits(model: Any, batch: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(**batch).logits


def test_a_composition_comes_is_used_and_goes_with_the_same_outputs(
    project: Path, tiny_folder: Path
):
    said = well(project, "import", "adapterhub", "hub/setup", *ON_TINY, "--name", "few").out
    assert "task/a: imported as" in said
    assert "composition/few: imported as" in said
    assert "text-classification, off, on, up" in said
    scores = json.loads(well(project, "evaluate", "few", *TEST, "--json").out)
    assert scores[0]["n"] == 24
    assert len(scores[0]["shares"]) == 1

    well(project, "export", "few", "--format", "adapterhub", "--to", "out")
    batch = batch_of(open_backbone(tiny_folder, precision="float32"), TEXTS)
    answers = []
    for folder in ("hub/setup", "out"):
        model = flex(tiny_folder)
        model.load_adapter_setup(str(project / folder), set_active=True, use_safetensors=True)
        answers.append(logits(model, batch))
    torch.testing.assert_close(*answers, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(answers[0][0], answers[0][1])


def test_what_is_lacking_of_an_import_is_told_before_anything_is_done(project: Path):
    well(project, "import", "adapterhub", "hub/a", *ON_TINY, "--name", "sst")
    well(project, "import", "adapterhub", "hub/b", *ON_TINY, "--without-head")
    for command, message in (
        (("evaluate", "sst"), "what it learnt from is not known; give --data"),
        (("evaluate", "b", *TEST), "b was imported without a head"),
        (("export", "b", "--to", "x"), "b was imported without a head"),
        (("import", "adapterhub", "hub/setup/a,b", *ON_TINY, "--name", "x"), "called 'a'"),
        (("import", "adapterhub", "hub/a"), "--backbone: give the backbone"),
        (("import", "adapterhub", "hub/lora", *ON_TINY), "composer import peft"),
        (("import", "adapterhub", "nowhere", *ON_TINY), "nowhere/adapter_config.json"),
        (("import", "adapterhub", "hub/a", *ON_TINY, "--name", "a b"), "'a b' can be no name"),
        (("import", "adapterhub", "hub/a", *ON_TINY, "--member", "a=b"), "holds no fusion"),
        (("export", "sst", "--format", "peft", "--to", "x"), "to PEFT composer writes lora"),
        (("export", "sst", "--format", "peft", "--to", "hub"), "hub is there already"),
    ):
        outcome = composer(project, *command)
        assert outcome.status == 2, command
        assert message in outcome.err
    assert not (project / "x").exists()


def theirs_on(folder: Path, tiny: Path) -> torch.Tensor:
    model = flex(tiny)
    model.load_adapter(str(folder), set_active=True, use_safetensors=True)
    return logits(model, batch_of(open_backbone(tiny, precision="float32"), TEXTS))


def test_a_head_of_two_layers_is_used_and_goes_with_the_same_outputs(
    project: Path, tiny_folder: Path
):
    own = ("import", "adapterhub", "hub/b", *ON_TINY, "--name", "nli", "--labels", "off,on,up")
    said = well(project, *own).out
    assert "text-classification, off, on, up, two layers with tanh between" in said
    assert "two layers" in well(project, "show", "nli").out
    shown = json.loads(well(project, "show", "nli", "--json").out)
    dense, out, bottlenecks = 33 * 32, 33 * 3, 2 * (2 * 2 * 32 + 2 + 32)
    assert shown["training"]["trainable_parameters"] == dense + out + bottlenecks
    (scores,) = json.loads(well(project, "evaluate", "nli", *TEST, "--json").out)
    assert scores["n"] == 24

    card = well(project, "push", "nli", "me/nli", "--dry-run", "--json").json["card"]
    assert "| head | two layers, tanh between |" in card

    well(project, "export", "nli", "--format", "adapterhub", "--to", "out")
    expected = theirs_on(project / "hub/b", tiny_folder)
    torch.testing.assert_close(theirs_on(project / "out", tiny_folder), expected)
    assert not torch.allclose(expected[0], expected[1])


def test_a_head_of_two_layers_answers_out_of_a_bundle(project: Path, tiny_folder: Path):
    labels = ("--labels", "off,on,up")
    well(project, "import", "adapterhub", "hub/b", *ON_TINY, "--name", "nli", *labels)
    well(project, "import", "adapterhub", "hub/a", *ON_TINY, "--name", "sst")
    for graph in (("--precision", "float32"), ()):
        home = project / f"home-{len(graph)}.zip"
        well(project, "export", "nli", "sst", "--to", home.name, *graph)
        well(project, "bundle", "verify", home.name)
        on = None if graph else f"folder:{project / 'tiny'}"
        bundle = Bundle.open(home, backbone=on)
        for name, folder in (("nli", "hub/b"), ("sst", "hub/a")):
            expected = torch.softmax(theirs_on(project / folder, tiny_folder), -1).numpy()
            got = bundle.probabilities(TEXTS, composition=name)
            assert np.abs(got - expected).max() < 1e-5
            sure = BundleClassifier(home, name, backbone=on).predict_proba(TEXTS)
            assert (sure == got).all()  # classes are sorted as the labels are


def test_a_head_on_a_pooler_is_named_with_what_to_do(project: Path):
    file = project / "hub/b/head_config.json"
    about = json.loads(file.read_text())
    about["config"]["use_pooler"] = True
    file.write_text(json.dumps(about))
    outcome = composer(project, "import", "adapterhub", "hub/b", *ON_TINY)
    assert outcome.status == 2
    assert "head_config.json: use_pooler: true; composer's heads read the first" in outcome.err
    assert "--without-head" in outcome.err


def test_an_import_is_fused_with_what_was_trained_here(project: Path):
    well(project, "import", "adapterhub", "hub/a", *ON_TINY, "--name", "sst")
    well(project, "import", "adapterhub", "hub/b", *ON_TINY, "--without-head")
    data = ("--data", "few.csv", "--text", "utterance", "--label", "intent")
    fused = ("fuse", "sst", "b", "--task", "sst", "--name", "both", *data, *SHORT)
    well(project, *fused, "--set", "training.epochs=1")
    shown = well(project, "show", "both").out
    assert "command-line/task/sst" in shown


@pytest.mark.parametrize("folder", ["a", "b"])
def test_a_recipe_adopts_what_was_imported(project: Path, folder: str):
    own = ("import", "adapterhub", f"hub/{folder}", *ON_TINY, "--labels", "off,on,up", "--json")
    (one,) = json.loads(well(project, *own).out)
    assert one["head"].get("non_linearity") == {"a": None, "b": "tanh"}[folder]
    shape = json.dumps({**one["shape"], "reduction_factor": 16.0})
    (project / "own.yaml").write_text(
        "composer: 1\nname: own\nbackbone: {source: folder, path: tiny}\n"
        f"adapters: {{hub: {shape}}}\n"
        "data: {own: {source: files, path: train.csv, "
        "columns: {text: utterance, label: intent}}}\n"
        "tasks: {intent: {type: text-classification, data: own, languages: [en], "
        "adapter: hub, labels: [off, on, up], pooling: first}}\n".replace("off, on", '"off", "on"')
    )
    well(project, "adopt", "own.yaml", "task/intent", one["folder"])
    assert "done" in well(project, "plan", "own.yaml").out
    (planned,) = json.loads(well(project, "plan", "own.yaml", "--json").out)["stages"]
    head = 33 * (3 if folder == "a" else 3 + 32)
    assert planned["trained"]["head"] == head
    assert planned["trainable_parameters"] == planned["trained"]["adapter"] + head


def test_a_language_adapter_and_the_same_import_twice_are_one_result(project: Path):
    first = json.loads(well(project, "import", "adapterhub", "hub/de", *ON_TINY, "--json").out)
    again = json.loads(well(project, "import", "adapterhub", "hub/de", *ON_TINY, "--json").out)
    assert first == again
    assert first[0]["stage"] == "language/de"
    assert first[0]["shape"]["invertible"]


def test_a_lora_comes_and_goes_with_the_same_outputs(project: Path, tiny_folder: Path):
    well(project, "import", "peft", "hub/lora", *ON_TINY, "--name", "polite")
    well(project, "export", "polite", "--format", "peft", "--to", "out")
    batch = batch_of(open_backbone(tiny_folder, precision="float32"), TEXTS)
    found = []
    for folder in ("hub/lora", "out"):
        bare = BertModel.from_pretrained(tiny_folder, add_pooling_layer=False)
        found.append(theirs_of(PeftModel.from_pretrained(bare, project / folder).eval(), batch))
    assert far_apart(*found, batch) < 1e-5
    outcome = composer(project, "export", "polite", "--format", "adapterhub", "--to", "hub-out")
    assert outcome.status == 2
    assert "LoRA of `adapters` has no such target" in outcome.err


def test_what_the_library_has_not_is_named_all_at_once(trained_project: Path, tmp_path: Path):
    folder = shutil.copytree(trained_project, tmp_path / "trained")
    outcome = composer(folder, "export", "few", "--format", "adapterhub", "--to", "out")
    assert outcome.status == 2
    assert "domain: adapter: kind: madapter; `adapters` has bottleneck" in outcome.err
    assert "head: pooling: mean; heads of `adapters` read the first token" in outcome.err
    assert not (folder / "out").exists()
    assert not list(folder.glob(".out*"))
    alone = ("export", "intent", "--format", "adapterhub", "--to", "out", "--without-head")
    said = well(folder, *alone).out.splitlines()
    assert said[:2] == ["adapter.safetensors", "adapter_config.json"]
