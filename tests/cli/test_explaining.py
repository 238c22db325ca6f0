"""`composer explain`: the answer of `predict`, and what it came from."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.cli.projects import ON_TINY, well
from tests.cli.terminal import Outcome, composer

TEXTS = ("turn on the lamp", "turn off the light in the kitchen")


@pytest.fixture(scope="module")
def boxed(trained_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a bundle that holds a graph, and one of parts; not to be changed."""
    folder = shutil.copytree(trained_project, tmp_path_factory.mktemp("boxed") / "project")
    well(folder, "export", "few", "intent", "--to", "box")
    well(folder, "export", "few", "--precision", "int8", "--to", "graph.zip")
    return folder


def refused(outcome: Outcome, fault: str) -> None:
    assert outcome.status == 2
    assert fault in outcome.err
    assert outcome.out == ""


def test_the_answer_is_that_of_predict(trained_project: Path):
    predicted = well(trained_project, "predict", "few", *TEXTS, "--json").json
    explained = well(trained_project, "explain", "few", *TEXTS, "--json").json
    for one, other in zip(explained, predicted, strict=True):
        assert one["text"] == other["text"]
        assert one["prediction"] == other["prediction"]
        assert one["confidence"] == pytest.approx(other["confidence"], abs=1e-5)
        assert max(one["probabilities"], key=one["probabilities"].get) == other["prediction"]
        assert one["expression"] == "fuse(intent, domain)"


def test_shares_have_a_row_a_token_and_their_mean_is_that_of_all(trained_project: Path):
    (one, _) = well(trained_project, "explain", "few", *TEXTS, "--json").json
    (mixer,) = one["mixers"]
    assert one["tokens"] == ["[CLS]", "turn", "on", "the", "lamp", "[SEP]"]
    assert mixer["members"] == ["intent", "domain"]
    assert [(at["layer"], at["where"]) for at in mixer["sites"]] == [
        (layer, where) for layer in (0, 1) for where in ("attention", "output")
    ]
    shares = np.array([at["shares"] for at in mixer["sites"]])
    assert shares.shape == (4, 6, 2)
    assert np.allclose(shares.sum(-1), 1)
    assert np.allclose(shares.mean((0, 1)), mixer["mean"])


def test_tables_show_means_by_layer_and_by_token(trained_project: Path):
    outcome = well(trained_project, "explain", "few", TEXTS[0])
    (one,) = well(trained_project, "explain", "few", TEXTS[0], "--json").json
    shares = np.array([at["shares"] for at in one["mixers"][0]["sites"]])
    rows = [row.split() for row in outcome.out.splitlines()]
    assert ["0", "attention", *(f"{n:.3f}" for n in shares[0].mean(0))] in rows
    assert ["lamp", *(f"{n:.3f}" for n in shares[:, 4].mean(0))] in rows
    best = rows[1 + rows.index(["label", "probability"])]
    assert best[0] == one["prediction"]
    assert best[1] == f"{one['probabilities'][one['prediction']]:.3f}"


def test_all_of_it_is_shown_when_it_is_asked_for(trained_project: Path):
    outcome = well(trained_project, "explain", "few", TEXTS[0], "--full", "--top", "1")
    (one,) = well(trained_project, "explain", "few", TEXTS[0], "--json").json
    rows = [row.split() for row in outcome.out.splitlines()]
    for at in one["mixers"][0]["sites"]:
        for token, shares in zip(one["tokens"], at["shares"], strict=True):
            cells = [str(at["layer"]), at["where"], token, *(f"{n:.3f}" for n in shares)]
            assert cells in rows
    assert re.search(r"^and 2 labels more, 0\.\d+ together$", outcome.out, re.MULTILINE)


@pytest.mark.parametrize("source", ["box", "graph.zip"])
def test_bundles_are_explained_on_torch_with_a_graph_of_their_own_or_not(boxed: Path, source: str):
    asked = ("explain", source, *ON_TINY, "--composition", "few", *TEXTS, "--json")
    from_store = well(boxed, "explain", "few", *TEXTS, "--json").json
    for one, other in zip(well(boxed, *asked).json, from_store, strict=True):
        assert one["prediction"] == other["prediction"]
        got, expected = (
            np.array([at["shares"] for at in each["mixers"][0]["sites"]]) for each in (one, other)
        )
        assert np.allclose(got, expected, atol=1e-6)


def test_a_bundle_whose_backbone_was_in_a_folder_asks_where_it_is(boxed: Path):
    outcome = composer(boxed, "explain", "graph.zip", "--composition", "few", TEXTS[0])
    refused(outcome, "--backbone: graph.zip was made for the backbone 'tiny'")


def test_several_compositions_ask_which(boxed: Path):
    refused(composer(boxed, "explain", "box", *ON_TINY, TEXTS[0]), "--composition: the bundle")


def test_what_mixes_nothing_says_so(trained_project: Path):
    outcome = well(trained_project, "explain", "intent", TEXTS[0])
    assert "no fusion and no gate in it" in outcome.out
    assert "share of each member" not in outcome.out


def test_texts_come_from_standard_input_as_for_predict(trained_project: Path):
    outcome = well(trained_project, "explain", "few", "--json", stdin=b"turn on\nturn off\n")
    assert [one["text"] for one in outcome.json] == ["turn on", "turn off"]


def test_a_text_that_is_too_long_is_refused_or_cut(trained_project: Path):
    refused(composer(trained_project, "explain", "few", "lamp " * 100), "text 1: 102 tokens")
    outcome = well(trained_project, "explain", "few", "lamp " * 100, "--truncate")
    assert "38 tokens cut off" in outcome.out
