"""A device: a new environment with the base install only, where bundles are used without torch."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from composer.device.bundle import Bundle
from tests.device.homes import TASKS
from tests.tiny import SENTENCES

ROOT = Path(__file__).parents[2]
TREE = ("composer", "pyproject.toml", "README.md", "LICENSE", "constraints.txt")
MOST = 300 * 2**20  # bytes of the whole environment; docs/device.md says how many it takes
HEAVY = ("torch", "transformers", "adapters", "datasets", "onnx", "sklearn", "scipy", "pandas")
SCRIPT = """
import importlib.util, json, sys
from composer.device.bundle import Bundle

bundle = Bundle.open(sys.argv[1], threads=1)
off = bundle.self_test()
found = {
    name: [one.value for one in bundle.use(name).predict(json.loads(sys.argv[2]))]
    for name in bundle.compositions
    if name != "spans"
}
heavy = [name for name in json.loads(sys.argv[3]) if importlib.util.find_spec(name)]
print(json.dumps([off, found, heavy]))
"""

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment made from a copy of this tree, so that nothing is written into it."""
    folder = tmp_path_factory.mktemp("device")
    for name in TREE:
        source, target = ROOT / name, folder / "tree" / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(exist_ok=True)
            shutil.copy(source, target)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "env")], check=True)
    install = [folder / "env/bin/pip", "install", "-q", "-c", "tree/constraints.txt", "./tree"]
    subprocess.run(list(map(str, install)), cwd=folder, check=True, timeout=600)
    return folder / "env"


def run(device: Path, *words: object) -> str:
    """Run a program of the environment, far from this tree and without a network's names."""
    command = [str(device / "bin" / str(words[0])), *map(str, words[1:])]
    env = {"PATH": os.defpath, "HOME": str(device), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        command, cwd=device.parent, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_bundle_is_verified_and_used_without_torch(device: Path, home_zip: Path, opened: Bundle):
    texts = json.dumps(SENTENCES)
    said = run(device, "python", "-c", SCRIPT, home_zip, texts, json.dumps(HEAVY))
    off, found, heavy = json.loads(said)
    assert heavy == []
    assert off < 1e-6
    for name in set(TASKS) - {"spans"}:
        expected = [one.value for one in opened.use(name).predict(SENTENCES)]
        assert found[name] == (pytest.approx(expected, rel=1e-5) if name == "gated" else expected)


def test_the_command_line_verifies_and_predicts(device: Path, home_zip: Path, opened: Bundle):
    assert "pass" in run(device, "composer", "bundle", "verify", home_zip)
    words = ("predict", home_zip, SENTENCES[0], "--composition", "fused", "--json")
    (found,) = json.loads(run(device, "composer", *words))
    (expected,) = opened.use("fused").predict(SENTENCES[:1])
    assert found["prediction"] == expected.value


def test_the_environment_is_as_small_as_the_documentation_says(device: Path):
    files = [path for path in device.rglob("*") if path.is_file() and not path.is_symlink()]
    assert sum(path.stat().st_size for path in files) < MOST
