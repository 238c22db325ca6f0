"""`composer doctor`, and `composer completion`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from composer.cli.main import group
from composer.cli.shells import Bash, Fish, Zsh
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
    "behind an equals sign": ("composer run home.yaml --only = task/in", ["task/intent"]),
    "behind a bare one": ("composer run home.yaml --profile =", ["smoke"]),
    "behind a colon": ("composer predict voices --composition few : d", ["de"]),
    "at a colon": ("composer predict voices --composition few :", ["de", "en"]),
    "both": ("composer predict voices --composition = few : d", ["de"]),
    "after such an option": ("composer run home.yaml --only = task/in --prof", ["--profile"]),
}
VOICES = """{"compositions": {"few:de": {}, "few:en": {}, "intent": {}, "few\\nplain,rm": {},
"fe\\u001b[2J": {}, "few;touch hacked": {}, "few$(touch hacked)": {}, "--set": {}, "few,de": {}}}"""


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
    (folder / "voices").mkdir()
    (folder / "voices" / "manifest.json").write_text(VOICES)
    return folder


def completed(folder: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give what bash is told for a line that ends where the cursor is."""
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    monkeypatch.chdir(folder)
    return Bash(group, {}, "composer", "_COMPOSER_COMPLETE").complete().splitlines()


@pytest.mark.parametrize("case", COMPLETED)
def test_names_are_completed(shelf: Path, monkeypatch: pytest.MonkeyPatch, case: str):
    line, expected = COMPLETED[case]
    assert completed(shelf, line, monkeypatch) == [f"plain,{one}" for one in expected]


def test_files_are_left_to_the_shell(shelf: Path, monkeypatch: pytest.MonkeyPatch):
    assert completed(shelf, "composer run ho", monkeypatch) == ["file,ho"]


def test_a_bundle_can_put_neither_lines_nor_commands_into_a_shell(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
):
    line = "composer predict voices --composition ''"
    names = ["few:de", "few:en", "intent"]
    assert completed(shelf, line, monkeypatch) == [f"plain,{name}" for name in names]


@pytest.mark.parametrize(
    ("shell", "at", "said"),
    [
        (Zsh, "3", "plain\n--only=task/intent\n_"),
        (Fish, "--only=task/in", "plain,--only=task/intent"),
    ],
)
def test_a_shell_that_replaces_the_word_is_given_the_option_as_well(
    shelf: Path, monkeypatch: pytest.MonkeyPatch, shell: type[Zsh | Fish], at: str, said: str
):
    monkeypatch.setenv("COMP_WORDS", "composer run home.yaml --only=task/in")
    monkeypatch.setenv("COMP_CWORD", at)
    monkeypatch.chdir(shelf)
    assert shell(group, {}, "composer", "_COMPOSER_COMPLETE").complete() == said


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


# What each shell is asked to complete, and to print what it found, behind its script.
ASKED = {
    "bash": "COMP_WORDS=(composer run home.yaml --only = task/); COMP_CWORD=5; "
    "_composer_completion composer; printf '%s\\n' \"${COMPREPLY[@]}\"\n",
    "fish": "complete --do-complete 'composer run home.yaml --only task/'\n",
}


@pytest.mark.parametrize("shell", ASKED)
def test_a_shell_itself_completes_by_the_script(shelf: Path, tmp_path: Path, shell: str):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not here")
    script = well(shelf, "completion", shell).out
    program = tmp_path / "bin" / "composer"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m composer "$@"\n')
    program.chmod(0o755)
    run = subprocess.run(
        [shell, "-c", f"{script}\n{ASKED[shell]}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=shelf,
        env={
            **os.environ,
            "HOME": str(tmp_path),
            "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        },
    )
    assert sorted(run.stdout.split()) == ["task/domain", "task/intent"]


def test_another_shell_is_refused(tmp_path: Path):
    outcome = composer(tmp_path, "completion", "tcsh")
    assert outcome.status == 2
    assert "'bash', 'zsh', 'fish'" in outcome.err
