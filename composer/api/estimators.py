"""Bundles as estimators of scikit-learn: trained already, so that `fit` learns nothing.

    classifier = BundleClassifier("home.zip", composition="intent")
    classifier.predict(["turn on the lamp"])            array(['HassTurnOn'], dtype='<U14')
    classifier.predict_proba(["turn on the lamp"])      (texts, classes), in the order of classes_

The base install and scikit-learn are enough where the backbone lies in the bundle.

What is pickled is the arguments and the bundle's digest, never its weights: who unpickles it
needs the bundle at that path, and it is refused there if it is another one.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from composer.api.bundles import Bundle, Text
from composer.api.calling import Place
from composer.errors import BundleError, DataError, Fault, MissingExtraError, RecipeError
from composer.recipe.grammar.tasks import TaskType

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
except ModuleNotFoundError:  # told when an estimator is made: `help(composer)` only looks
    BaseEstimator, ClassifierMixin, RegressorMixin = (
        type(name, (), {}) for name in ("BaseEstimator", "ClassifierMixin", "RegressorMixin")
    )

_LABELS: tuple[TaskType, ...] = ("text-classification", "multi-label-classification")


class _BundleEstimator(BaseEstimator):  # type: ignore[misc]
    """What both estimators do: keep their arguments as they were given, and open late."""

    _types: tuple[TaskType, ...]

    def __init__(
        self,
        bundle: Place,
        composition: str | None = None,
        *,
        backbone: str | None = None,
        threads: int | None = None,
        truncate: bool = False,
    ) -> None:
        if not BaseEstimator.__module__.startswith("sklearn."):
            raise MissingExtraError(
                library="scikit-learn",
                needed_for=type(self).__name__,
                install="pip install scikit-learn",
            )
        self.bundle = bundle
        self.composition = composition
        self.backbone = backbone
        self.threads = threads
        self.truncate = truncate

    @property
    def bundle_(self) -> Bundle:
        """The bundle, opened when it is needed first, or again after `set_params`.

        Raises:
            BundleError: It is damaged, or not the one that was pickled.
            RecipeError: Its composition gives another kind of answer.
        """
        given = (self.bundle, self.backbone, self.threads)
        known: tuple[object, Bundle] | None = self.__dict__.get("_opened")
        if known is None or known[0] != given:
            bundle = Bundle.open(self.bundle, backbone=self.backbone, threads=self.threads)
            self._check(bundle)
            self._opened = known = (given, bundle)
        return known[1]

    def fit(self, X: object, y: ArrayLike | None = None) -> Self:  # noqa: N803
        """Open the bundle; nothing is learnt, as it was trained already.

        Args:
            X: Not looked at.
            y: Labels or numbers, as in `score`. Labels that the bundle does not know are refused.

        Raises:
            DataError: There is one.
        """
        self._check_targets(y)
        return self

    def _check_targets(self, y: ArrayLike | None) -> None:
        _ = self.bundle_

    def _check(self, bundle: Bundle) -> None:
        kind = bundle.record(self.composition).type
        if kind not in self._types:
            message = f"is a {kind}; {type(self).__name__} takes a {' or a '.join(self._types)}"
            raise RecipeError([Fault(f"composition {self.composition or ''}".strip(), message)])
        digest = self.__dict__.get("_digest")
        if digest is not None and digest != bundle.digest:
            raise BundleError(
                f"{bundle.path}: is not the bundle that was pickled ({bundle.digest[:12]}, not "
                f"{digest[:12]}); put that one there, or make a new estimator"
            )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.get_params(deep=False), "_digest": self.bundle_.digest}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 (scikit-learn's)
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True  # texts are checked as texts, not as numbers
        tags.input_tags.string = tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.target_tags.required = False
        return tags


class BundleClassifier(ClassifierMixin, _BundleEstimator):  # type: ignore[misc]
    """A bundle's composition as a fitted classifier of scikit-learn.

    For labels, and for several labels a text (`predict` then gives 0 and 1, a column a class, as
    `MultiLabelBinarizer` does). Texts are a list, an array or a column of them; pairs two columns.

    Args:
        bundle: Path of a folder or a zip.
        composition: Its name or expression; may be left out where there is just one.
        backbone: As in `Bundle.open`.
        threads: As in `Bundle.open`.
        truncate: Cut texts that are too long instead of refusing them.

    Example:
        classifier = composer.BundleClassifier("home.zip", composition="intent")
        classifier.score(texts, labels)
    """

    _types = _LABELS

    @property
    def classes_(self) -> NDArray[np.str_]:
        """The label set, sorted as scikit-learn wants it."""
        return np.unique(np.array(self.bundle_.labels(self.composition)))

    def predict(self, X: object) -> NDArray[Any]:  # noqa: N803
        """Predict labels.

        Args:
            X: Texts.

        Returns:
            (texts,) of labels; of several labels a text (texts, classes) of 0 and 1.

        Raises:
            DataError: A text is empty, or longer than the backbone takes.
        """
        found = self.bundle_.predict(
            texts_of(X), composition=self.composition, truncate=self.truncate
        )
        classes = self.classes_
        if self.bundle_.record(self.composition).type == "text-classification":
            return np.array([one.value for one in found], dtype=classes.dtype)
        rows = [[name in one.value for name in classes] for one in found]  # type: ignore[operator]
        return np.array(rows, dtype=np.int64).reshape(len(found), len(classes))

    def predict_proba(self, X: object) -> NDArray[np.float32]:  # noqa: N803
        """Give how probable each class is.

        Args:
            X: Texts.

        Returns:
            (texts, classes), in the order of `classes_`.

        Raises:
            DataError: A text is empty, or longer than the backbone takes.
        """
        found = self.bundle_.probabilities(
            texts_of(X), composition=self.composition, truncate=self.truncate
        )
        order = np.argsort(np.array(self.bundle_.labels(self.composition)))
        return found[:, order]

    def _check_targets(self, y: ArrayLike | None) -> None:
        several = self.bundle_.record(self.composition).type != "text-classification"
        if y is None or several:
            return
        other = sorted(set(map(str, np.ravel(np.asarray(y)))) - set(map(str, self.classes_)))
        if other:
            known = ", ".join(map(str, self.classes_))
            raise DataError([Fault("y", f"{other[0]!r} is no label of the bundle; known: {known}")])

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 (scikit-learn's)
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class BundleRegressor(RegressorMixin, _BundleEstimator):  # type: ignore[misc]
    """A bundle's composition as a fitted regressor of scikit-learn; see `BundleClassifier`.

    Args:
        bundle: Path of a folder or a zip.
        composition: Its name or expression; may be left out where there is just one.
        backbone: As in `Bundle.open`.
        threads: As in `Bundle.open`.
        truncate: Cut texts that are too long instead of refusing them.

    Example:
        composer.BundleRegressor("ratings.zip").predict(["very good"])
    """

    _types = ("regression",)

    def predict(self, X: object) -> NDArray[np.float64]:  # noqa: N803
        """Predict numbers.

        Args:
            X: Texts.

        Returns:
            (texts,) of numbers.

        Raises:
            DataError: A text is empty, or longer than the backbone takes.
        """
        found = self.bundle_.predict(
            texts_of(X), composition=self.composition, truncate=self.truncate
        )
        return np.array([one.value for one in found], dtype=np.float64)


def texts_of(given: object) -> list[Text]:
    """Take texts out of a list, an array or a data frame: one column, or two of a pair.

    >>> texts_of([("turn on", "what?")])
    [('turn on', 'what?')]

    Raises:
        DataError: There are more columns, or none.
    """
    table = np.asarray(given, dtype=object)
    if table.ndim == 2 and table.shape[1] == 1:
        table = table[:, 0]
    if table.ndim == 1:
        return list(table)
    if table.ndim == 2 and table.shape[1] == 2:
        return [(one, other) for one, other in table]
    shape = "x".join(map(str, table.shape)) or "one value"
    raise DataError([Fault("X", f"{shape}; give texts in one column, or pairs in two")])
