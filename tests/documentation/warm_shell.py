"""A shell in which `composer` and `python` begin at once.

One process has imported everything. In the shell, `composer` and `python` are small programs that
hand it their arguments, folder, environment and open files; it forks a child that carries the
command out as itself, and hands back the exit status. So a page of twenty commands takes the
imports of one.

    with WarmShell(folder) as shell:
        shell.run("composer check home.yaml > said.txt", cwd=folder)
        session = shell.session(folder)
        session.run("x = 1")
        session.run("print(x)")
"""

import contextlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.warm import FORKS

_SECONDS = 1200  # that no block takes, on a machine with other work either
_PROGRAM = """\
#!{python} -IS
import json, os, socket, sys
said = {{"name": {name!r}, "arguments": sys.argv[1:]}}
said |= {{"folder": os.getcwd(), "environment": dict(os.environ)}}
with socket.socket(socket.AF_UNIX) as door:
    door.connect({place!r})
    socket.send_fds(door, [json.dumps(said).encode() + b"\\n"], [0, 1, 2])
    sys.exit(int(door.makefile("rb").readline()))
"""


class Session:
    """Python that goes on from one block to the next.

    Args:
        door: Where to knock.
        folder: To be in.
        environment: To have.
    """

    def __init__(self, door: str, folder: Path, environment: Mapping[str, str]) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(door)
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        about = {"folder": str(folder), "environment": {**os.environ, **environment}}
        self._send({"name": "session", "arguments": [], **about}, [self._said.fileno()] * 3)
        self._answers = self._socket.makefile("rb")

    def run(self, code: str) -> tuple[int, str]:
        """Run code; give 0 if all went well, and what it printed."""
        start = self._said.seek(0, os.SEEK_END)
        self._send({"code": code}, [])
        status = int(self._answers.readline() or b"1")
        self._said.seek(start)
        return status, self._said.read()

    def close(self) -> None:
        """End it."""
        self._answers.close()
        self._socket.close()
        self._said.close()

    def _send(self, message: Mapping[str, object], files: list[int]) -> None:
        socket.send_fds(self._socket, [json.dumps(message).encode() + b"\n"], files)


class WarmShell:
    """A shell whose commands of ours are forks of one process.

    Args:
        folder: For its programs.
        before: Called once in the process, before any command.
    """

    def __init__(self, folder: Path, before: Sequence[Callable[[], object]] = ()) -> None:
        self._programs = folder / "bin"
        self._programs.mkdir(parents=True)
        self._place = tempfile.TemporaryDirectory()  # short, as the address of a socket must be
        self._address = f"{self._place.name}/door"
        for name in ("composer", "python"):
            program = self._programs / name
            program.write_text(
                _PROGRAM.format(python=sys.executable, name=name, place=self._address)
            )
            program.chmod(0o755)
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(self._address)
        self._door.listen()
        self._process = FORKS.Process(target=_serve, args=(self._door, before))

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.join()
        self._door.close()
        self._place.cleanup()

    def session(self, folder: Path, environment: Mapping[str, str] | None = None) -> Session:
        """Begin Python in a folder."""
        return Session(self._address, folder, environment or {})

    def run(
        self, script: str, *, cwd: Path, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a script of bash; the first command that fails ends it."""
        path = f"{self._programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=cwd,
            env={**os.environ, "PATH": path, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
        )


def _serve(door: socket.socket, before: Sequence[Callable[[], object]]) -> None:
    """Fork a child for each that knocks, for ever."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    for function in before:
        function()
    while True:
        guest, _ = door.accept()
        if os.fork() == 0:
            door.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _answer(guest)
        guest.close()


def _answer(guest: socket.socket) -> None:
    """Be the command that was asked for, and tell its exit status."""
    message, files, _, _ = socket.recv_fds(guest, 1 << 20, 3)
    while not message.endswith(b"\n"):
        message += guest.recv(1 << 20)
    said = json.loads(message)
    for number, file in enumerate(files):
        os.dup2(file, number)
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
        for number, mode in enumerate("rww")
    )
    os.chdir(said["folder"])
    os.environ.clear()
    os.environ.update(said["environment"])
    if said["name"] == "session":
        names: dict[str, object] = {"__name__": "__main__"}
        for line in guest.makefile("rb"):
            code = compile(json.loads(line)["code"], "<block>", "exec")
            _tell(guest, _status_of(lambda code=code: exec(code, names)))  # type: ignore[misc]
    else:
        _tell(guest, _status_of(_COMMANDS[said["name"]], said["arguments"]))
    os._exit(0)


def _tell(guest: socket.socket, status: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.suppress(OSError):
        guest.sendall(b"%d\n" % status)


def _composer(arguments: list[str]) -> None:
    from composer.cli.main import main

    main(arguments)


def _python(arguments: list[str]) -> None:
    sys.argv = arguments
    sys.path.insert(0, str(Path(arguments[0]).parent))
    runpy.run_path(arguments[0], run_name="__main__")


_COMMANDS: Mapping[str, Callable[[list[str]], None]] = {"composer": _composer, "python": _python}


def _status_of(work: Callable[..., object], *arguments: object) -> int:
    """Do some work; give its exit status, and print the traceback of a defect."""
    try:
        work(*arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
