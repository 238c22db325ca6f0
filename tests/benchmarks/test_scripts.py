"""What the benchmarks rest on: their arithmetic, and a place in the page for each of them."""

import doctest
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
HERE = ROOT / "benchmarks"
LIGHT = ("measure", "operations", "report")  # import no torch


@pytest.fixture(scope="module", params=LIGHT)
def module(request: pytest.FixtureRequest) -> ModuleType:
    return loaded(request.param)


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found  # dataclasses look there
    spec.loader.exec_module(found)
    return found


def test_examples_in_docstrings_hold(module: ModuleType):
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


def test_every_benchmark_has_its_place_in_the_page():
    report = loaded("report")
    page = report.PAGE.read_text(encoding="utf-8")
    for name in (*report.SCRIPTS, *report.LONGER):
        assert (HERE / f"{name}.py").exists()
        assert "\n\nnew\n\n" in report.with_part(page, name, "new")


def test_a_page_without_a_place_is_refused():
    with pytest.raises(SystemExit, match="must hold '<!-- measured: other -->'"):
        loaded("report").with_part("nothing", "other", "new")


def test_a_ratio_is_the_median_of_the_turns_not_of_the_sides():
    measure = loaded("measure")
    seconds = measure.in_turn(
        {"one": iter([9.0, 1.0, 8.0, 3.0]).__next__, "other": iter([9.0, 1.0, 2.0, 1.0]).__next__},
        runs=3,
    )
    assert seconds == {"one": [1.0, 8.0, 3.0], "other": [1.0, 2.0, 1.0]}
    found = measure.row("work", measure.ratios(seconds["one"], seconds["other"]), over="other")
    assert (found.ratio, found.lowest, found.highest) == (3.0, 1.0, 4.0)


@pytest.mark.parametrize(
    ("promise", "met"), [({"least": 3.0}, True), ({"least": 3.1}, False), ({"most": 2.9}, False)]
)
def test_a_promise_is_held_to_the_median(promise: dict[str, float], met: bool):
    assert loaded("measure").row("work", [1.0, 3.0, 4.0], over="other", **promise).met is met


def test_a_curve_that_falls_by_noise_keeps_no_promise():
    assert loaded("measure").row("work", [-0.5], over="other", most=1.25).met is False


@pytest.mark.slow
@pytest.mark.parametrize("script", ["train", "fusion", "inference", "memory", "cli", "growth"])
def test_every_script_says_what_it_does(script: str):
    command = [sys.executable, str(HERE / f"{script}.py"), "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "--json" in told.stdout
