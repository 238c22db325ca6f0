"""`composer report`: one file of a run."""

from pathlib import Path

from tests.cli.projects import STORE, well
from tests.cli.terminal import composer, published


def test_a_run_becomes_one_file_and_nothing_else(ran: Path):
    before = published(ran / STORE)
    outcome = well(ran, "report", "home.yaml", "--output", "out.html")
    size = (ran / "out.html").stat().st_size
    assert outcome.out == f"out.html: {size / 1000:.1f} kB, 10 stages\n"
    assert outcome.err == ""
    assert published(ran / STORE) == before
    assert (ran / "out.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_what_is_not_run_yet_is_counted_and_the_command_has_its_options(fresh: Path):
    outcome = well(fresh, "report", "home.yaml", "--profile", "smoke", "--set", "training.seed=3",
                   "--store", "else where")  # fmt: skip
    assert outcome.out.endswith("10 stages, 10 not done\n")
    page = (fresh / "report.html").read_text(encoding="utf-8")
    line = (
        "composer run home.yaml --profile smoke --set training.seed=3 --store &#39;else where&#39;"
    )
    assert line in page
    assert not (fresh / "else where").exists()


def test_a_file_that_is_there_is_replaced(fresh: Path):
    (fresh / "report.html").write_text("old")
    well(fresh, "report", "home.yaml")
    assert "old" not in (fresh / "report.html").read_text(encoding="utf-8")[:100]


def test_faults_are_told_and_nothing_is_written(fresh: Path):
    (fresh / "folder").mkdir()
    for words, said in (
        (("home.yml",), "home.yml: cannot be read"),
        (("home.yaml", "--output", "nowhere/report.html"), "nowhere is not a folder; make it"),
        (("home.yaml", "--output", "folder"), "is a directory"),
        (("home.yaml", "--profile", "smok"), "smoke"),
    ):
        outcome = composer(fresh, "report", *words)
        assert outcome.status == 2, words
        assert said in outcome.err
    assert not (fresh / "report.html").exists()
