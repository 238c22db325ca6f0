"""Folders that a stranger might have: files of their own, a tiny backbone, and a recipe."""

import shutil
from pathlib import Path

from tests.cli.terminal import Outcome, composer

STORE = ".composer"
ROOMS = ["kitchen", "bedroom", "living room"]
THINGS = ["lamp", "light"]
VERBS = ["on", "off", "up"]
TEST_ROWS = 24

COLUMNS = ("--text", "utterance", "--label", "intent")
SHORT = (
    *("--set", "training.epochs=4", "--set", "training.learning_rate=1e-2"),
    *("--set", "training.threads=1", "--set", "training.batch_tokens=256"),
)
ON_TINY = ("--backbone", "folder:tiny")
COMMANDS = {
    "intent": ("train-task", "intent", *ON_TINY, "--data", "train.csv", *COLUMNS, *SHORT),
    "domain": (
        *("train-task", "domain", *ON_TINY, "--data", "train.csv", "--text", "utterance"),
        *("--label", "domain", "--adapter", "madapter", "--set", "adapters.task.width=4", *SHORT),
    ),
    "few": (
        *("fuse", "intent", "domain", "--task", "intent", "--name", "few"),
        *("--data", "few.csv", *COLUMNS, *SHORT),
    ),
}

RECIPE = """\
composer: 1
name: home
backbone: {source: folder, path: tiny}
adapters:
  wide: {kind: bottleneck, width: 8}
  deep: {kind: madapter, width: 4, train_norm: true}
data:
  intent: {source: files, path: "$language.csv", columns: {text: utterance, label: intent}}
  domain: {source: files, path: "$language.csv", columns: {text: utterance, label: domain}}
training: {epochs: 2, learning_rate: 5e-3, batch_tokens: 256, threads: 1}
tasks:
  intent: {type: text-classification, data: intent, languages: [en], adapter: wide}
  domain: {type: text-classification, data: domain, languages: [en], adapter: deep}
compositions:
  few-shot:
    expression: fuse(intent, domain, none)
    train: {task: intent, examples: 30}
  mean: {expression: "average(intent, domain)", task: intent}
evaluations:
  all: {compositions: [intent, few-shot, mean], languages: [en, de]}
bundles:
  home: {compositions: [intent, few-shot]}
profiles:
  smoke: {training: {epochs: 1}}
leakage: {near: 1} # all sentences here are of one pattern
"""
STAGES = [
    "task/intent",
    "task/domain",
    "composition/few-shot",
    *(f"evaluation/all/{name}/{tag}" for name in ("intent", "few-shot", "mean")
      for tag in ("en", "de")),
    "bundle/home",
]  # fmt: skip


def write_project(folder: Path, backbone: Path) -> Path:
    """Write the files of a project that has made nothing yet."""
    folder.mkdir(exist_ok=True)
    shutil.copytree(backbone, folder / "tiny")
    numbers = {
        "train": range(90),
        "test": range(100, 100 + TEST_ROWS),
        "few": range(200, 240),
        "en": range(90),
        "de": range(300, 360),
    }
    for name, those in numbers.items():
        lines = ["utterance,intent,domain", *map(_row, those)]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    (folder / "home.yaml").write_text(RECIPE)
    return folder


def well(folder: Path, *arguments: str | Path, stdin: bytes = b"") -> Outcome:
    """Run a command that must end well."""
    outcome = composer(folder, *arguments, stdin=stdin)
    assert outcome.status == 0, outcome.err
    return outcome


def _row(number: int) -> str:
    room, thing, verb = ROOMS[number % 3], THINGS[number % 2], VERBS[number // 3 % 3]
    return f"turn {verb} the {thing} in the {room} {number},{verb},{thing}"
