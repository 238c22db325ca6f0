"""What the functions share: where results are kept, changes, and who hears of progress."""

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from composer.engine.commands.single import Command, working_folder
from composer.engine.planning.plan import Plan, make_plan
from composer.engine.planning.wanted import Wanted
from composer.engine.running.events import Event, RunOptions, RunResult
from composer.engine.running.run import run_stages
from composer.engine.storage.store import Store, open_store
from composer.errors import Fault, RecipeError
from composer.report.happened import event_words

logger = logging.getLogger(__name__)

Place = str | Path
"""A folder or file; of a store a URL as well."""
OnEvent = Callable[[Event], None]
Changes = Mapping[str, object]

_STORE = "COMPOSER_STORE"  # in the environment, as on the command line


def store_at(place: Place | None) -> Store:
    """Open the store at a place; None: where the command line keeps it."""
    return open_store(place or os.environ.get(_STORE) or ".composer")


def called(
    store: Place | None, *, backbone: str | None = None, changes: Changes | None = None
) -> Command:
    """Make what all commands share of a function's arguments."""
    return Command(
        store=store_at(store),
        folder=working_folder(),
        backbone=backbone,
        changes=change_texts(changes),
        python=True,
    )


def change_texts(changes: Changes | None) -> list[str]:
    """Write changes as the command line has them.

    >>> change_texts({"training.epochs": 3, "tasks.intent.languages": ["de", "fi"]})
    ['training.epochs=3', 'tasks.intent.languages=["de", "fi"]']
    """
    return [
        f"{key}={json.dumps(value, ensure_ascii=False, default=str)}"
        for key, value in (changes or {}).items()
    ]


def listed(place: str, given: Sequence[str]) -> tuple[str, ...]:
    """Take a list of texts; a single text would be one of letters.

    >>> listed("languages", ["de", "fi"])
    ('de', 'fi')

    Raises:
        RecipeError: It is a single text.
    """
    if isinstance(given, str):
        message = f"one text, {given!r}, where a list belongs; write [{given!r}]"
        raise RecipeError([Fault(place, message)])
    return tuple(given)


def listener(on_event: OnEvent | None) -> OnEvent:
    """Give who is told what happens: the one that was given, else the log."""
    return _log if on_event is None else on_event


def _log(event: Event) -> None:
    if event.kind != "progress":
        place = f"[{event.number}/{event.total}] {event.stage}"
        logger.info("%s: %s", place, event_words(event))


def carry_out(
    wanted: Wanted, command: Command, *, on_event: OnEvent | None, call: str
) -> tuple[Plan, RunResult]:
    """Plan and run the stages of a function.

    Args:
        wanted: What it stands for.
        command: What all commands share.
        on_event: Who is told what happens; None: the log.
        call: Makes the same again.
    """
    plan = make_plan(wanted, command.store, fetch=True)
    options = RunOptions(command=call, on_event=listener(on_event))
    return plan, run_stages(plan, command.store, options)


def call_text(function: str, /, *given: object, **more: object) -> str:
    """Write a call as it would be typed, without what was left out.

    >>> call_text("fuse", ["intent", "domain"], task="intent", examples=None)
    "composer.fuse(['intent', 'domain'], task='intent')"
    """
    said = [repr(one) for one in given]
    said += [f"{key}={value!r}" for key, value in more.items() if value not in (None, (), "")]
    return f"composer.{function}({', '.join(said)})"
