"""A bundle, or what the store has by a name, asked once; and what else is made of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from composer.api.bundles import Bundle, Text
from composer.api.calling import Place, call_text, called, carry_out, listed
from composer.api.runtimes import refuse_overflow
from composer.api.showing import Findings
from composer.data.predictions import Prediction
from composer.device.bundle import read_texts
from composer.engine.commands.bundles import open_source
from composer.engine.planning.wanted import Wanted
from composer.engine.running.events import RunResult
from composer.report.explained import explained_lines, explained_values

if TYPE_CHECKING:
    from composer.model.plain import PlainModel

_TOP = 5  # labels that are shown, the most probable ones


def predict(
    source: Bundle | Place,
    texts: Sequence[Text],
    *,
    composition: str | None = None,
    languages: Sequence[str] = (),
    truncate: bool = False,
    backbone: str | None = None,
    store: Place | None = None,
) -> list[Prediction]:
    """Predict texts with a bundle or a trained composition.

    To ask again, open the bundle once: `Bundle.open` or `export`.

    Args:
        source: A bundle, its path, or the name of a task or composition in the store.
        texts: Texts, or pairs of texts in tuples.
        composition: Which of a bundle's compositions; may be left out where there is just one.
        languages: What `$language` is bound to, for a name in the store.
        truncate: Cut texts that are too long instead of refusing them.
        backbone: As in `Bundle.open`.
        store: Folder or URL of results. Left out: `COMPOSER_STORE`, or `.composer`.

    Returns:
        A `Prediction` a text, in their order.

    Raises:
        DataError: A text is empty, or longer than the backbone takes.
        BundleError: The bundle is damaged, or has no such composition.
        RecipeError: A name stands for nothing in the store.

    Example:
        composer.predict("few-shot", ["turn on the lamp"])
    """
    bundle = bundle_of(source, languages=languages, backbone=backbone, store=store)
    return bundle.predict(texts, composition=composition, truncate=truncate)


def explain(
    source: Bundle | Place,
    texts: Sequence[Text],
    *,
    composition: str | None = None,
    languages: Sequence[str] = (),
    truncate: bool = False,
    backbone: str | None = None,
    store: Place | None = None,
) -> Findings:
    """Tell why a model says what it says: probabilities, and whom its fusions listen to.

    Args:
        source: A bundle, its path, or the name of a task or composition in the store.
        texts: Texts, or pairs of texts in tuples.
        composition: Which of a bundle's compositions; may be left out where there is just one.
        languages: What `$language` is bound to, for a name in the store.
        truncate: Cut texts that are too long instead of refusing them.
        backbone: As in `Bundle.open`; the bundle's own graph does not tell this.
        store: Folder or URL of results. Left out: `COMPOSER_STORE`, or `.composer`.

    Raises:
        DataError: A text is empty, or longer than the backbone takes.
        BundleError: The bundle is damaged, or has no such composition.
        MissingExtraError: torch is not installed.

    Example:
        composer.explain("few-shot", ["turn on the lamp"]).values
    """
    bundle = bundle_of(source, languages=languages, backbone=backbone, store=store)
    name = bundle.named(composition)
    examples, predictor = read_texts(texts), bundle.on_torch().predictor(name)
    from composer.model.explained import explain as explained

    found = explained(predictor, examples, truncate=truncate)
    refuse_overflow([one.prediction for one in found], path=bundle.path, name=name)
    pairs = list(zip(examples, found, strict=True))
    lines = [
        line
        for pair in pairs
        for line in ("", pair[0].text, *explained_lines(*pair, top=_TOP, full=False))
    ]
    return Findings(tuple(explained_values(*pair) for pair in pairs), tuple(lines[1:]))


def to_transformers(
    source: Bundle | Place,
    *,
    composition: str | None = None,
    languages: Sequence[str] = (),
    backbone: str | None = None,
    store: Place | None = None,
) -> "PlainModel":
    """Make a plain `transformers` model of a trained composition, and the tokenizer for it.

    The model has a `config` with `id2label`, and a `forward` that gives logits and, with labels,
    a loss; `transformers.pipeline` and `Trainer.evaluate` take it. It answers what composer
    answers, in float32. It is for use: frozen, in evaluation mode, on a backbone of its own.

    Args:
        source: A bundle, its path, or the name of a task or composition in the store.
        composition: Which of a bundle's compositions; may be left out where there is just one.
        languages: What `$language` is bound to, for a name in the store.
        backbone: As in `Bundle.open`; the bundle's own graph cannot be used.
        store: Folder or URL of results. Left out: `COMPOSER_STORE`, or `.composer`.

    Returns:
        A named tuple: `model` and `tokenizer`.

    Raises:
        BundleError: The bundle is damaged, for another backbone, or its vocabulary is trimmed.
        RecipeError: A name stands for nothing in the store, or the backbone is to be said.
        MissingExtraError: torch is not installed.

    Example:
        model, tokenizer = composer.to_transformers("home.zip", composition="intent")
        pipeline = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer)
    """
    bundle = bundle_of(source, languages=languages, backbone=backbone, store=store)
    return bundle.to_transformers(composition)


def bundle_of(
    source: Bundle | Place,
    *,
    languages: Sequence[str] = (),
    backbone: str | None = None,
    store: Place | None = None,
) -> Bundle:
    """Give a bundle that is open, or open one by its path or by a name in the store."""
    if isinstance(source, Bundle):
        return source
    command = called(store, backbone=backbone)
    call = call_text("predict", str(source))

    def make(wanted: Wanted) -> RunResult:
        return carry_out(wanted, command, on_event=None, call=call)[1]

    tags = listed("languages", languages)
    opened, under = open_source(source, command, make=make, languages=tags)
    return Bundle(opened, under=under, command=command)
