"""What the engine itself takes: 1,000 stages that do nothing, planned, run, looked at, and changed.

    python benchmarks/overhead.py            one stage after another, in this process
    python benchmarks/overhead.py --jobs 2   by two workers

Demanded are at most 2 s for a plan and 50 ms a stage. The disk is waited for (fsync), as in a run.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from composer.engine.planning.plan import make_plan
from composer.engine.planning.wanted import wanted_of
from composer.engine.running.events import RunOptions
from composer.engine.running.run import run_stages
from composer.engine.running.runners import Runner
from composer.engine.storage.store import Store
from composer.recipe.expansion.stages import Stage
from composer.recipe.reading.reader import read_recipe
from composer.train.context import StageContext
from tests.engine.fakes import RECIPE, write_backbone
from tests.engine.workers import many


class Nothing(dict[type, Runner]):
    """Runners that write a file of a few bytes."""

    def __missing__(self, kind: type) -> Runner:
        """Give the same one for every kind."""
        return write_key


def write_key(stage: Stage, /, *, context: StageContext) -> None:
    """Write what is different for each stage."""
    (context.out / "result.json").write_text(context.key)


def write_project(folder: Path) -> Path:
    """Write a recipe and what it names."""
    write_backbone(folder / "backbone")
    (folder / "text").mkdir()
    for language in ("en", "de"):
        (folder / "text" / f"{language}.txt").write_text(f"a line of {language}\n")
    for task in ("intent", "domain"):
        (folder / f"{task}.csv").write_text(f"text,label\nlights on,{task}\nstop,other\n")
    (folder / "home.yaml").write_text(RECIPE)
    return folder


def main() -> None:
    """Measure, and print a line a measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stages", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = write_project(Path(temporary) / "project")
        wanted = many(wanted_of(read_recipe(folder / "home.yaml")), given.stages, rows=50)
        store = Store(folder / ".composer")
        options = RunOptions(
            jobs=given.jobs,
            runners=Nothing(),
            lock_file=folder / "home.lock",
        )
        print(f"{given.stages} stages, {given.jobs} at a time")
        for name in ("first", "again"):
            start = time.perf_counter()
            plan = make_plan(wanted, store)
            planned = time.perf_counter()
            run_stages(plan, store, options)
            run = time.perf_counter() - planned
            print(f"{name}: plan {planned - start:.2f} s, run {run:.2f} s, ", end="")
            print(f"{1000 * run / given.stages:.1f} ms a stage")
        slower = RECIPE.replace("learning_rate: 1.0e-3", "learning_rate: 5.0e-4")
        (folder / "home.yaml").write_text(slower)
        wanted = many(wanted_of(read_recipe(folder / "home.yaml")), given.stages, rows=50)
        start = time.perf_counter()
        plan = make_plan(wanted, store)
        planned = time.perf_counter() - start
        stale = sum(one.state == "stale" for one in plan.stages)
        print(f"the learning rate changed: plan {planned:.2f} s, {stale} stages stale")


if __name__ == "__main__":
    main()
