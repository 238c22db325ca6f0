from pathlib import Path

import pytest

from composer.bundle import publish
from composer.bundle.publish import unfinished_folder
from composer.errors import StoreError


def fill(target: Path, text: str) -> None:
    with unfinished_folder(target) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "a").write_text(text)


def test_a_folder_appears_whole(tmp_path: Path):
    fill(tmp_path / "new" / "home", "1")
    assert (tmp_path / "new" / "home" / "inner" / "a").read_text() == "1"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["home"]


@pytest.mark.parametrize("in_one_step", [True, False])
def test_a_folder_is_replaced_and_the_old_one_is_gone(
    in_one_step: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if not in_one_step:
        monkeypatch.setattr(publish, "_exchange", lambda one, other: False)
    fill(tmp_path / "home", "1")
    (tmp_path / "home" / "more").write_text("old")
    fill(tmp_path / "home", "2")
    assert [path.name for path in tmp_path.rglob("*")] == ["home", "inner", "a"]
    assert (tmp_path / "home" / "inner" / "a").read_text() == "2"


def test_what_fails_half_way_leaves_the_old_folder_only(tmp_path: Path):
    fill(tmp_path / "home", "1")

    def fill_half() -> None:
        with unfinished_folder(tmp_path / "home") as folder:
            (folder / "a").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill_half()
    assert [path.name for path in tmp_path.rglob("*")] == ["home", "inner", "a"]
    assert (tmp_path / "home" / "inner" / "a").read_text() == "1"


def test_a_place_that_cannot_be_written_is_a_store_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written: "):
        fill(tmp_path / "file" / "home", "1")
