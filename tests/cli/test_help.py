"""What `--help` says, and that saying it reads no heavy library."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from composer.cli.main import COMMANDS, group
from tests.cli.terminal import ROOT, composer

HEAVY = ("torch", "transformers", "adapters", "datasets", "accelerate", "sklearn", "numpy")
SAMPLES = ("samples list", "samples show")


def help_of(command: str) -> list[str]:
    outcome = composer(ROOT, *command.split(), "--help")
    assert outcome.status == 0
    assert outcome.err == ""
    return outcome.out.splitlines()


def test_each_command_is_listed_with_the_first_line_of_its_own_help():
    lines = help_of("")
    listed = lines[lines.index("Commands:") + 1 :]
    assert [line.split(maxsplit=1) for line in listed] == [
        [name, help_of(name)[2].strip()] for name in COMMANDS
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_first_line_of_help_is_the_first_of_the_docstring(name: str):
    command = group.get_command(click.Context(group), name)
    assert command is not None
    assert (command.help or "").splitlines()[0] == COMMANDS[name]


@pytest.mark.parametrize("command", ["", *COMMANDS, *SAMPLES])
def test_every_help_has_an_example_that_is_a_command(command: str):
    lines = help_of(command)
    place = lines.index("  Example:")
    examples = [line for line in lines[place + 1 :] if line.startswith("    composer ")]
    assert examples
    for line in examples:
        assert line.split()[1] in COMMANDS
        assert command in line


@pytest.mark.parametrize("command", [*COMMANDS, *SAMPLES])
def test_every_option_says_what_it_is_for(command: str):
    context = click.Context(group)
    found: click.Command | None = group
    for word in command.split():
        assert isinstance(found, click.Group)
        found = found.get_command(context, word)
    assert found is not None
    options = [one for one in found.params if isinstance(one, click.Option)]
    assert [one.name for one in options if not one.help] == []


def test_help_of_every_command_reads_no_heavy_library():
    code = (
        "import contextlib, io, json, sys\n"
        "from composer.cli.main import COMMANDS, main\n"
        "for name in ['', *COMMANDS]:\n"
        "    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "        main([*name.split(), '--help'])\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not set(HEAVY) & set(json.loads(done.stdout))


def test_a_plan_and_a_run_of_what_is_done_read_no_torch(run_project: Path):
    code = (
        "import json, sys\n"
        "from composer.cli.main import main\n"
        "for command in ('check', 'plan', 'run'):\n"
        "    try:\n"
        "        main([command, 'home.yaml'])\n"
        "    except SystemExit as done:\n"
        "        assert done.code == 0\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=run_project,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert not {"torch", "transformers", "adapters", "datasets"} & loaded


def test_the_version_is_told():
    assert composer(ROOT, "--version").out.startswith("composer, version ")


def test_no_command_is_help_and_a_fault():
    outcome = composer(ROOT)
    assert outcome.status == 2
    assert "Commands:" in outcome.err
