import hashlib
import re
import shutil
from base64 import b64encode
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import MappingProxyType

import pytest

from composer.bundle.sizes import SizeRow
from composer.engine.looking.status import StageStatus
from composer.errors import MissingExtraError
from composer.report.page.facts import Facts
from composer.report.page.page import render
from tests.report.conftest import Run
from tests.report.page.conftest import facts_of

EVIL = "</style></svg><script>alert(1)</script><img src=//x onerror=y>\"'&"
TAGS = set(
    "a article b body caption code dd defs details div dl dt figcaption figure footer g h1 h2 h3 "
    "head header html li link main marker meta nav p path pre rect circle section small span "
    "strong style summary svg table tbody td text tfoot th thead title tr ul".split()
)


class Reader(HTMLParser):
    """Reads a page; every tag must be closed where it was opened."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def all_of(self, tag: str) -> list[str]:
        return [text.strip() for where, text in self.texts if where == tag]


@pytest.fixture(scope="module")
def html(facts: Facts) -> str:
    return render(facts)


def policy_of(html: str) -> str:
    found = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert found is not None
    return found[1].replace("&#39;", "'")


def test_the_page_is_well_formed_and_of_few_tags(html: str, page_of_sixty: Path):
    for page in (html, page_of_sixty.read_text(encoding="utf-8")):
        read = Reader(page)
        assert read.open == []
        assert read.tags <= TAGS


def test_the_policy_allows_the_pages_own_style_and_nothing_else(html: str):
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy_of(html) == (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    assert html.index("Content-Security-Policy") < html.index("<style>")


def test_the_page_names_no_address_and_has_no_style_or_script_in_attributes(html: str):
    read = Reader(html)
    assert not [one for one in read.attributes if one[1] == "style" or one[1].startswith("on")]
    links = [value for _, name, value in read.attributes if name in ("href", "src", "xlink:href")]
    assert links
    assert all(one.startswith("#") or one == "data:," for one in links)
    style = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)[0]
    assert "url(" not in style
    assert "@import" not in style


def test_links_within_the_page_lead_somewhere(html: str):
    read = Reader(html)
    ids = [value for _, name, value in read.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    inner = {value[1:] for _, name, value in read.attributes
             if name == "href" and value.startswith("#")}  # fmt: skip
    assert inner <= set(ids)
    assert len(inner) >= 9


def test_what_comes_from_others_never_becomes_markup(facts: Facts):
    (name,) = facts.bundles
    scores = {
        stage: one.model_copy(update={"shares": tuple(
            share.model_copy(update={"sites": {EVIL: share.mean}}) for share in one.shares)})
        for stage, one in facts.scores.items()
    }  # fmt: skip
    stage = next(iter(facts.statuses))
    hostile = replace(
        facts,
        bundles={name + EVIL: [SizeRow(name=EVIL, kind=EVIL, bytes=3)]},
        scores=scores,
        statuses={
            **facts.statuses,
            stage: StageStatus(stage=EVIL, key=None, state="failed", age=None, said=EVIL),
        },
        plan=replace(facts.plan, versions={EVIL: EVIL}, wanted=replace(
            facts.plan.wanted, recipe=EVIL)),
        folders=MappingProxyType({}),
        command=("composer", "run", EVIL),
    )  # fmt: skip
    page = render(hostile)
    read = Reader(page)
    assert read.tags <= TAGS
    assert "<script" not in page
    assert "<img" not in page
    assert sum(EVIL in text for _, text in read.texts) >= 6


def test_the_same_store_gives_the_same_bytes(run: Run, html: str):
    assert render(facts_of(run.folder)) == html


def test_every_figure_has_a_name_and_every_table_a_caption_and_heads(html: str):
    read = Reader(html)
    names = [one for one in read.attributes if one[1] == "aria-label"]
    assert html.count("<svg") == len([one for one in names if one[0] == "svg"])
    assert html.count("<svg") == html.count('role="img"')
    assert all(value for _, _, value in names)
    assert html.count("<table") == html.count("<caption") >= 8
    assert html.count('scope="row"') > 20
    scrolled = re.findall(r'<div class="scroll"([^>]*)>', html)
    assert scrolled
    assert all('tabindex="0"' in one and 'role="region"' in one for one in scrolled)


def test_headings_go_down_by_one(html: str):
    levels = [int(one) for one in re.findall(r"<h([1-6])", html)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))


def test_sixty_languages_are_one_small_file(page_of_sixty: Path):
    assert 100_000 < page_of_sixty.stat().st_size < 5_000_000 / 8


def test_a_run_that_was_not_begun_is_shown_as_missing_with_its_command(run: Run):
    page = render(facts_of(run.folder, "training.seed=99"))
    read = Reader(page)
    commands = read.all_of("code")
    assert commands.count("composer run home.yaml") >= 4
    assert "6 results of this are not made yet. This makes them:" in read.all_of("p")
    assert any("are not done" in text for _, text in read.texts)
    assert "0 of 10" in read.all_of("strong")


def test_what_is_missing_in_part_is_named_with_its_own_command(run: Run, tmp_path: Path):
    folder = shutil.copytree(run.folder, tmp_path / "project")
    shutil.copyfile(folder / "train.csv", folder / "fr.csv")
    more = "evaluations.all.languages=[en, de, fr]"
    page = render(facts_of(folder, more, "bundles.home.compositions=[intent, mean]"))
    assert "composer run home.yaml --only bundle/home" in Reader(page).all_of("code")
    assert page.count('<td class="open">') == 4  # fr: three compositions and the majority
    assert "Means are over the 2 of 3 languages that are scored." in page


def test_what_failed_says_why(facts: Facts):
    stage = "task/intent"
    status = StageStatus(stage=stage, key=None, state="failed", age=3.0, said="no disk is left")
    page = render(replace(facts, statuses={**facts.statuses, stage: status}))
    assert "<strong>task/intent failed:</strong> no disk is left" in page


def test_without_jinja2_the_line_that_installs_it_is_told(
    facts: Facts, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"needs jinja2.*adapter-composer\[train\]"):
        render(facts)
