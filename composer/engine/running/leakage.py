"""How much of the test text of a recipe's evaluations stands in what its adapters learn from.

    data.intent (de)    312 test texts    3 exact, 9 near    e.g. intent.csv:17 in text/de.txt:204

What a composition learns from is the text of its language adapters, of the head that they share,
and of its tasks, in all languages; training and validation splits alike, as the one teaches and
the other chooses. At most `MOST` texts of a source and language are looked through. What was
found is kept in the store for data of these digests, so the next run need not look again.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from composer.bundle.files import append_line
from composer.data.examples import Example
from composer.data.leakage import Leak, TestTexts
from composer.data.plain import read_sentences
from composer.data.sources import read_examples
from composer.data.texts import shortened
from composer.engine.planning.plan import Plan
from composer.engine.storage.faults import disk_faults
from composer.engine.storage.store import Store
from composer.recipe.expansion.stages import Evaluate, Stage, TrainComposition, TrainTask
from composer.recipe.grammar.data import DataSource, Split
from composer.recipe.grammar.tasks import TaskType

logger = logging.getLogger(__name__)

MOST = 500_000  # texts
VERSION = 1  # raise it when the same texts are judged in another way
_NAME = "leakage.jsonl"
_SHOWN = 3


class Overlap(BaseModel):
    """What was seen of one test split in one language.

    Attributes:
        evaluation: The first that scores it.
        source: Its data source, as `data` names it.
        language: Of the texts.
        split: Which part.
        n: Test texts.
        exact: How many of them stand in what is learnt from.
        near: How many others stand there nearly.
        shown: Some of them: where, and in what.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    evaluation: str
    source: str
    language: str
    split: Split
    n: int
    exact: int
    near: int
    shown: tuple[str, ...]


@dataclass(frozen=True)
class _Use:
    """Texts of one source in one language; `type` says how they are read, None: plain text."""

    source: DataSource
    language: str
    type: TaskType | None


@dataclass(frozen=True, kw_only=True)
class _Test:
    evaluation: str
    use: _Use
    split: Split
    learnt: frozenset[_Use]


def find_overlaps(plan: Plan, store: Store, *, keep: bool = False) -> list[Overlap]:
    """Look for the test texts of all evaluations in what their compositions learn from.

    Comparisons are left out, and evaluations of training splits.

    Args:
        plan: Of a recipe.
        store: That what was found may be kept in.
        keep: Keep it there.

    Raises:
        DataError: Texts cannot be read.
    """
    key = _key(plan)
    known = _kept(store, key)
    if known is None:
        with _quiet():
            known = _look(plan)
        if keep:
            _keep(store, key, known)
    return known


def left_to_score(plan: Plan) -> bool:
    """Say whether an evaluation is to be made."""
    return any(isinstance(one.stage, Evaluate) and one.state != "done" for one in plan.stages)


