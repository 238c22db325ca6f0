"""`composer doctor`, and `composer completion`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from composer.cli.main import group
from composer.engine.doctor import examination
from composer.engine.doctor.probe import Probed
from tests.cli.projects import well
from tests.cli.terminal import ROOT, composer
from tests.test_layers import HEAVY, loaded_by

COMPLETED = {
    "commands": ("composer pre", ["predict"]),
    "options": ("composer run home.yaml --prof", ["--profile"]),
    "stages": ("composer run home.yaml --only task/", ["task/intent", "task/domain"]),
    "stage": ("composer why home.yaml bundle/", ["bundle/home"]),
    "profiles": ("composer plan home.yaml --profile ''", ["smoke"]),
    "tasks": ("composer debug-data home.yaml --task in", ["intent"]),
    "no recipe": ("composer run none.yaml --only task/", []),
    "broken recipe": ("composer run broken.yaml --only task/", []),
    "compositions": ("composer explain box --composition ''", ["few", "intent"]),
    "of a zip": ("composer predict box.zip --composition f", ["few"]),
    "of no bundle": ("composer predict home.yaml --composition f", []),
    "shells": ("composer completion z", ["zsh"]),
}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "probe", lambda modules: Probed())


@pytest.mark.usefixtures("quick")
def test_each_line_has_a_status_and_json_has_all_of_it(tmp_path: Path):
    outcome = composer(tmp_path, "doctor")
    found = composer(tmp_path, "doctor", "--json").json
    assert {one["status"] for one in found} <= {"ok", "warning", "fault"}
    for one in found:
        assert any(
            line.startswith(one["status"]) and one["name"] in line
            for line in outcome.out.splitlines()
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_a_fault_is_told_by_the_status(tmp_path: Path):
    (tmp_path / "file").write_text("")
    outcome = composer(tmp_path, "doctor", "--store", "file/store")
    assert outcome.status == 1
    assert "fault    store" in outcome.out
    assert "1 faults" in outcome.out


def test_the_command_itself_imports_neither_torch_nor_pydantic():
    code = "from composer.cli.main import group\ngroup.main(['doctor', '--help'])"
    loaded = loaded_by(f"try:\n  {code.replace(chr(10), chr(10) + '  ')}\nexcept SystemExit: pass")
    assert loaded.isdisjoint({*HEAVY, "numpy", "pydantic", "filelock"})


@pytest.mark.slow
def test_the_doctor_works_where_torch_is_broken(tmp_path: Path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("import os; os.abort()")
    run = subprocess.run(
        [sys.executable, "-m", "composer", "doctor"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )
    assert run.returncode == 1
    assert "cannot be imported: it ends the process that imports it" in run.stdout
    assert "ok       store" in run.stdout
    assert run.stderr == ""


@pytest.fixture(scope="module")
def shelf(trained_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a recipe and a bundle; not to be changed."""
    folder = shutil.copytree(trained_project, tmp_path_factory.mktemp("shelf") / "project")
    well(folder, "export", "few", "intent", "--to", "box")
    well(folder, "export", "few", "intent", "--to", "box.zip")
    (folder / "broken.yaml").write_text("composer: [1")
    return folder


def completed(folder: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give what bash is told for a line that ends where the cursor is."""
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    monkeypatch.chdir(folder)
    return BashComplete(group, {}, "composer", "_COMPOSER_COMPLETE").complete().splitlines()


@pytest.mark.parametrize("case", COMPLETED)
def test_names_are_completed(shelf: Path, monkeypatch: pytest.MonkeyPatch, case: str):
    line, expected = COMPLETED[case]
    assert completed(shelf, line, monkeypatch) == [f"plain,{one}" for one in expected]


def test_files_are_left_to_the_shell(shelf: Path, monkeypatch: pytest.MonkeyPatch):
    assert completed(shelf, "composer run ho", monkeypatch) == ["file,ho"]


def test_a_bundle_cannot_put_lines_into_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "box").mkdir()
    text = '{"compositions": {"few\\nplain,rm": {}, "fe\\u001b[2J": {}, "fest": {}}}'
    (tmp_path / "box" / "manifest.json").write_text(text)
    line = "composer predict box --composition fe"
    assert completed(tmp_path, line, monkeypatch) == ["plain,fest"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_for_both_names_of_the_command(tmp_path: Path, shell: str):
    script = well(tmp_path, "completion", shell).out
    for name in ("composer", "adapter-composer"):
        assert any(name in line and "compl" in line for line in script.splitlines())
    assert f"_COMPOSER_COMPLETE={shell}_complete" in script
    if shutil.which(shell):
        run = subprocess.run(
            [shell, "-n"], input=script, text=True, check=False, capture_output=True
        )
        assert run.returncode == 0, run.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not here")
def test_bash_itself_completes_by_the_script(shelf: Path):
    script = well(shelf, "completion", "bash").out
    program = shelf / "bin" / "composer"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m composer "$@"\n')
    program.chmod(0o755)
    asked = (
        f"{script}\nCOMP_WORDS=(composer run home.yaml --only task/); COMP_CWORD=4; "
        "_composer_completion composer; printf '%s\\n' \"${COMPREPLY[@]}\"\n"
    )
    run = subprocess.run(
        ["bash", "-c", asked],
        capture_output=True,
        text=True,
        check=True,
        cwd=shelf,
        env={
            **os.environ,
            "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        },
    )
    assert run.stdout.split() == ["task/intent", "task/domain"]


def test_another_shell_is_refused(tmp_path: Path):
    outcome = composer(tmp_path, "completion", "tcsh")
    assert outcome.status == 2
    assert "'bash', 'zsh', 'fish'" in outcome.err
