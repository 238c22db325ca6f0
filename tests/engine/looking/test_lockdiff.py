"""What changed from one lock file to another."""

from collections.abc import Callable
from pathlib import Path

import pytest

from composer.engine.looking.lockdiff import StageChange, shared_changes, stage_changes
from composer.engine.planning.lock import Lock, needed_lock
from composer.engine.planning.plan import Plan
from composer.engine.running.events import RunOptions
from composer.engine.running.run import run_stages
from composer.engine.storage.store import Store
from composer.errors import RecipeError
from tests.engine.fakes import FakeRunners

Locks = Callable[..., Lock]


@pytest.fixture
def lock_after(
    plan_of: Callable[..., Plan], store: Store, runners: FakeRunners, folder: Path
) -> Locks:
    """Runs the recipe with its text changed, and gives the lock file that this writes."""

    def lock(replaced: dict[str, str] | None = None) -> Lock:
        path = folder / "home.lock"
        options = RunOptions(runners=runners, lock_file=path)
        run_stages(plan_of(replaced=replaced), store, options)
        return needed_lock(path)

    return lock


def changes(one: Lock, other: Lock, store: Store) -> dict[str, StageChange]:
    return {change.stage: change for change in stage_changes(one, other, store)}


def test_equal_locks_have_no_changes(lock_after: Locks, store: Store):
    lock = lock_after()
    assert shared_changes(lock, lock) == []
    assert changes(lock, lock, store) == {}


def test_each_stage_that_changed_says_why(lock_after: Locks, store: Store):
    before, after = lock_after(), lock_after({"width: 2": "width: 3"})
    found = changes(before, after, store)
    assert found.keys() == before.stages.keys() - {"task/intent"}
    assert {one.how for one in found.values()} == {"changed"}
    assert list(map(str, found["language/de"].reasons)) == ["shape.width: 2 -> 3"]
    assert list(map(str, found["task/domain"].reasons)) == ["language/en is made anew"]
    assert found["task/domain"].before == before.stages["task/domain"].key


def test_a_stage_that_is_new_or_gone_is_told(lock_after: Locks, store: Store):
    before, after = lock_after(), lock_after({"languages: [en, de]}": "languages: [en]}"})
    gone = "evaluation/far/few-shot/de"
    assert changes(before, after, store)[gone].how == "removed"
    assert changes(after, before, store)[gone].how == "added"


def test_the_same_key_with_other_bytes_is_told(lock_after: Locks, store: Store):
    before = lock_after()
    other = before.stages["task/intent"].model_copy(update={"outputs": "0" * 64})
    after = before.model_copy(update={"stages": {**before.stages, "task/intent": other}})
    (found,) = changes(before, after, store).values()
    assert found.how == "bytes"
    assert "the same key, other bytes" in str(found.reasons[0])


def test_what_only_one_of_them_has_made_is_told(lock_after: Locks, store: Store):
    before = lock_after()
    other = before.stages["task/intent"].model_copy(update={"outputs": None})
    after = before.model_copy(update={"stages": {**before.stages, "task/intent": other}})
    assert changes(before, after, store)["task/intent"].how == "unmade"
    assert changes(after, before, store)["task/intent"].how == "made"


def test_without_the_results_the_reason_is_not_known(lock_after: Locks, tmp_path: Path):
    before, after = lock_after(), lock_after({"width: 2": "width: 3"})
    found = changes(before, after, Store(tmp_path / "empty"))["language/de"]
    assert "not known: the store has no result" in str(found.reasons[0])


def test_what_changed_for_all_stages_is_told_once(lock_after: Locks):
    before = lock_after()
    after = before.model_copy(
        update={"precision": "bfloat16", "versions": {**before.versions, "torch": "9"}}
    )
    told = [str(one) for one in shared_changes(before, after)]
    assert told[0] == "precision: float32 -> bfloat16"
    assert told[1].endswith(" -> 9")


def test_a_lock_file_that_is_not_there_is_named(tmp_path: Path):
    (tmp_path / "home.lock").write_text("{}")
    with pytest.raises(RecipeError, match=r"hme\.lock: no such file; did you mean 'home\.lock'"):
        needed_lock(tmp_path / "hme.lock")
