"""Every public name is on docs/python.md, and every command says what it is in Python.

The blocks of the page are run by `tests/documentation/test_blocks.py`.
"""

import re
from pathlib import Path

import composer
from composer.cli.main import COMMANDS

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
ROWS = re.findall(
    r"^\| (`composer [\w-]+`(?:, `composer [\w-]+`)*) \| (.+) \|$", PAGE, re.MULTILINE
)


def test_every_public_name_is_in_the_reference():
    assert re.findall(r"^### composer\.(\w+)$", PAGE, re.MULTILINE) == composer.__all__
    assert len(composer.__all__) > 20


def test_every_name_says_more_than_its_title():
    sections = dict(re.findall(r"^### composer\.(\w+)\n(.*?)(?=^###|\Z)", PAGE, re.M | re.S))
    assert [name for name, text in sections.items() if len(text.split()) < 8] == []


def test_every_command_is_in_the_table():
    named = [one for names, _ in ROWS for one in re.findall(r"`composer ([\w-]+)`", names)]
    assert sorted(named) == sorted(COMMANDS)


def test_every_name_in_the_table_is_there():
    named = {one for _, said in ROWS for one in re.findall(r"`([a-z]\w+)`", said)}
    members = set(dir(composer.Bundle)) | {"inspect"}
    assert named - members <= set(composer.__all__)
    assert {"run_recipe", "export"} <= named
