import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.metrics import classification_report, roc_auc_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MultiLabelBinarizer
from sklearn.utils import estimator_checks
from sklearn.utils.validation import check_is_fitted

import composer
from composer import BundleClassifier, BundleRegressor
from composer.errors import BundleError, DataError, RecipeError
from tests.tiny import SENTENCES

ROOT = Path(__file__).parents[2]


@pytest.fixture
def classifier(home: Path) -> BundleClassifier:
    return BundleClassifier(home, "one", threads=1)


def test_a_classifier_answers_without_being_fitted(classifier: BundleClassifier, home: Path):
    check_is_fitted(classifier)
    bundle = composer.Bundle.open(home, threads=1)
    said = [one.value for one in bundle.predict(SENTENCES, composition="one")]
    assert classifier.predict(SENTENCES).tolist() == said
    assert classifier.predict(np.array(SENTENCES)).tolist() == said
    assert classifier.score(SENTENCES, said) == 1.0
    assert is_classifier(classifier)


def test_probabilities_are_in_the_order_of_the_classes(home: Path, classifier: BundleClassifier):
    assert classifier.classes_.tolist() == sorted(classifier.bundle_.labels("one"))
    shares = classifier.predict_proba(SENTENCES)
    assert shares.shape == (len(SENTENCES), 3)
    assert (classifier.classes_[shares.argmax(1)] == classifier.predict(SENTENCES)).all()


def test_classes_are_sorted_where_the_label_set_is_not(
    classifier: BundleClassifier, monkeypatch: pytest.MonkeyPatch
):
    before = classifier.predict_proba(SENTENCES)
    labels = {"composition": "one"}
    monkeypatch.setattr(composer.Bundle, "labels", lambda self, composition: ("z", "a", "m"))
    assert classifier.classes_.tolist() == ["a", "m", "z"]
    after = classifier.predict_proba(SENTENCES)
    assert (after == before[:, [1, 2, 0]]).all(), labels


def test_it_goes_where_estimators_go(classifier: BundleClassifier):
    truth = classifier.predict(SENTENCES)
    truth[0] = next(one for one in classifier.classes_ if one != truth[0])
    pipe = make_pipeline(
        FunctionTransformer(lambda texts: [one.lower() for one in texts]), classifier
    )
    pipe.fit(SENTENCES, truth)
    assert pipe.score([one.upper() for one in SENTENCES], truth) == 7 / 8
    report = classification_report(
        truth, pipe.predict(SENTENCES), output_dict=True, zero_division=0
    )
    assert report["accuracy"] == 7 / 8
    assert cross_val_score(classifier, SENTENCES, truth, cv=[([0], [0]), ([0], [1])]).tolist() == [
        0,
        1,
    ]


def test_a_clone_has_the_same_arguments_and_answers(classifier: BundleClassifier):
    classifier.predict(SENTENCES[:1])
    copy = clone(classifier)
    assert copy.get_params() == classifier.get_params()
    assert "_opened" not in copy.__dict__
    assert (copy.predict_proba(SENTENCES) == classifier.predict_proba(SENTENCES)).all()


def test_set_params_opens_what_is_asked_for(classifier: BundleClassifier, home: Path):
    first = classifier.bundle_
    assert classifier.bundle_ is first
    classifier.set_params(composition="fused")
    assert classifier.bundle_ is first
    classifier.set_params(bundle=str(home))
    assert classifier.bundle_ is not first


def test_several_labels_are_columns_of_0_and_1(home: Path):
    classifier = BundleClassifier(home, "many", threads=1)
    said = classifier.bundle_.predict(SENTENCES, composition="many")
    binarizer = MultiLabelBinarizer(classes=classifier.classes_)
    expected = binarizer.fit_transform([one.value for one in said])
    assert (classifier.predict(SENTENCES) == expected).all()
    assert classifier.score(SENTENCES, expected) == 1.0
    assert roc_auc_score([[1, 0, 1], [0, 1, 0]], classifier.predict_proba(SENTENCES[:2])) >= 0


def test_a_regressor_gives_numbers(home: Path):
    regressor = BundleRegressor(home, "number", threads=1)
    said = regressor.predict(SENTENCES)
    assert said.dtype == np.float64
    assert is_regressor(regressor)
    assert regressor.score(SENTENCES, said) == 1.0


