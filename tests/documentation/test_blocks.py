"""Every block of README and docs is run in the folder that its page is about, or says why not.

The tutorial is run always, and every recipe checked; all other pages by `make slow`, as together
they train for a minute even on tiny backbones.
"""

import os
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.documentation.blocks import PAGES, REASONS, ROOT, RUN, Block, blocks_of, name_of
from tests.documentation.home import write_home
from tests.documentation.pages import check_recipe, run_page
from tests.documentation.warm_shell import WarmShell

README = ROOT / "README.md"
TUTORIAL = ROOT / "docs" / "tutorial.md"
KOREAN = ROOT / "docs" / "tutorial.ko.md"
MAKE_HOME = """\
composer run home.yaml
composer export home --to assistant.zip
composer export mad-x few-shot --language en --to home.zip --precision float32
cp home.zip newer.zip
"""
BLOCKS = [(page, block) for page in PAGES for block in blocks_of(page)]
RUN_PAGES = [
    page
    for page in PAGES
    if page not in (TUTORIAL, KOREAN) and any(block.is_run for block in blocks_of(page))
]
RECIPE_PAGES = [
    page for page in PAGES if any(block.language == "yaml" for block in blocks_of(page))
]
# A block of another kind is shown: output, data, a drawing, what other tools read.
SHOWN = {"text", "csv", "json"}
MARKS = {
    **dict.fromkeys((("not run", reason) for reason in REASONS), RUN | {"yaml"}),
    ("run", "without torch"): {"sh"},
}
COMMAND = re.compile(r"^(composer|adapter-composer|pip|python|ray|make|npm|node) ", re.MULTILINE)


@pytest.fixture(scope="session")
def tiny(stand_ins: Path) -> dict[str, str]:
    """The environment in which the names of the sample backbones mean the tiny ones."""
    return {"COMPOSER_CACHE": str(stand_ins)}


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, shell: WarmShell, tiny: dict[str, str]) -> Path:
    """The folder that pages of the reference speak of; not to be changed."""
    folder = write_home(tmp_path_factory.mktemp("home") / "home")
    done = shell.run(MAKE_HOME, cwd=folder, environment=tiny)
    assert done.returncode == 0, done.stdout
    return folder


@pytest.fixture(scope="session")
def walked(
    tmp_path_factory: pytest.TempPathFactory, shell: WarmShell, tiny: dict[str, str]
) -> tuple[Path, list[tuple[Block, str]]]:
    """The folder that the tutorial ends with, and what its blocks printed; not to be changed."""
    folder = tmp_path_factory.mktemp("shop")
    return folder, run_page(TUTORIAL, folder, shell, tiny)


@pytest.fixture
def begun(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The folder in which a page begins."""
    folder = tmp_path / "begun"
    if page == README:
        folder.mkdir()
        return folder
    how_to = page.parent.name == "how-to"
    origin = request.getfixturevalue("walked")[0] if how_to else request.getfixturevalue("home")
    return shutil.copytree(origin, folder, symlinks=True)


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN_PAGES, ids=name_of)
def test_the_blocks_of_a_page_run_in_its_order(
    page: Path, begun: Path, shell: WarmShell, tiny: dict[str, str]
):
    assert run_page(page, begun, shell, tiny)


@pytest.mark.parametrize("page", RECIPE_PAGES, ids=name_of)
def test_the_recipes_of_a_page_and_parts_of_them_are_without_faults(page: Path, tmp_path: Path):
    for block in blocks_of(page):
        if block.language == "yaml" and block.word != "not run":
            check_recipe(page, block, tmp_path)


def test_the_tutorial_leads_from_an_empty_folder_to_predictions_without_torch(
    walked: tuple[Path, list[tuple[Block, str]]],
):
    folder, done = walked
    assert all(block.is_run for block, _ in done)
    assert {"make_data.py", "shop.yaml", "shop.zip", "device.py"} <= set(os.listdir(folder))
    assert sum(block.value == "without torch" for block, _ in done) == 2
    *answers, torch = done[-1][1].splitlines()
    assert [line.split()[0] for line in answers] == ["topic"] * 2 + ["mood"] * 2 + ["decide"] * 2
    assert torch == "torch was imported: False"


@pytest.mark.slow
def test_the_tutorial_ends_on_the_real_backbone_with_what_it_prints(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
):
    """Minutes: the backbone is multilingual-e5-small."""
    (folder := tmp_path / "shop").mkdir()
    with WarmShell(tmp_path_factory.mktemp("shell")) as shell:
        done = run_page(TUTORIAL, folder, shell)
    shown = [block.text for block in blocks_of(TUTORIAL) if block.language == "text"][-1]
    told = zip(done[-1][1].splitlines(), shown.splitlines(), strict=True)
    assert sum(one != other for one, other in told) <= 1  # processors differ


def test_every_block_is_run_checked_shown_or_says_why_not():
    for page, block in BLOCKS:
        place = f"{name_of(page)}:{block.line}"
        assert block.language in RUN | SHOWN | {"yaml"}, f"{place}: {block.language!r} is unknown"
        assert block.language != "console" or block.word == "not run", f"{place}: say why not"
        if block.word and block.word != "file":
            assert block.language in MARKS.get((block.word, block.value), ()), f"{place}: odd mark"


def test_every_mark_stands_before_a_block():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        marks = re.findall(r"^<!-- (?:not run|run|file): .*-->$", text, re.MULTILINE)
        assert len(marks) == sum(bool(block.word) for block in blocks_of(page)), name_of(page)


def test_commands_stand_in_blocks_that_are_run():
    """Neither indented by four spaces, nor as plain text."""
    for page in PAGES:
        text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        found = re.findall(r"(?<=\n\n)    (?:.+)", text)
        assert not [line for line in found if COMMAND.match(line.strip())], name_of(page)
        shown = [block for block in blocks_of(page) if block.language == "text"]
        assert not [block.line for block in shown if COMMAND.search(block.text)], name_of(page)


def test_most_blocks_are_run():
    counts = Counter(
        "not run" if block.word == "not run" else "run"
        for _, block in BLOCKS
        if block.language in RUN
    )
    assert counts["run"] > 2 * counts["not run"], counts


def test_the_korean_tutorial_has_the_code_of_the_english_one():
    ours, theirs = (
        [(b.language, b.word, b.value, b.text) for b in blocks_of(page)]
        for page in (KOREAN, TUTORIAL)
    )
    assert len(theirs) > 10
    assert ours == theirs
