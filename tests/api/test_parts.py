from pathlib import Path

import pytest

import composer
from composer.errors import BundleError, DataError, RecipeError
from tests.api.conftest import INTENT, SHORT

SENTENCE = "turn on the lamp in the kitchen"


def train(**more: object) -> composer.Training:
    values = {"data": "train.csv", "columns": INTENT, "backbone": "folder:tiny", "changes": SHORT}
    return composer.train_task("intent", **{**values, **more})


def test_a_training_tells_what_it_did_and_is_done_once(project: Path):
    training = train()
    assert training.known
    assert (training.name, training.score, len(training.history)) == ("task/intent", "accuracy", 4)
    assert repr(training).startswith("task/intent (done before): ")
    assert training._repr_html_().startswith("<div>task/intent")


def test_python_and_the_command_line_share_results(project: Path):
    from composer.cli.main import group

    options = [word for key, value in SHORT.items() for word in ("--set", f"{key}={value}")]
    arguments = ["train-task", "intent", "--backbone", "folder:tiny", "--data", "train.csv"]
    columns = ["--text", "utterance", "--label", "intent"]
    before = sorted(path.name for path in Path(".composer/objects").glob("*/*"))
    group.main([*arguments, *columns, *options], standalone_mode=False, obj="composer train-task")
    assert sorted(path.name for path in Path(".composer/objects").glob("*/*")) == before


def test_a_language_adapter_is_trained(project: Path, tmp_path: Path):
    text = "".join(f"mach das licht {number} an\n" for number in range(60))
    (tmp_path / "de.txt").write_text(text)
    training = composer.train_language(
        "de",
        data=tmp_path / "de.txt",
        backbone="folder:tiny",
        changes={**SHORT, "training.epochs": 1, "languages.head": "own"},
        store=tmp_path / "store",
    )
    assert training.name == "language/de"
    assert training.score is None


def test_scores_are_rows_and_a_table(project: Path):
    scores = composer.evaluate("few", data="test.csv", columns=INTENT)
    (score,) = scores
    assert (score.composition, score.language, score.n) == ("few", "en", 24)
    assert scores.records()[0]["accuracy"] == score.scores["accuracy"]
    assert repr(scores).splitlines()[0].split()[:3] == ["composition", "language", "accuracy"]
    assert "<td>few</td>" in scores._repr_html_()
    (shares,) = score.shares
    assert sum(shares.values()) == pytest.approx(1)


def test_a_bundle_is_exported_and_answers(project: Path, tmp_path: Path):
    bundle = composer.export(["intent", "few"], to=tmp_path / "home.zip", precision="float32")
    assert bundle.compositions == ("few", "intent")
    assert bundle.languages == ("en",)
    assert bundle.verify() < 1e-4
    said = bundle.predict([SENTENCE], composition="few")
    assert composer.predict("few", [SENTENCE])[0].value == said[0].value
    assert composer.predict(tmp_path / "home.zip", [SENTENCE], composition="few") == said


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: train(data="trian.csv"), DataError, "trian.csv: .*did you mean 'train.csv'"),
        (lambda: train(backbone=None), RecipeError, '^this call: .*backbone="sample:'),
        (lambda: train(backbone="tiny"), RecipeError, "^backbone: 'tiny' is no backbone"),
        (lambda: train(columns={"txt": "a"}), RecipeError, "columns.txt: .*did you mean 'text'"),
        (lambda: train(languages="en"), RecipeError, r"^languages: one text.*write \['en'\]"),
        (lambda: train(changes={"a": {1, 2}}), RecipeError, "^changes a="),
        (lambda: composer.fuse("few", task="few", name="x"), RecipeError, "^members: one text"),
        (lambda: composer.evaluate("fex"), RecipeError, "^this call: .*did you mean 'few'"),
        (lambda: composer.predict("fex", ["x"]), RecipeError, "^source .*did you mean 'few'"),
        (lambda: composer.export("few", to="tiny"), BundleError, "is no bundle"),
        (lambda: composer.export("few", to="b", precision="int4"), RecipeError, "precision"),
    ],
)
def test_a_fault_is_told_in_the_words_of_the_call(
    project: Path, call: object, error: type[Exception], message: str
):
    with pytest.raises(error, match=message) as raised:
        call()  # type: ignore[operator]
    assert "--" not in str(raised.value)
