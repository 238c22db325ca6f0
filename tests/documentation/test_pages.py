"""What runs the pages tells a block that fails from one that does not."""

from pathlib import Path

import pytest

from tests.documentation.blocks import blocks_of
from tests.documentation.pages import PageError, check_recipe, run_page
from tests.documentation.warm_shell import WarmShell

PAGE = """\
# A page

<!-- file: notes/said.txt -->
```text
hello
```

```sh
composer --version > version.txt
cat notes/said.txt
```

<!-- not run: network -->
```sh
curl example.org
```

```python
said = open("notes/said.txt").read()
```

```python
print(said.upper())
```
"""
FENCE = "```"


def page_of(folder: Path, text: str) -> Path:
    page = folder / "page.md"
    page.write_text(text)
    return page


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tests.documentation.blocks.ROOT", tmp_path)


def test_blocks_share_a_folder_and_python_its_names(tmp_path: Path, shell: WarmShell):
    done = run_page(page_of(tmp_path, PAGE), tmp_path, shell)
    assert [said for _, said in done] == ["hello\n", "", "HELLO\n\n"]
    assert (tmp_path / "version.txt").read_text().startswith("composer, version ")


@pytest.mark.parametrize(
    ("language", "text", "said"),
    [
        ("sh", "composer chekc home.yaml; true", "no command 'chekc'"),
        ("sh", "false | cat", "exit status 1"),
        ("python", "1 / 0", "ZeroDivisionError"),
        ("python", "raise SystemExit(3)", "exit status 3"),
    ],
)
def test_a_block_that_fails_is_told_with_its_line(
    tmp_path: Path, shell: WarmShell, language: str, text: str, said: str
):
    page = page_of(tmp_path, f"# A page\n\n{FENCE}{language}\n{text}\n{FENCE}\n")
    with pytest.raises(PageError, match="page.md:3: this block failed") as raised:
        run_page(page, tmp_path, shell)
    assert said in str(raised.value)


def test_without_torch_there_is_none(tmp_path: Path, shell: WarmShell):
    mark = "<!-- run: without torch -->"
    text = f"{mark}\n{FENCE}sh\npython -c 'import torch'\n{FENCE}\n"
    with pytest.raises(PageError, match="torch is not installed here"):
        run_page(page_of(tmp_path, text), tmp_path, shell)


def test_a_part_of_a_recipe_is_held_to_the_grammar(tmp_path: Path):
    part = "adapters:\n  task: {kind: bottleneck, widht: 8}\n"
    page = page_of(tmp_path, f"{FENCE}yaml\n{part}{FENCE}\n")
    with pytest.raises(PageError, match="did you mean 'width'"):
        check_recipe(page, blocks_of(page)[0], tmp_path)
