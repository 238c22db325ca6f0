"""Run the blocks of a page, in its order, in one folder.

A fault says the page, the line of the block and what the block printed.
"""

import copy
import os
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from composer.recipe.reading.reader import read_recipe
from tests.documentation.blocks import ROOT, SHELLS, Block, blocks_of, name_of
from tests.documentation.warm_shell import Session, WarmShell

# Parts of recipes on pages lean on these: what a page says replaces it.
BASE = """\
composer: 1
name: home
backbone: {source: sample, name: multilingual-e5-small}
adapters:
  task: {kind: bottleneck, width: 8}
  thin: {kind: bottleneck, width: 8}
  small: {kind: bottleneck, width: 8}
  language: {kind: bottleneck, width: 8}
data:
  text: {source: sample, name: assistant/text}
  intent: {source: sample, name: assistant/intent}
  domain: {source: sample, name: assistant/domain}
  slots: {source: sample, name: assistant/slots}
  name: {source: files, path: rooms.csv, label: name}
  cola: {source: sample, name: assistant/acceptability}
  sts: {source: sample, name: assistant/similarity}
tasks:
  intent: {type: text-classification, data: intent, languages: [en], adapter: task}
  domain: {type: text-classification, data: domain, languages: [en], adapter: task}
  slots: {type: token-classification, data: slots, languages: [en], adapter: task}
  name: {type: text-classification, data: name, languages: [en], adapter: task}
compositions:
  few-shot: {expression: "fuse(domain, slots)", train: {task: domain}}
"""
_NO_TORCH = '''\
"""Where this is on the path, torch and what needs it cannot be imported."""

import sys


class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "transformers", "adapters", "datasets"}:
            raise ImportError(f"{name} is not installed here")


sys.meta_path.insert(0, Refusal())
'''


class PageError(AssertionError):
    """A block of a page did not do what the page says."""

    def __init__(self, page: Path, block: Block, said: str) -> None:
        super().__init__(f"{name_of(page)}:{block.line}: this block failed:\n{block.text}\n{said}")


def run_page(
    page: Path,
    folder: Path,
    shell: WarmShell,
    environment: Mapping[str, str] | None = None,
) -> list[tuple[Block, str]]:
    """Run what a page says is run; give the blocks that were, and what each printed.

    Args:
        page: In Markdown.
        folder: To be in.
        shell: To run in.
        environment: Of the commands.
    """
    done = []
    with closing(shell.session(folder, environment)) as python:
        for block in blocks_of(page):
            if block.word == "file":
                (folder / block.value).parent.mkdir(parents=True, exist_ok=True)
                (folder / block.value).write_text(block.text, encoding="utf-8")
            if block.is_run:
                said = _run(page, block, folder, shell, python, environment or {})
                done.append((block, said))
    return done


def _run(
    page: Path,
    block: Block,
    folder: Path,
    shell: WarmShell,
    python: Session,
    environment: Mapping[str, str],
) -> str:
    if block.language in SHELLS:
        if block.value == "without torch":
            environment = {**environment, **_without_torch(folder)}
        done = shell.run(block.text, cwd=folder, environment=environment)
        status, said = done.returncode, done.stdout
    else:
        status, said = python.run(block.text)
    if status != 0:
        raise PageError(page, block, f"exit status {status}\n{said}")
    return said


def _without_torch(folder: Path) -> dict[str, str]:
    """Give an environment whose `composer` and `python` are processes that find no torch."""
    programs = folder / ".without-torch"
    programs.mkdir(exist_ok=True)
    (programs / "sitecustomize.py").write_text(_NO_TORCH)
    for name, arguments in (("composer", "-m composer "), ("python", "")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {arguments}"$@"\n')
        program.chmod(0o755)
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": f"{programs}:{ROOT}",
    }


def check_recipe(page: Path, block: Block, folder: Path) -> None:
    """Hold a recipe, or a part of one, to the grammar and to itself."""
    yaml = YAML(typ="safe", pure=True)
    given = yaml.load(block.text)
    recipe = given if "composer" in given else _merged(yaml.load(BASE), given)
    place = folder / f".block-{block.line}.yaml"
    with place.open("w", encoding="utf-8") as file:
        yaml.dump(recipe, file)
    try:
        read_recipe(place)
    except Exception as error:
        raise PageError(page, block, str(error)) from error
    finally:
        place.unlink()


def _merged(base: Any, given: Any) -> Any:
    """Merge mappings deeply, as a profile is merged; shapes and data of a name are replaced."""
    merged = copy.deepcopy(base)
    for key, value in given.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = {**merged[key], **value} if both else value
    return merged