def _key(plan: Plan) -> str:
    """Hash what the result follows from: digests of data, and what learns from what."""
    said: list[object] = [VERSION, MOST]
    for one in plan.stages:
        digest = one.record.data_digest if one.record else ""
        names = sorted(one.stage.needs)
        split = one.stage.split if isinstance(one.stage, Evaluate) else ""
        said.append([one.stage.name, digest, split, names])
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave warnings of data to the stages that read them."""
    data = logging.getLogger("composer.data")
    before = data.level
    data.setLevel(logging.ERROR)
    try:
        yield
    finally:
        data.setLevel(before)


def _keep(store: Store, key: str, found: Sequence[Overlap]) -> None:
    path = store.folder / _NAME
    values = {"key": key, "overlaps": [one.model_dump(mode="json") for one in found]}
    with disk_faults(path):
        store.folder.mkdir(parents=True, exist_ok=True)
        append_line(path, json.dumps(values, sort_keys=True).encode())


def _kept(store: Store, key: str) -> list[Overlap] | None:
    path = store.folder / _NAME
    with disk_faults(path):
        lines = path.read_bytes().splitlines() if path.exists() else []
    for line in reversed(lines):
        if key.encode() in line:
            try:
                return TypeAdapter(list[Overlap]).validate_python(json.loads(line)["overlaps"])
            except (ValueError, KeyError, TypeError, ValidationError):
                logger.warning("%s: a line cannot be read, and is left out", path)
    return None


def _look(plan: Plan) -> list[Overlap]:
    tests = list(_tests(plan))
    examples: list[Example] = []
    owners: list[int] = []  # of each example, which test it belongs to
    for number, test in enumerate(tests):
        own = list(_read(test.use, test.split, plan))
        examples += own
        owners += [number] * len(own)
    texts = TestTexts(examples)
    found: dict[int, Leak] = {}
    for use in dict.fromkeys(use for test in tests for use in sorted(test.learnt, key=str)):
        for split in ("train", "validation"):
            for place, leak in texts.seen_in(_some(use, split, plan)):
                test = tests[owners[place]]
                chosen_on = test.split == split
                first = place not in found or (found[place].how, leak.how) == ("near", "exact")
                if use in test.learnt and not chosen_on and first:
                    found[place] = leak
    return [
        _overlap(
            test, [place for place, owner in enumerate(owners) if owner == number], found, plan
        )
        for number, test in enumerate(tests)
    ]


def _overlap(test: _Test, places: Sequence[int], found: Mapping[int, Leak], plan: Plan) -> Overlap:
    leaks = sorted((found[one] for one in places if one in found), key=lambda leak: leak.how)
    return Overlap(
        evaluation=test.evaluation,
        source=_name(test.use.source, plan),
        language=test.use.language,
        split=test.split,
        n=len(places),
        exact=sum(leak.how == "exact" for leak in leaks),
        near=sum(leak.how == "near" for leak in leaks),
        shown=tuple(map(_shown, leaks[:_SHOWN])),
    )


def _shown(leak: Leak) -> str:
    tested = f"{leak.tested.place} {shortened(leak.tested.text)}"
    if leak.how == "exact":
        return f"{tested} in {leak.learnt.place}"
    return f"{tested} nearly as in {leak.learnt.place} {shortened(leak.learnt.text)}"


def _tests(plan: Plan) -> Iterator[_Test]:
    """List what is tested on what, each data split once."""
    stages = {one.stage.name: one.stage for one in plan.stages}
    merged: dict[tuple[_Use, Split], _Test] = {}
    for stage in stages.values():
        if not isinstance(stage, Evaluate) or stage.name.count("/") != 3 or stage.split == "train":
            continue
        owner = stages.get(stage.owner)
        if not isinstance(owner, TrainTask | TrainComposition):
            continue
        use = _Use(stage.data.source, stage.data.languages[0], owner.task.type)
        before = merged.get((use, stage.split))
        learnt = frozenset(_learnt(stage, stages)) | (before.learnt if before else frozenset())
        name = before.evaluation if before else stage.name.split("/")[1]
        merged[use, stage.split] = _Test(evaluation=name, use=use, split=stage.split, learnt=learnt)
    yield from merged.values()


def _learnt(stage: Stage, stages: Mapping[str, Stage]) -> Iterator[_Use]:
    """List what a stage learns from, and the stages that it rests on."""
    for name in stage.needs:
        need = stages.get(name)
        if need is None:
            continue
        type_ = need.task.type if isinstance(need, TrainTask | TrainComposition) else None
        data = [getattr(need, "data", None), *getattr(need, "texts", ())]
        for one in (one for one in data if one is not None):
            yield from (_Use(one.source, tag, type_) for tag in one.languages)
        yield from _learnt(need, stages)


def _some(use: _Use, split: Split, plan: Plan) -> Iterable[Example]:
    return islice(_read(use, split, plan), MOST)


def _read(use: _Use, split: Split, plan: Plan) -> Iterator[Example]:
    """Read texts one after another where the source can; a split that is not there is empty."""
    folder, outside = plan.wanted.folder, plan.wanted.outside
    if use.type is None:
        yield from read_sentences(
            use.source, language=use.language, split=split, folder=folder, outside=outside
        )
    else:
        yield from read_examples(
            use.source,
            type=use.type,
            language=use.language,
            split=split,
            folder=folder,
            outside=outside,
        )


def _name(source: DataSource, plan: Plan) -> str:
    """Name a source as the recipe does."""
    values = plan.wanted.values.get("data", {})
    said = source.model_dump(mode="json")
    named = values.items() if isinstance(values, Mapping) else ()
    return next((str(name) for name, value in named if value == said), source.source)
