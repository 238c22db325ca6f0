"""What is in the store, used: scored, and exported as a bundle."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from composer.api.bundles import Bundle
from composer.api.calling import Changes, OnEvent, Place, call_text, called, carry_out, listed
from composer.api.parts import data_options
from composer.api.scores import Scores, scores_of_stages
from composer.bundle.reader import open_bundle
from composer.bundle.writer import place_bundle
from composer.engine.commands.bundles import stored_bundle
from composer.engine.commands.single import evaluate_stage, whole_data
from composer.recipe.expansion.stages import Evaluate
from composer.train.results import read_scores


def evaluate(
    name: str,
    *,
    languages: Sequence[str] = (),
    data: Place | None = None,
    columns: Mapping[str, str] | None = None,
    split: str = "test",
    changes: Changes | None = None,
    store: Place | None = None,
    on_event: OnEvent | None = None,
) -> Scores:
    """Score a trained task or composition, in float32.

    Args:
        name: In the store.
        languages: To score in; left out, those that it was trained in.
        data: A file, which is scored whole; left out, the split of the data it was trained on.
        columns: As in `train_task`.
        split: "test", "validation" or "train".
        changes: As in a recipe.
        store: Folder or URL of results. Left out: `COMPOSER_STORE`, or `.composer`.
        on_event: Called with every `Event`; left out, `logging` is told.

    Raises:
        RecipeError: The name stands for nothing in the store.
        DataError: The data is not there, or not what it should be.

    Example:
        composer.evaluate("few-shot", languages=["en", "de"])
    """
    options = None if data is None else data_options(data, columns)
    command = called(store, changes=changes)
    wanted = evaluate_stage(
        command,
        name,
        languages=listed("languages", languages),
        data=whole_data(options, split),
        split=split,
    )
    call = call_text("evaluate", name, languages=listed("languages", languages), split=split)
    _, result = carry_out(wanted, command, on_event=on_event, call=call)
    stages = [stage for stage in wanted.stages if isinstance(stage, Evaluate)]
    found = [read_scores(result.results[stage.name].folder) for stage in stages]
    return scores_of_stages(name, zip(stages, found, strict=True))


def export(
    names: str | Sequence[str],
    *,
    to: Place,
    languages: Sequence[str] = (),
    precision: str | None = None,
    part_precision: str = "float32",
    changes: Changes | None = None,
    store: Place | None = None,
    on_event: OnEvent | None = None,
) -> Bundle:
    """Make a bundle for devices; it is opened and its self-test run before it is given out.

    Args:
        names: Of tasks or compositions in the store, or of one bundle of a recipe that was run
            (`bundle/NAME`).
        to: Its folder, or a file that ends in .zip; a bundle that is there is replaced.
        languages: What `$language` is bound to.
        precision: "float32", "int8" or "weight-int8": put the backbone in, in this precision,
            for devices without torch. None: what was trained only.
        part_precision: Of what was trained: "float32" or "float16".
        changes: As in a recipe.
        store: Folder or URL of results. Left out: `COMPOSER_STORE`, or `.composer`.
        on_event: Called with every `Event`; left out, `logging` is told.

    Raises:
        RecipeError: A name stands for nothing in the store, or a value is not allowed.
        BundleError: Something else is at the target.

    Example:
        bundle = composer.export(["intent", "few-shot"], to="home.zip", precision="int8")
    """
    names = [names] if isinstance(names, str) else [*names]
    command = called(store, changes=changes)
    call = call_text(
        "export", names, to=str(to), languages=listed("languages", languages), precision=precision
    )
    found = stored_bundle(
        command,
        names,
        make=lambda wanted: carry_out(wanted, command, on_event=on_event, call=call)[1],
        languages=listed("languages", languages),
        precision=precision,
        part_precision=part_precision,
    )
    place_bundle(found.folder, Path(to))
    return Bundle(open_bundle(to), under=found.backbone, command=command)
