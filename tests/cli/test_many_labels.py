"""A task of ten thousand labels: trained, scored, exported and answered, or refused by its row."""

from pathlib import Path

import pytest

from tests.cli.projects import COLUMNS, ON_TINY, well
from tests.cli.terminal import composer

LABELS = 10_000
TRAIN = (
    *("train-task", "intent", *ON_TINY, "--data", "many.csv", *COLUMNS, "--set"),
    *("training.epochs=1", "--set", "training.threads=1", "--set", "training.batch_tokens=8192"),
)


@pytest.fixture
def many(fresh: Path) -> Path:
    """A project with an utterance of each of very many labels."""
    rows = [f"turn on the lamp {number},label {number}" for number in range(LABELS)]
    again = [row.replace("turn", "switch", 1) for row in rows]
    (fresh / "many.csv").write_text("\n".join(["utterance,intent", *rows, *again]) + "\n")
    (fresh / "seen.csv").write_text("\n".join(["utterance,intent", *rows[:50]]) + "\n")
    numbers = [f"turn on the lamp,{number}" for number in range(3)]
    (fresh / "numbers.csv").write_text("\n".join(["utterance,intent", *rows[:5], *numbers]) + "\n")
    return fresh


@pytest.mark.slow
def test_ten_thousand_labels_are_trained_scored_and_exported(many: Path):
    well(many, *TRAIN)
    options = ("--language", "en", *COLUMNS)
    scored = well(many, "evaluate", "intent", "--data", "seen.csv", *options, "--json")
    assert "accuracy" in scored.out
    wrong = composer(many, "evaluate", "intent", "--data", "numbers.csv", *options)
    assert wrong.status == 2
    assert "numbers.csv:7: training never saw the label '0'; " in wrong.err
    assert "numbers.csv:9: training never saw the label '2'; " in wrong.err

    well(many, "export", "intent", "--to", "bundle")
    well(many, "bundle", "verify", "bundle")
    assert "label " in well(many, "predict", "bundle", *ON_TINY, "turn on the lamp 7").out
