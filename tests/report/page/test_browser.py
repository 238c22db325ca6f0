"""The page as a browser shows it; left out where there is none (see docs/report.md)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from composer.report.page.facts import Facts
from composer.report.page.page import render
from tests.report.browser import Browser, find_browser

FOUND = find_browser()
pytestmark = pytest.mark.skipif(
    FOUND is None, reason="no Chromium on the path, and none named by COMPOSER_CHROMIUM"
)

OVERLAPS = """
[...document.querySelectorAll("svg")].flatMap(svg => {
  const boxes = [...svg.querySelectorAll("text")].map(one => [one.textContent, one.getBBox()]);
  return boxes.flatMap(([name, a], n) => boxes.slice(n + 1)
    .filter(([_, b]) => a.x + a.width > b.x + .5 && b.x + b.width > a.x + .5
      && a.y + a.height > b.y + 3 && b.y + b.height > a.y + 3)
    .map(([other]) => name + " on " + other));
})
"""
OUTSIDE = """
[...document.querySelectorAll("svg")].flatMap(svg => {
  const view = svg.viewBox.baseVal;
  return [...svg.querySelectorAll("text")]
    .filter(one => { const b = one.getBBox();
      return b.x < view.x - 1 || b.x + b.width > view.x + view.width + 1; })
    .map(one => one.textContent);
})
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert FOUND is not None
    with Browser(FOUND, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(facts: Facts, page_of_sixty: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    small = tmp_path_factory.mktemp("small") / "report.html"
    small.write_text(render(facts), encoding="utf-8")
    return [small.as_uri(), page_of_sixty.as_uri()]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_opens_without_a_word_and_asks_for_nothing(
    width: int, dark: bool, browser: Browser, pages: list[str]
):
    for page in pages:
        seen = browser.open(page, width=width, dark=dark)
        assert seen.requests == [page]
        assert seen.messages == []
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        assert browser.evaluate(OVERLAPS) == []
        assert browser.evaluate(OUTSIDE) == []
        ground = browser.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert ground == ("rgb(16, 22, 29)" if dark else "rgb(255, 255, 255)")


def test_a_page_that_asks_or_complains_is_seen(browser: Browser, tmp_path: Path):
    file = tmp_path / "bad.html"
    file.write_text(
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'\">"
        "<p style='color:red'>x<img src='file:///nowhere.png'>"
    )
    seen = browser.open(file.as_uri(), width=1280, dark=False)
    assert any("Content Security Policy" in message for message in seen.messages)
