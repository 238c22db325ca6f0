"""The lock file beside a recipe: what was made, from what, and with which bytes.

    {
      "backbone": {"fingerprints": {…}, "source": {"name": …, "source": "sample", …}},
      "format": 1,
      "precision": "bfloat16",                 what "auto" was here
      "recipe": "home-assistant",
      "stages": {"task/intent": {"key": "0a41…", "outputs": "5f1c…", "threads": 2}},
      "versions": {"arithmetic": "1", "torch": "2.13.0", …}
    }

`outputs` is the digest of a stage's files, null until it is made. The same key with other
outputs is worth a warning: something decided the result that the key does not hold.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from composer.bundle.files import JSON_LIMIT, read_bytes, write_json
from composer.bundle.jsontext import parse_json
from composer.engine.planning.plan import Plan
from composer.engine.storage.faults import disk_faults
from composer.engine.storage.store import StoredResult
from composer.errors import Fault, RecipeError, StoreError, did_you_mean
from composer.recipe.expansion.stages import Stage

logger = logging.getLogger(__name__)

FORMAT = 1
SUFFIX = ".lock"

_TAKE_BACK = "take it back from version control, or delete it"


class LockedStage(BaseModel):
    """One stage.

    Attributes:
        key: Of the stage.
        outputs: Digest of its files; None until it is made.
        threads: That it is carried out with.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    outputs: str | None
    threads: int


class Lock(BaseModel):
    """What a lock file says.

    Attributes:
        format: Of the file.
        recipe: Its name.
        backbone: `source`: the recipe's block. `fingerprints`: of its weights.
        precision: "float32" or "bfloat16".
        versions: Of the arithmetic and of libraries.
        stages: By name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    recipe: str
    backbone: dict[str, dict[str, str | int | None]]
    precision: str
    versions: dict[str, str]
    stages: dict[str, LockedStage]


def lock_path(recipe: Path, *, profile: str | None = None) -> Path:
    """Name the lock file of a recipe; each profile has one of its own.

    >>> lock_path(Path("recipes/home.yaml"), profile="smoke").as_posix()
    'recipes/home.smoke.lock'
    """
    middle = f".{profile}" if profile else ""
    return recipe.with_name(f"{recipe.stem}{middle}{SUFFIX}")


def read_lock(path: Path) -> Lock | None:
    """Read a lock file; None if there is none.

    Raises:
        StoreError: It is no lock file, or a later version of composer's.
    """
    with disk_faults(path, option="--lock PATH"):
        if not path.exists():
            return None
        data = read_bytes(path, JSON_LIMIT, error=StoreError)
    try:
        values = parse_json(data, place=str(path), error=StoreError)
    except StoreError as fault:
        raise StoreError(f"{fault}; {_TAKE_BACK}") from fault
    if values.get("format") != FORMAT:
        raise StoreError(
            f"{path}: format {values.get('format')!r}, this composer reads {FORMAT}; "
            "delete it, or give another place with --lock PATH"
        )
    try:
        return Lock.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise StoreError(f"{path}: {where}: {first['msg']}; {_TAKE_BACK}") from error


def needed_lock(path: Path) -> Lock:
    """Read a lock file that must be there.

    Raises:
        RecipeError: There is none; the nearest beside it is named.
    """
    lock = read_lock(path)
    if lock is None:
        beside = [one.name for one in path.parent.glob(f"*{SUFFIX}")]
        hint = f"; {did_you_mean(path.name, beside)}" if beside else ""
        raise RecipeError([Fault(str(path), f"no such file{hint}")])
    return lock


def lock_of(plan: Plan) -> Lock:
    """Say what a plan is about to make; no outputs are known yet."""
    stages = {
        one.stage.name: LockedStage(key=one.key, outputs=None, threads=one.stage.training.threads)
        for one in plan.stages
        if one.key is not None
    }
    return Lock(
        recipe=plan.wanted.recipe,
        backbone=_backbone(plan),
        precision=plan.precision,
        versions=dict(plan.versions),
        stages=stages,
    )


def part_of_lock(
    plan: Plan, stage: Stage, results: Mapping[str, StoredResult]
) -> dict[str, object]:
    """Give what a lock says of the stages that one stage rests on, all of them made by now."""
    by_name = {one.stage.name: one.stage for one in plan.stages}
    names: set[str] = set()
    queue = list(stage.needs)
    while queue:
        name = queue.pop()
        if name not in names:
            names.add(name)
            queue += by_name[name].needs if name in by_name else ()
    stages = {
        name: {"key": results[name].key, "outputs": results[name].manifest.output_digest}
        for name in sorted(names)
    }
    return {**lock_of(plan).model_dump(mode="json"), "stages": stages}


def _backbone(plan: Plan) -> dict[str, dict[str, str | int | None]]:
    """Describe the backbone; where a folder of the user's is, the recipe says."""
    source = plan.wanted.backbone.model_dump(mode="json", exclude={"path", "shape"})
    fingerprints = asdict(plan.facts.fingerprints) if plan.facts else {}
    return {"source": source, "fingerprints": fingerprints}


@dataclass
class LockFile:
    """The lock file of a run, kept up to date stage by stage.

    Attributes:
        path: Where it is; None: nothing is written.
        lock: What it says now.
        changed: Whether the file says something else.
    """

    path: Path | None
    lock: Lock
    changed: bool = False

    @classmethod
    def start(cls, path: Path | None, lock: Lock) -> "LockFile":
        """Write what a run is about to do; outputs of unchanged keys are taken over."""
        if path and not path.parent.is_dir():
            raise StoreError(
                f"{path.parent} is not a folder; make it, or give another place with --lock PATH"
            )
        before = read_lock(path) if path else None
        known = before.stages if before else {}
        stages = {
            name: known[name] if name in known and known[name].key == stage.key else stage
            for name, stage in lock.stages.items()
        }
        file = cls(path, lock.model_copy(update={"stages": stages}))
        file.changed = file.lock != before
        file.write()
        return file

    def note(self, name: str, outputs: str) -> None:
        """Take note of what a stage has made; warn if it made something else before."""
        stage = self.lock.stages[name]
        if stage.outputs == outputs:
            return
        if stage.outputs is not None:
            logger.warning(
                "%s: same key, other bytes: %s has outputs %s, the lock says %s. Something that "
                "the key does not hold decided this result: the processor, or a library",
                self.path,
                name,
                outputs[:12],
                stage.outputs[:12],
            )
        noted = stage.model_copy(update={"outputs": outputs})
        self.lock = self.lock.model_copy(update={"stages": {**self.lock.stages, name: noted}})
        self.changed = True

    def write(self) -> None:
        """Write the file, if it says something else: all of it, so not for every stage of many."""
        if self.path is not None and self.changed:
            with disk_faults(self.path, option="--lock PATH"):
                write_json(self.path, self.lock.model_dump(mode="json"))
        self.changed = False
