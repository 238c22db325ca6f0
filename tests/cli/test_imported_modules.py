"""How much is imported before a command answers: what makes it slow, without a clock."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPE = "recipes/assistant/quickstart.yaml"
# Command -> most modules, a tenth above what it was when this was written.
MOST = {
    "--help": 145,
    "samples list": 245,
    f"check {RECIPE}": 415,
    f"plan {RECIPE}": 450,
    f"status {RECIPE}": 450,
}
NEVER = {"torch", "transformers", "adapters", "datasets", "accelerate", "sklearn", "scipy", "onnx"}
CODE = """
import json, sys
from composer.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as done:
    assert not done.code
print(json.dumps(sorted(sys.modules)))
"""


@pytest.mark.parametrize("command", MOST)
def test_a_light_command_imports_little(command: str, tmp_path: Path):
    words = [str(ROOT / word) if word == RECIPE else word for word in command.split()]
    done = subprocess.run(
        [sys.executable, "-c", CODE, *words],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert len(loaded) <= MOST[command]
    assert not NEVER & {name.split(".")[0] for name in loaded}
