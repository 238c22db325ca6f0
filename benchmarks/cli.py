"""How long the commands take that must feel immediate, over what composer promises of them.

    python benchmarks/cli.py [--json] [--runs 5]

Each command is a process of its own. `check` and `plan` read a recipe of some three hundred
stages; the run with nothing to do is of a recipe whose stages are all done, on a tiny backbone.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import RUNS, Report, Side, in_turn, middle, options, row, show

LANGUAGES = 60
TASKS = ["intent", "domain", "response", "slots"]
PROMISED = {"--help": 0.2, "check": 0.5, "plan": 1.0, "run, nothing to do": 3.0}
COMPOSER = Path(sys.executable).with_name("composer")

DONE = """composer: 1
name: done
backbone: {source: folder, path: backbone}
adapters: {task: {kind: bottleneck, placement: pfeiffer, width: 4}}
data:
  intent: {source: sample, name: assistant/intent}
  domain: {source: sample, name: assistant/domain}
training: {epochs: 1, learning_rate: 1e-3, batch_tokens: 4096}
tasks:
  intent: {type: text-classification, data: intent, languages: [en], examples: 64, adapter: task}
  domain: {type: text-classification, data: domain, languages: [en], examples: 64, adapter: task}
compositions:
  both: {expression: "fuse(intent, domain)", train: {task: intent, examples: 32}}
evaluations:
  all: {compositions: [intent, domain, both], languages: [en]}
"""


def main() -> None:
    """Time each command and print a table, or JSON."""
    given = options(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        report = measure(Path(folder), given.runs)
    show(report, as_json=given.json)


def measure(folder: Path, runs: int = RUNS) -> Report:
    """Time the commands in turn; the headline is the slowest, as a share of its promise."""
    large, done = folder / "large.yaml", folder / "done.yaml"
    large.write_text(large_recipe(LANGUAGES, len(TASKS)))
    write_done(done)
    commands = {
        "--help": ["--help"],
        "check": ["check", str(large)],
        "plan": ["plan", str(large)],
        "run, nothing to do": ["run", str(done)],
    }
    seconds = in_turn({name: command(words) for name, words in commands.items()}, runs=runs)
    rows = [
        row(
            f"composer {name}",
            [one / PROMISED[name] for one in taken],
            over="the promise",
            most=1.0,
            detail=f"{middle(taken):.3f} s, promised {PROMISED[name]} s",
        )
        for name, taken in seconds.items()
    ]
    question = __doc__.splitlines()[0]
    return Report(question=question, rows=rows, ratio=max(one.ratio for one in rows))


def command(words: list[str]) -> Side:
    """Make a side that runs a command as a process of its own."""

    def side() -> float:
        start = time.perf_counter()
        env = os.environ | {"NO_COLOR": "1"}
        env.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed is compiled; so is this
        where = Path(words[1]).parent if len(words) > 1 else None
        run = subprocess.run([str(COMPOSER), *words], capture_output=True, cwd=where, env=env)
        if run.returncode:
            raise SystemExit(run.stderr.decode())
        return time.perf_counter() - start

    return side


def write_done(recipe: Path) -> None:
    """Write a small recipe with its backbone, and run it once."""
    from setting import write_bert

    write_bert(recipe.parent / "backbone", layers=2, size=32)
    recipe.write_text(DONE)
    command(["run", str(recipe)])()


def large_recipe(languages: int, tasks: int) -> str:
    """Write a recipe with a stage for every language, task, and pair of the two."""
    from composer.data.samples.assistant import languages as known

    tags = ", ".join(known()[:languages])
    names = {f"task{number}": TASKS[number % len(TASKS)] for number in range(tasks)}
    blocks = "\n".join(
        f"  {name}: {{type: {kind(data)}, data: {data}, languages: [{tags.split(',')[0]}], "
        "adapter: task, over: $language}"
        for name, data in names.items()
    )
    data = "\n".join(
        f"  {name}: {{source: sample, name: assistant/{name}}}" for name in ["text", *TASKS]
    )
    return f"""composer: 1
name: large
backbone: {{source: sample, name: multilingual-e5-small}}
adapters:
  task: {{kind: madapter, width: 32}}
  language: {{kind: bottleneck, reduction_factor: 2}}
data:
{data}
languages: {{members: [{tags}], data: text, adapter: language}}
tasks:
{blocks}
evaluations:
  all: {{compositions: [{", ".join(names)}], languages: [{tags}]}}
"""


def kind(task: str) -> str:
    """Say the type of a sample task."""
    return "token-classification" if task == "slots" else "text-classification"


if __name__ == "__main__":
    main()
