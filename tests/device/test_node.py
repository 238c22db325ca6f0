"""The same bundle run by ONNX Runtime in JavaScript: the worked example of the documentation."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from composer.bundle.reader import open_bundle
from composer.data.encode import Encoded
from composer.data.examples import Example
from composer.device.bundle import Bundle
from composer.device.unpacking import unpack_bundle
from tests.device.homes import TASKS
from tests.tiny import SENTENCES

EXAMPLE = Path(__file__).parents[2] / "examples" / "node"
TOLERANCE = 1e-5  # of the largest logit

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(shutil.which("npm") is None, reason="needs node and npm"),
]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with its one dependency; no script of the package is run."""
    folder = Path(shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("node") / "example"))
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=300)
    return folder


@pytest.fixture(scope="module")
def unpacked(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("unpacked") / "home"
    unpack_bundle(open_bundle(home), target)
    return target


def in_javascript(example: Path, folder: Path, name: str, rows: list[Encoded]) -> list[np.ndarray]:
    texts = json.dumps([{"ids": row.ids, "types": row.type_ids} for row in rows])
    command = ["node", "predict.mjs", str(folder), name, texts]
    run = subprocess.run(
        command, cwd=example, capture_output=True, text=True, timeout=120, env=dict(os.environ)
    )
    assert run.returncode == 0, run.stderr
    return [np.array(one) for one in json.loads(run.stdout)]


@pytest.mark.parametrize("name", TASKS)
def test_javascript_gives_the_logits_that_python_gives(
    installed: Path, unpacked: Path, opened: Bundle, name: str
):
    examples = [Example(text=text) for text in SENTENCES]
    examples += [Example(text=SENTENCES[0], pair=SENTENCES[1])]
    rows = opened.encode(examples, truncate=False, offsets=False)
    # One text at a time, as the example does.
    expected = [opened.use(name).logits([row])[0] for row in rows]
    expected = [one.reshape(-1, one.shape[-1]) for one in expected]
    got = in_javascript(installed, unpacked, name, rows)
    largest = max(np.abs(one).max() for one in expected)
    for one, other in zip(got, expected, strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= TOLERANCE * largest
