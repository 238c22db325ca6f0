"""The site is built from the pages, without the network, and no link leads nowhere."""

import importlib.util
import re
import socket
import sys
import warnings
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.documentation.blocks import ROOT, name_of

DOCS = ROOT / "docs"
INDEX = DOCS / "index.md"
FETCHING = {"src", "srcset", "data"}  # attributes that make a browser ask for something
NEEDED = {"sphinx", "furo", "myst_parser"}

with_sphinx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in NEEDED),
    reason="the site is built with the extra `docs`",
)


class Fetches(HTMLParser):
    """Collects what a page makes a browser ask for."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in FETCHING or (tag == "link" and name == "href"):
                self.found.append(value or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; whatever asks for the network while it is built fails."""
    from sphinx.cmd.build import main

    def refuse(*arguments: Any, **more: Any) -> None:
        raise AssertionError(f"the network is asked for: {arguments}")

    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the generators say of each other
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        patch.setattr(sys, "argv", ["sphinx-build"])
        notes = folder / "notes.txt"
        status = main(["-q", "-W", "--keep-going", "-w", str(notes), "-d", str(folder / "read"),
                       str(DOCS), str(folder / "site")])  # fmt: skip
    assert status == 0, notes.read_text()
    return folder / "site"


def navigation() -> ModuleType:
    """Import docs/conf.py, which is in no package."""
    spec = importlib.util.spec_from_file_location("docs_conf", DOCS / "conf.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_page_is_in_the_navigation_once():
    """In a list of the front page; the kinds of adapters are found by their folder."""
    linked = re.findall(r"^- \[[^\]]+\]\(([^)#]+\.md)\): ", INDEX.read_text("utf-8"), re.MULTILINE)
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")} - {"index.md"}
    assert {page for page in pages if not page.startswith("methods/")} == set(linked)
    assert len(linked) == len(set(linked))


def test_every_drawing_is_shown():
    shown = "\n".join(page.read_text("utf-8") for page in [ROOT / "README.md", *DOCS.rglob("*.md")])
    for drawing in [*DOCS.rglob("*.svg"), *DOCS.rglob("*.png")]:
        assert f"{drawing.name})" in shown, name_of(drawing)


def test_drawings_say_in_words_what_they_show_and_have_colours_for_the_dark():
    drawings = sorted((DOCS / "explanation").glob("*.svg"))
    assert len(drawings) >= 5
    for drawing in drawings:
        text = drawing.read_text("utf-8")
        assert "<title " in text
        assert "<desc " in text
        assert "prefers-color-scheme: dark" in text
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


@with_sphinx
def test_the_navigation_is_read_from_headings_and_lists():
    text = (
        "# Site\n- [No](no.md): part\n## How to\n- [Fuse](how-to/fuse.md): mix\n\n## Empty\ntext\n"
    )
    assert navigation().parts_of(text) == {"How to": ["how-to/fuse"]}


@with_sphinx
def test_the_site_is_built_without_the_network_and_asks_for_nothing(site: Path):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) >= 40
    for page in pages:
        fetches = Fetches()
        fetches.feed(page.read_text("utf-8"))
        assert fetches.found
        outside = [one for one in fetches.found if re.match(r"(https?:)?//", one)]
        assert not outside, f"{page.relative_to(site)}: {outside}"
    for style in site.rglob("*.css"):
        text = style.read_text("utf-8")
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", text), style.name


@with_sphinx
def test_the_site_has_a_search_of_its_own_that_knows_the_pages(site: Path):
    index = (site / "searchindex.js").read_text("utf-8")
    assert '"tutorial"' in index
    assert '"explanation/glossary"' in index
