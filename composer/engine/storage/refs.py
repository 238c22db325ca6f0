"""Labels in the store: which key a stage of a recipe has now.

    refs/home-assistant/task/intent.json
        {"about": {…}, "digest": "5f1c…", "format": 1, "key": "0a41…"}
    refs/home-assistant/language/zh-CN.json

On the command line a label is given as `intent`, `task/intent`, `home-assistant/intent` or
`home-assistant/task/intent`: as short as it is still clear. Labels decide nothing: a result is
found by its key, and a label only says which key was meant last. They are sealed as manifests
are; one that is damaged is as none, until the next run writes it again.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from composer.bundle.files import safe_join
from composer.engine.storage.faults import DamagedError, disk_faults
from composer.engine.storage.manifest import FORMAT, read_sealed, write_sealed
from composer.engine.storage.store import Store, check_key
from composer.errors import Fault, RecipeError, StoreError, did_you_mean

logger = logging.getLogger(__name__)

PARTS = ("language", "task", "composition")  # what a name on the command line may mean


@dataclass(frozen=True, kw_only=True)
class Ref:
    """One label.

    Attributes:
        recipe: Name of the recipe.
        stage: Name of the stage, for example "task/intent".
        key: Of the result that was made or found last.
        about: `command`: makes the result again. `folder`: of the recipe, seen from the store.
    """

    recipe: str
    stage: str
    key: str
    about: Mapping[str, str]

    @property
    def full_name(self) -> str:
        """The one name that no other label has."""
        return f"{self.recipe}/{self.stage}"

    @property
    def kind(self) -> str:
        """First word of the stage: "task", "language", "composition"."""
        return self.stage.split("/", 1)[0]

    @property
    def short_name(self) -> str:
        """Last word of the stage: the adapter's or composition's own name."""
        return self.stage.rsplit("/", 1)[-1]

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that this label may be called by."""
        return (self.short_name, self.stage, f"{self.recipe}/{self.short_name}", self.full_name)


def set_ref(store: Store, recipe: str, stage: str, key: str, *, about: Mapping[str, str]) -> None:
    """Point a label at a key; nothing is written where it says so already."""
    new = Ref(recipe=recipe, stage=stage, key=key, about=dict(about))
    if get_ref(store, recipe, stage) == new:
        return
    path = _path(store, recipe, stage, error=StoreError)
    with disk_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_sealed(path, {"format": FORMAT, "key": key, "about": dict(about)})
    store.share(path.relative_to(store.folder).as_posix())


def get_ref(store: Store, recipe: str, stage: str) -> Ref | None:
    """Read one label; None if there is none or its file is damaged.

    Raises:
        StoreError: The file cannot be read, or a later composer wrote it.
    """
    store.refresh("refs")
    try:
        path = _path(store, recipe, stage, error=DamagedError)
        with disk_faults(path):
            return _read(path, recipe, stage) if path.exists() else None
    except DamagedError as fault:
        logger.warning("%s; this label is not used", fault)
        return None


def all_refs(store: Store) -> list[Ref]:
    """Read every label, sorted by full name."""
    store.refresh("refs")
    folder = store.folder / "refs"
    with disk_faults(folder):
        paths = sorted(folder.rglob("*.json"))
    refs = []
    for path in paths:
        recipe, *stage = path.relative_to(folder).with_suffix("").parts
        ref = get_ref(store, recipe, "/".join(stage)) if stage else None
        refs += [ref] if ref else []
    return sorted(refs, key=lambda ref: ref.full_name)


def resolve(
    store: Store,
    name: str,
    *,
    kinds: tuple[str, ...] | None = PARTS,
    place: str = "command line",
) -> Ref:
    """Find what a name stands for.

    Args:
        store: Whose labels are searched.
        name: Short or full; see the module.
        kinds: What it may be; None: anything.
        place: Where the name was found, for the message.

    Raises:
        RecipeError: Nothing, or more than one thing, is called that; or the result is gone.
    """
    known = [ref for ref in all_refs(store) if kinds is None or ref.kind in kinds]
    meant = [ref for ref in known if name in ref.names]
    if not meant:
        short = sorted({one for ref in known for one in ref.names[:2]})
        hint = did_you_mean(name, short) if short else "nothing is in this store yet"
        raise _fault(place, f"nothing in {store.place} is called {name!r}; {hint}")
    if len({ref.key for ref in meant}) > 1:
        full = ", ".join(ref.full_name for ref in meant)
        raise _fault(place, f"{name!r} may mean several things; say which: {full}")
    if store.find(meant[0].key) is None:
        raise _fault(place, _stale(meant[0]))
    return meant[0]


def _stale(ref: Ref) -> str:
    again = ref.about.get("command", f"the command of recipe {ref.recipe}")
    return f"the result of {ref.full_name} is no longer in the store; make it again with: {again}"


def _fault(place: str, message: str) -> RecipeError:
    return RecipeError([Fault(place, message)])


def _path(store: Store, recipe: str, stage: str, *, error: type[StoreError]) -> Path:
    return safe_join(store.folder / "refs", f"{recipe}/{stage}.json", error=error)


def _read(path: Path, recipe: str, stage: str) -> Ref:
    values = read_sealed(path)
    key, about = values.get("key"), values.get("about")
    if not isinstance(key, str) or not isinstance(about, dict):
        raise DamagedError(f"{path} is no label")
    check_key(key, error=DamagedError)
    return Ref(recipe=recipe, stage=stage, key=key, about={k: str(v) for k, v in about.items()})