def test_pairs_are_two_columns(home: Path, classifier: BundleClassifier):
    pairs = [(one, "lamp") for one in SENTENCES]
    expected = [one.value for one in classifier.bundle_.predict(pairs, composition="one")]
    assert classifier.predict(pairs).tolist() == expected
    assert classifier.predict(np.array(pairs)).tolist() == expected


@pytest.mark.parametrize(
    ("make", "call", "error", "message"),
    [
        ("one", lambda one: one.predict("lamp"), DataError, "^X: one value"),
        ("one", lambda one: one.predict([["a", "b", "c"]]), DataError, "^X: 1x3"),
        ("one", lambda one: one.predict([1.5]), DataError, "^text 1: 1.5 is neither"),
        ("one", lambda one: one.predict([" "]), DataError, "text 1"),
        ("one", lambda one: one.fit(["a"], ["of"]), DataError, "^y: 'of' is no label"),
        ("spans", lambda one: one.predict(["a"]), RecipeError, "spans: is a token-classification"),
        ("number", lambda one: one.predict(["a"]), RecipeError, "number: is a regression"),
        ("won", lambda one: one.predict(["a"]), BundleError, "did you mean 'one'"),
    ],
)
def test_what_does_not_fit_is_refused(
    home: Path, make: str, call: object, error: type[Exception], message: str
):
    with pytest.raises(error, match=message):
        call(BundleClassifier(home, make, threads=1))  # type: ignore[operator]


def test_what_is_pickled_is_the_place_and_the_digest(
    home: Path, parts: Path, tmp_path: Path, classifier: BundleClassifier
):
    place = shutil.copytree(home, tmp_path / "home")
    classifier.set_params(bundle=str(place))
    data = pickle.dumps(classifier)
    assert len(data) < 1000
    back = pickle.loads(data)
    assert (back.predict_proba(SENTENCES) == classifier.predict_proba(SENTENCES)).all()
    shutil.rmtree(place)
    shutil.copytree(parts, place)
    with pytest.raises(BundleError, match="is not the bundle that was pickled"):
        pickle.loads(data).predict(SENTENCES)


WITHOUT = """
import sys


class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[2].split(","):
            raise ModuleNotFoundError(f"{name} is not installed here", name=name)


sys.meta_path.insert(0, Refusal())
import composer
"""


def run_without(libraries: str, code: str, home: Path) -> str:
    """Run code in a Python that lacks libraries; give what it prints."""
    words = [sys.executable, "-c", WITHOUT + code, str(home), libraries]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def test_a_classifier_needs_no_library_that_trains(home: Path):
    code = "print(composer.BundleClassifier(sys.argv[1], 'one', threads=1).predict(['lamp'])[0])"
    expected = BundleClassifier(home, "one", threads=1).predict(["lamp"])[0]
    assert run_without("torch,transformers,adapters,click", code, home) == f"{expected}\n"


def test_without_scikit_learn_only_estimators_are_missing(home: Path):
    code = """
import inspect
assert len(dict(inspect.getmembers(composer))) > 20
try:
    composer.BundleClassifier(sys.argv[1])
except composer.ComposerError as error:
    print(error)
"""
    said = run_without("sklearn,torch,transformers", code, home)
    assert said.endswith(
        "BundleClassifier needs scikit-learn, which is not installed; run: "
        "pip install scikit-learn\n"
    )


@pytest.mark.parametrize("kind", [BundleClassifier, BundleRegressor])
@pytest.mark.parametrize(
    "check",
    [
        "check_estimator_cloneable",
        "check_estimator_repr",
        "check_estimator_tags_renamed",
        "check_get_params_invariance",
        "check_mixin_order",
        "check_no_attributes_set_in_init",
        "check_parameters_default_constructible",
        "check_set_params",
        "check_valid_tag_types",
    ],
)
def test_scikit_learns_own_conventions_are_kept(home: Path, kind: type, check: str):
    name = "one" if kind is BundleClassifier else "number"
    getattr(estimator_checks, check)(kind.__name__, kind(home, name, threads=1))


def test_scikit_learn_knows_that_it_takes_texts(classifier: BundleClassifier):
    tags = classifier.__sklearn_tags__()
    assert tags.input_tags.string
    assert not tags.requires_fit
    assert tags.classifier_tags.multi_label
