from pathlib import Path

import pytest

import composer
from composer.errors import RecipeError
from tests.api.conftest import Ran

LAMP = "turn on the lamp in the kitchen"


def test_transfer_shows_the_scores_of_all_languages(ran: Ran):
    found = composer.transfer(ran.recipe, resamples=100, store=ran.folder / "store")
    assert "few-shot" in repr(found)
    assert found.values[0]["evaluation"] == "all"
    with pytest.raises(RecipeError, match="evaluations: one text"):
        composer.transfer(ran.recipe, evaluations="all", store=ran.folder / "store")


def test_comparisons_are_shown(ran: Ran):
    assert composer.compare(ran.recipe, store=ran.folder / "store").values == ()


def test_leakage_counts_what_is_in_both(ran: Ran):
    found = composer.leakage(ran.recipe, store=ran.folder / "store")
    assert {one["evaluation"] for one in found.values} == {"all"}
    assert repr(found).splitlines()[0].startswith("evaluation")


def test_data_is_looked_through(ran: Ran):
    found = composer.debug_data(ran.recipe, task="domain")
    (one,) = found.values
    assert one["labels"].keys() == {"lamp", "light"}
    assert "lamp" in repr(found)


def test_findings_are_escaped_in_a_notebook():
    found = composer.Findings([], ("<script>alert(1)</script>",))
    assert found._repr_html_() == "<pre>&lt;script&gt;alert(1)&lt;/script&gt;</pre>"


def test_an_answer_is_explained(project: Path):
    found = composer.explain("few", [LAMP])
    (one,) = found.values
    (said,) = composer.predict("few", [LAMP])
    assert one["prediction"] == said.value
    assert repr(found).splitlines()[0] == LAMP
    assert "fuse(intent, domain)" in repr(found)


def test_a_report_is_written(ran: Ran, tmp_path: Path):
    file = composer.write_report(ran.recipe, tmp_path / "run.html", store=ran.folder / "store")
    text = file.read_text(encoding="utf-8")
    assert "few-shot" in text
    composer.write_report(ran.recipe, file, store=tmp_path / "empty")
    assert "--set training.epochs=1" in file.read_text(encoding="utf-8")
    with pytest.raises(RecipeError, match="^to: .* is not a folder"):
        composer.write_report(ran.recipe, tmp_path / "nowhere" / "run.html")


def test_a_bundle_is_pulled_by_path(home: Path, tmp_path: Path):
    place = composer.pull(home, to=tmp_path / "mine.zip")
    assert composer.Bundle.open(place).digest == composer.Bundle.open(home).digest
