"""What the documentation promises is read here by the code that has to keep it."""

import ast
import importlib.util
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from composer.cli.main import group
from composer.data.sources import read_examples
from composer.data.tasks import check_examples
from composer.errors import DataError, RecipeError
from composer.recipe.grammar.data import Columns, FileData
from composer.recipe.reading.reader import read_recipe

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
RECIPES = sorted((ROOT / "recipes").glob("*/*.yaml"))  # not the parts that they include
REDIRECTIONS = ("<", ">", ">>", "|", "&&", ";")


def load_generator() -> ModuleType:
    """Import docs/generate.py, which is in no package."""
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = load_generator()
COMMANDS = dict(GENERATOR.commands())


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    """List the fenced blocks of one language in a page."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    """Give a page without its fenced blocks."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def command_lines(text: str) -> Iterator[list[str]]:
    """Give the words of each command in a shell text, up to a redirection or a comment."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        ends = [place for place, word in enumerate(words) if word in REDIRECTIONS]
        if words:
            yield words[: min(ends, default=None)]


def composer_lines(text: str) -> list[list[str]]:
    return [words for words in command_lines(text) if words[0] == "composer"]


def examples_of(command: click.Command) -> str:
    """Give what stands under "Example:" in a command's help."""
    _, _, examples = (command.help or "").partition("Example:")
    return examples.replace("\b", "")


def parse(words: list[str]) -> click.Context:
    """Parse a command line as far as to the command that it leads to; nothing is run."""
    name, *rest = words
    command: click.Command = group
    while isinstance(command, click.Group):
        context = click.Context(command, info_name=name)
        inner = command.get_command(context, rest[0])
        assert inner is not None, f"no command {rest[0]!r} in {name}"
        name, command, rest = f"{name} {rest[0]}", inner, rest[1:]
    if "--help" in rest:
        return click.Context(command, info_name=name)
    return command.make_context(name, rest)


