"""How long the commands take that must feel immediate: --help, check, plan of a large recipe.

    python benchmarks/cli.py [--json]

Each command is a process of its own, started five times after one that is not counted; the
median of wall-clock seconds is printed beside what composer promises.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 5
LANGUAGES = 60
TASKS = ["intent", "domain", "response", "slots"]


def main() -> None:
    """Time each command and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "large.yaml"
        recipe.write_text(large_recipe())
        commands = {
            "--help": (["--help"], 0.2),
            "check": (["check", str(recipe)], 0.5),
            f"plan ({LANGUAGES} languages, {len(TASKS)} tasks)": (["plan", str(recipe)], 1.0),
        }
        rows = [
            {"command": name, "seconds": median_seconds(arguments), "promised": promised}
            for name, (arguments, promised) in commands.items()
        ]
    worst = max(row["seconds"] / row["promised"] for row in rows)
    if as_json:
        print(json.dumps({"rows": rows, "ratio": round(worst, 3)}))
        return
    for row in rows:
        print(f"{row['command']:36} {row['seconds']:.3f} s   promised {row['promised']} s")
    print(f"slowest, as a share of what is promised: {worst:.2f}")


def median_seconds(arguments: list[str]) -> float:
    """Time a command as a process of its own."""
    seconds = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        command = [str(Path(sys.executable).with_name("composer")), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    return round(statistics.median(seconds[1:]), 3)


def large_recipe() -> str:
    """Write a recipe with a stage for every language, task, and pair of the two."""
    from composer.data.samples.assistant import languages

    tags = ", ".join(languages()[:LANGUAGES])
    tasks = "\n".join(
        f"  {name}: {{type: {kind(name)}, data: {name}, languages: [en], adapter: task, "
        "over: $language}"
        for name in TASKS
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
{tasks}
evaluations:
  all: {{compositions: [{", ".join(TASKS)}], languages: [{tags}]}}
"""


def kind(task: str) -> str:
    """Say the type of a sample task."""
    return "token-classification" if task == "slots" else "text-classification"


if __name__ == "__main__":
    main()
