"""The one door to jinja2: everything that is known of a run, as one HTML file.

Whatever comes from a recipe or a store is escaped by the templates. The page has no script, and
its Content-Security-Policy allows nothing but its own style, by its hash: opened from anywhere, it
asks nobody for anything. The same store gives the same bytes: no clock, no host, no order of a
set goes into it.
"""

import hashlib
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shlex import join
from typing import Any

from composer.engine.storage.store import Store
from composer.errors import MissingExtraError
from composer.recipe.reading.reader import LoadedRecipe
from composer.report.comparison_tables import score_rows, told_of
from composer.report.layout import count, duration, size
from composer.report.page.axes import short_number
from composer.report.page.costs import CostRow, cost_groups, whole_of
from composer.report.page.curves import curves
from composer.report.page.facts import Facts, read_facts
from composer.report.page.fusions import fusions
from composer.report.page.groups import group_title, short_name
from composer.report.page.matrix import loss_matrix, score_matrices, unscored
from composer.report.page.palette import ramp
from composer.report.page.scatters import scatters
from composer.report.page.stage_graph import draw_stages
from composer.report.transfer_tables import difference_rows, tests_told

_TEMPLATES = Path(__file__).parent / "templates"
_NOTHING = "\N{EN DASH}"


@dataclass(frozen=True, kw_only=True)
class Page:
    """A report.

    Attributes:
        html: The file's text.
        stages: How many there are.
        missing: How many of them are not done.
    """

    html: str
    stages: int
    missing: int


def make_page(
    loaded: LoadedRecipe,
    store: Store,
    *,
    command: Sequence[str] = ("composer", "run"),
    cache: Path | None = None,
) -> Page:
    """Make the report of a recipe, as far as the store has it.

    Args:
        loaded: The recipe.
        store: Of results.
        command: Words of the command that carries the recipe out; shown where results are missing.
        cache: For backbones; left out: the user's.

    Raises:
        MissingExtraError: jinja2 is not installed.
        StoreError: A result cannot be read.
    """
    facts = read_facts(loaded, store, command=command, cache=cache)
    return Page(html=render(facts), stages=len(facts.plan.stages), missing=len(facts.missing))


def render(facts: Facts) -> str:
    """Write what is known of a run as HTML."""
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise MissingExtraError(library="jinja2", needed_for="a report", extra="train") from error
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": _or_nothing(count),
        "size": _or_nothing(size),
        "duration": _or_nothing(duration),
        "percent": _or_nothing(_percent),
    }
    style = environment.get_template("style.css").render(
        light=list(ramp("light")), dark=list(ramp("dark"))
    )
    return environment.get_template("report.html").render(
        style=style, style_hash=_hash(style), **_content(facts)
    )


def _content(facts: Facts) -> dict[str, object]:
    """Give the templates what they show."""
    groups = list(cost_groups(facts))
    whole = whole_of([one.whole for one in groups], name="in all", state="")
    return {
        "facts": facts,
        "name": facts.plan.wanted.recipe,
        "whole": whole,
        "tiles": _tiles(facts, whole),
        "groups": groups,
        "graph": draw_stages(facts),
        "failed": [one for one in facts.statuses.values() if one.state == "failed"],
        "matrices": list(score_matrices(facts)),
        "differences": [
            (one.evaluation, [*difference_rows(one)], tests_told(one))
            for one in facts.tables
            if one.against
        ],
        "comparisons": [(one.name, score_rows(one), told_of(one)) for one in facts.comparisons],
        "unscored": unscored(facts),
        "losses": loss_matrix(facts.losses),
        "fusions": list(fusions(facts)),
        "curves": list(curves(facts)),
        "scatters": list(scatters(facts)),
        "bundles": {short_name(name): rows for name, rows in facts.bundles.items()},
        "environment": _environment(facts),
        "command": join(facts.command),
        "missing_in": lambda name: [
            one for one in facts.missing if group_title(one) == f"Comparison {name}"
        ],
        "command_for": lambda names: join(facts.command_for(names)),
    }


def _tiles(facts: Facts, whole: CostRow) -> list[tuple[str, str, str]]:
    """Give the few numbers on top: what, how much, and beside what."""
    done, stages = len(facts.folders), len(facts.plan.stages)
    backbone = facts.plan.parameters
    beside = f"the backbone has {short_number(backbone)}" if backbone else "in all trainings"
    timed = sum(name in facts.took for name in facts.folders)
    known = "of all that is done" if timed == done else f"{timed} of {done} stages were timed"
    parameters = _NOTHING if whole.parameters is None else short_number(whole.parameters)
    return [
        (
            "Stages done",
            f"{done} of {stages}",
            "nothing is missing" if done == stages else "the rest is to run",
        ),
        ("Time", _NOTHING if whole.seconds is None else duration(whole.seconds), known),
        ("Trained parameters", parameters, beside),
        ("Peak memory", _NOTHING if whole.memory is None else size(whole.memory), "of one stage"),
        ("Results", _NOTHING if whole.bytes is None else size(whole.bytes), "bundles among them"),
    ]


def _environment(facts: Facts) -> Mapping[str, str]:
    """Say what the results rest on, as keys and locks have it."""
    plan, block = facts.plan, facts.plan.wanted.backbone
    source = block.model_dump(mode="json", exclude={"path", "shape", "precision"})
    shape = plan.shape
    threads = sorted({one.stage.training.threads for one in plan.stages})
    rows = {
        "backbone": ", ".join(f"{name} {value}" for name, value in source.items() if value),
        "layers": f"{shape.layers} of {count(shape.hidden_size)} units" if shape else "",
        "parameters of the backbone": count(plan.parameters) if plan.parameters else "",
        "fingerprint of its body": plan.facts.fingerprints.body if plan.facts else "",
        "fingerprint of its vocabulary": plan.facts.fingerprints.vocabulary if plan.facts else "",
        "precision": plan.precision,
        "threads": ", ".join(map(str, threads)),
        "seeds": ", ".join(map(str, sorted({one.seed for one in facts.trainings.values()}))),
        **{f"version of {name}": said for name, said in plan.versions.items()},
        "version of composer that made this page": _own_version(),
    }
    return {name: said for name, said in rows.items() if said}


def _own_version() -> str:
    try:
        return version("adapter-composer")
    except PackageNotFoundError:
        return ""


def _or_nothing(write: Callable[[Any], str]) -> Callable[[Any], str]:
    """Let a writer of numbers write a dash where there is none."""
    return lambda number: _NOTHING if number is None else write(number)


def _percent(share: float) -> str:
    """Write a share in percent, with two digits that say something.

    >>> _percent(0.01234), _percent(0.3), _percent(0.00004)
    ('1.2 %', '30 %', '< 0.01 %')
    """
    if 0 < share < 0.0001:
        return "< 0.01 %"
    return f"{100 * share:.{0 if share >= 0.0995 else 1 if share >= 0.00995 else 2}f} %"


def _hash(style: str) -> str:
    return "sha256-" + b64encode(hashlib.sha256(style.encode()).digest()).decode()