def error_classes() -> dict[str, Path]:
    """Find every error that composer defines: what derives from something called an error."""
    found = {}
    for path in sorted((ROOT / "composer").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                bases = [ast.unparse(base) for base in node.bases]
                if any(base.endswith("Error") or base == "Exception" for base in bases):
                    found[node.name] = path
    return found


SHELL = [
    (f"{name_of(page)}: {' '.join(words[:3])}", words)
    for page in PAGES
    for block in blocks(page, "sh")
    for words in composer_lines(block)
] + [
    (f"{name} --help: {' '.join(words[:3])}", words)
    for name, command in COMMANDS.items()
    for words in composer_lines(examples_of(command))
]
FAULTY_RECIPE = """\
composer: 1
name: home
backbone: {source: sample, name: multilingual-e5-small}
adapters:
  plain: {kind: bottleneck, reducton_factor: 8}
data:
  intent: {source: files, path: intent.csv}
tasks:
  intent: {type: text-classification, data: intents, languages: [en], adapter: plain}
  domain: {type: text-classification, data: intent, languages: [en], adapter: plan}
compositions:
  few-shot: {expression: "fuse(intent, domain)"}
  mad-x: $language > intnt
"""
FAULTY_FILES = {
    "broken.csv": b'text,label\non,HassTurnOn\n ,HassTurnOn\noff,\ncaf\xe9,x\n"a,b\n',
    "three.csv": b"text,label\na,b,c\n",
    "cols.csv": b"utterance,intent\non,HassTurnOn\n",
    "num.csv": b"text,label\na,1.5\nb,warm\n",
    "empty.csv": b"",
    "one.csv": b"text,label\n" + b"".join(b"%d,x\n" % number for number in range(20)),
    "unseen.csv": b"text,label\non,HassTurnOn\noff,HassTurnOnn\n",
}
ERRORS = error_classes()


def test_there_is_something_to_check():
    assert len(PAGES) >= 10
    assert RECIPES
    assert len(SHELL) >= 20
    assert len(COMMANDS) >= 13
    assert len(ERRORS) >= 13
    assert {"ComposerError", "CompositionError", "DamagedError"} <= ERRORS.keys()


@pytest.mark.parametrize("page", sorted(GENERATOR.pages()), ids=name_of)
def test_generated_pages_are_current(page: Path):
    current = GENERATOR.pages()[page] == page.read_text(encoding="utf-8")
    assert current, f"{name_of(page)} is not what the code says now; run: make docs"


def test_a_page_that_was_edited_is_not_current(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for name in ("recipe.md", "cli.md", "methods.md", "python.md"):
        text = (ROOT / "docs" / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace("composer", "maestro"), encoding="utf-8")
    monkeypatch.setattr(GENERATOR, "DOCS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    assert GENERATOR.main() == 1
    assert "recipe.md: not current" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["generate.py"])
    assert GENERATOR.main() == 0
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    assert GENERATOR.main() == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_mentioned_in_what_is_written_by_hand(command: str):
    generated = re.compile(r"<!-- generated.*?<!-- end", re.DOTALL)
    texts = [generated.sub("", page.read_text(encoding="utf-8")) for page in PAGES]
    word = re.escape(command.removeprefix("composer "))
    assert any(re.search(rf"`(composer )?{word}\b|^composer {word}\b", t, re.M) for t in texts)


@pytest.mark.parametrize("command", [name for name, one in COMMANDS.items() if one is not group])
def test_every_command_shows_an_example_in_its_help(command: str):
    assert composer_lines(examples_of(COMMANDS[command]))


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_is_explained(error: str):
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert f"`{error}`" in text, f"{error} of {name_of(ERRORS[error])} is on no page"


def test_the_exit_statuses_on_the_page_are_the_errors():
    import composer.errors as errors

    rows = re.findall(r"^\| `(\w+Error)` \| (\d+) \|", (ROOT / "docs/cli.md").read_text(), re.M)
    assert len(rows) >= 13
    known = {name: status for name, status in rows if hasattr(errors, name)}
    assert len(known) >= 11
    assert {n: int(status) for n, status in known.items()} == {
        name: getattr(errors, name).exit_status for name in known
    }


def test_the_faults_of_a_recipe_are_worded_as_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("home.yaml").write_text(FAULTY_RECIPE, encoding="utf-8")
    with pytest.raises(RecipeError) as raised:
        read_recipe("home.yaml")
    assert f"{raised.value}\n" in blocks(ROOT / "docs" / "recipe.md", "text")


def test_the_faults_of_data_are_worded_as_the_page_shows(tmp_path: Path):
    said = []
    for name, content in FAULTY_FILES.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError) as raised:
            read_faulty(name, tmp_path)
        said += str(raised.value).splitlines()
    (shown,) = blocks(ROOT / "docs" / "data.md", "text")
    assert shown.splitlines() == said


def read_faulty(name: str, folder: Path) -> None:
    """Read and check one of the files above, as training or scoring would."""
    type_ = "regression" if name == "num.csv" else "text-classification"
    columns = Columns(text="utterence", label="intent") if name == "cols.csv" else Columns()
    source = FileData(source="files", path=name, columns=columns)
    examples = read_examples(source, type=type_, language="en", split="train", folder=folder)
    split, labels = ("test", ["HassTurnOn"]) if name == "unseen.csv" else ("train", ["x"])
    check_examples(examples, type=type_, labels=labels, split=split, place=name)


@pytest.mark.parametrize("recipe", RECIPES, ids=name_of)
def test_every_recipe_is_without_faults(recipe: Path):
    assert read_recipe(recipe).recipe.name


@pytest.mark.parametrize(("place", "words"), SHELL, ids=[place for place, _ in SHELL])
def test_every_command_in_the_documentation_can_be_parsed(place: str, words: list[str]):
    assert parse(words).command in COMMANDS.values()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("composer train-task intent --dat train.csv", "No such option"),
        ("composer export few-shot", "Missing parameter: target"),
        ("composer samples show assistant/intent --split testing", "not one of"),
    ],
)
def test_a_command_that_is_wrong_cannot_be_parsed(line: str, message: str):
    with pytest.raises(click.UsageError, match=message):
        parse(shlex.split(line))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_lead_somewhere(page: Path):
    missing = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        found = (page.parent / file).resolve() if file else page
        if not found.exists() or (anchor and anchor not in anchors(found)):
            missing.append(target)
    assert not missing


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {GENERATOR.slug(heading) for heading in headings}


def test_the_readme_links_to_every_page():
    links = re.findall(r"\]\((docs/[\w.-]+\.md)\)", prose(README))
    assert set(links) == {name_of(page) for page in (ROOT / "docs").glob("*.md")}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_of_the_project_that_are_named_are_there(page: Path):
    named = re.findall(r"`((?:composer|tests|docs|recipes)/[\w./-]+\.(?:py|md|yaml))`", prose(page))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_readme_lists_some_thirty_files():
    rows = re.findall(r"^\| `(composer/[\w/]+\.py)` \|", prose(README), re.MULTILINE)
    assert 30 <= len(rows) == len(set(rows)) <= 40


def test_make_targets_and_extras_that_are_named_are_there():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = set(re.findall(r"\bmake ([a-z]+)\b(?=`|$|  )", text, re.MULTILINE))
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"demo", "test", "docs"} <= named <= set(targets)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {one for group_ in re.findall(r"\.\[([a-z,]+)\]", text) for one in group_.split(",")}
    assert extras
    assert extras <= project["optional-dependencies"].keys()
