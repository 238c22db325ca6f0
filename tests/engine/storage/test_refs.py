import hashlib
import shutil
from pathlib import Path

import pytest

from composer.engine.storage.manifest import write_sealed
from composer.engine.storage.refs import all_refs, get_ref, resolve, set_ref
from composer.engine.storage.store import Store
from composer.errors import RecipeError, StoreError

KEYS = {name: f"{number:02x}" * 32 for number, name in enumerate("abcdef", start=1)}
ABOUT = {"command": "composer run home.yaml", "folder": ".."}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two recipes; both have a task `intent` of their own and share the language `de`."""
    store = Store(tmp_path / "store")
    for name in "abc":
        work = store.begin(KEYS[name])
        (work.out / "adapter.json").write_text(name)
        store.publish(KEYS[name], kind="task", stage={})
    for recipe, stage, name in (
        ("home", "task/intent", "a"),
        ("shop", "task/intent", "b"),
        ("home", "language/de", "c"),
        ("shop", "language/de", "c"),
        ("home", "composition/few-shot", "a"),
        ("home", "evaluation/far/few-shot/de", "b"),
    ):
        set_ref(store, recipe, stage, KEYS[name], about=ABOUT)
    return store


@pytest.mark.parametrize(
    ("name", "full_name"),
    [
        ("few-shot", "home/composition/few-shot"),
        ("composition/few-shot", "home/composition/few-shot"),
        ("home/few-shot", "home/composition/few-shot"),
        ("home/intent", "home/task/intent"),
        ("shop/intent", "shop/task/intent"),
        ("shop/task/intent", "shop/task/intent"),
        ("de", "home/language/de"),  # both labels say the same key
    ],
)
def test_a_name_may_be_as_short_as_it_is_clear(store: Store, name: str, full_name: str):
    assert resolve(store, name).full_name == full_name


@pytest.mark.parametrize("name", ["intent", "task/intent"])
def test_a_name_of_several_things_is_refused_and_the_full_names_are_listed(store: Store, name: str):
    with pytest.raises(RecipeError, match=r"say which: home/task/intent, shop/task/intent"):
        resolve(store, name)


def test_an_unknown_name_is_refused_with_the_nearest(store: Store):
    with pytest.raises(RecipeError, match=r"^command line: .*'fewshot'; did you mean 'few-shot'"):
        resolve(store, "fewshot")


def test_scores_are_no_parts(store: Store):
    with pytest.raises(RecipeError, match="is called 'far/few-shot/de'"):
        resolve(store, "far/few-shot/de")
    assert resolve(store, "evaluation/far/few-shot/de", kinds=("evaluation",))


def test_a_label_of_another_kind_is_not_meant(store: Store):
    with pytest.raises(RecipeError, match="nothing in .* is called 'few-shot'"):
        resolve(store, "few-shot", kinds=("task",))


def test_an_empty_store_says_that_it_is_empty(tmp_path: Path):
    with pytest.raises(RecipeError, match="nothing is in this store yet"):
        resolve(Store(tmp_path / "none"), "intent")


def test_a_label_whose_result_is_gone_names_the_command_that_makes_it(store: Store):
    shutil.rmtree(store.folder / "objects" / KEYS["c"][:2])
    with pytest.raises(RecipeError, match="make it again with: composer run home.yaml"):
        resolve(store, "de")


def test_a_label_is_moved_to_a_new_key(store: Store):
    set_ref(store, "shop", "task/intent", KEYS["a"], about=ABOUT)
    assert resolve(store, "intent").key == KEYS["a"]


def test_a_label_that_says_so_already_is_not_written(store: Store):
    path = store.folder / "refs" / "home" / "task" / "intent.json"
    before = path.stat().st_mtime_ns, path.stat().st_ino
    set_ref(store, "home", "task/intent", KEYS["a"], about=ABOUT)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before


@pytest.mark.parametrize("content", ["", "{}", '{"format": 1, "key": 3, "about": {}}', "\xff"])
def test_a_damaged_label_is_as_none_and_the_log_names_it(
    store: Store, content: str, caplog: pytest.LogCaptureFixture
):
    path = store.folder / "refs" / "shop" / "task" / "intent.json"
    path.write_text(content, encoding="latin-1")
    assert get_ref(store, "shop", "task/intent") is None
    assert str(path) in caplog.text
    assert resolve(store, "intent").key == KEYS["a"]
    set_ref(store, "shop", "task/intent", KEYS["b"], about=ABOUT)
    assert get_ref(store, "shop", "task/intent") is not None


def test_labels_are_listed_by_full_name(store: Store):
    names = [ref.full_name for ref in all_refs(store)]
    assert names == sorted(names)
    assert len(names) == 6


@pytest.mark.parametrize("stage", ["../x", "/x", "task//x"])
def test_a_label_cannot_lead_out_of_the_store(store: Store, stage: str):
    with pytest.raises(StoreError, match="the path"):
        set_ref(store, "home", stage, KEYS["a"], about=ABOUT)


@pytest.mark.parametrize("key", ["", "..", "../../../etc/passwd", "0A" * 32, "0a" * 31])
def test_a_label_of_no_key_leads_nowhere_and_hinders_nothing(
    store: Store, key: str, caplog: pytest.LogCaptureFixture
):
    path = store.folder / "refs" / "shop" / "task" / "intent.json"
    write_sealed(path, {"format": 1, "key": key, "about": {}})
    assert get_ref(store, "shop", "task/intent") is None
    assert "is no key" in caplog.text
    assert resolve(store, "intent").key == KEYS["a"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('  "format": 1,', '  "format":  1,'),
        ('  "format": 1,\n', ' "format": 1,\n'),
        ('{\n  "about"', '{\n\n  "about"'),
        ('"shop"', '"\\u0073hop"'),
        ('"shop"', '"shops"'),
    ],
)
def test_a_label_of_another_spelling_is_refused_though_its_digest_is_right(
    store: Store, old: str, new: str, caplog: pytest.LogCaptureFixture
):
    path = store.folder / "refs" / "home" / "task" / "intent.json"
    write_sealed(path, {"format": 1, "key": KEYS["b"], "about": {"folder": "shop"}})
    lines = path.read_text().splitlines(keepends=True)
    rest = "".join(line for line in lines if not line.startswith('  "digest"'))
    assert old in rest
    forged = rest.replace(old, new)
    sealed = rest if new == '"shops"' else forged
    digest = f'  "digest": "{hashlib.sha256(sealed.encode()).hexdigest()}",\n'
    path.write_text(forged.replace('  "key"', f'{digest}  "key"'))
    assert get_ref(store, "home", "task/intent") is None
    assert "is damaged" in caplog.text


@pytest.mark.parametrize("name", ["...json", "..json", "a\\b.json", "c:d.json", "a\nb.json"])
def test_a_label_whose_name_is_crafted_is_named_and_hinders_nothing(
    store: Store, name: str, caplog: pytest.LogCaptureFixture
):
    (store.folder / "refs" / "home" / name).write_text("{}")
    assert len(all_refs(store)) == 6
    assert "this label is not used" in caplog.text


def test_a_label_of_a_later_composer_is_told_and_not_written_over(store: Store):
    path = store.folder / "refs" / "home" / "task" / "intent.json"
    write_sealed(path, {"format": 2, "key": KEYS["b"], "more": 1})
    before = path.read_bytes()
    for read in (get_ref, lambda *name: set_ref(*name, KEYS["a"], about=ABOUT)):
        with pytest.raises(StoreError, match="format 2, .*use the composer that wrote it"):
            read(store, "home", "task/intent")
    assert path.read_bytes() == before
