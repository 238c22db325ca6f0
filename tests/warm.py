"""Commands as processes of their own that begin at once, to be stopped and killed.

A process that has imported everything forks one child a command: real signals on real
processes, without the seconds that imports take. What a child does besides the command is said
by functions that are called in it first: see `tests.killing`.
"""

import itertools
import multiprocessing
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_SECONDS = 60  # that no command here takes
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.imported"])

_NUMBERS = itertools.count()

Before = Callable[[], object]


@dataclass(frozen=True)
class Warm:
    """A command that was begun.

    Attributes:
        process: Runs it.
        files: What it prints on stdout and stderr.
    """

    process: ForkServerProcess
    files: tuple[Path, Path]

    @property
    def out(self) -> str:
        return self.files[0].read_text()

    @property
    def err(self) -> str:
        return self.files[1].read_text()

    def wait(self, seconds: float = _SECONDS) -> int:
        """Wait until it has ended; give its exit status, or minus the signal."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
            raise AssertionError(f"still running after {seconds} s: {self.err}")
        return self.process.exitcode

    def wait_for(self, said: str) -> None:
        """Wait until a pattern is found in what it says on stderr."""
        until = time.monotonic() + _SECONDS
        while not re.search(said, self.err, re.MULTILINE):
            if time.monotonic() > until or not self.process.is_alive():
                self.process.kill()
                raise AssertionError(f"never said {said!r}: {self.err}")
            time.sleep(0.002)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.process.pid or 0, number)


def begin(folder: Path, *arguments: str, before: Sequence[Before] = ()) -> Warm:
    """Begin a command in a folder.

    Args:
        folder: To be in.
        arguments: Of the command.
        before: Called first, in the child.
    """
    name = f"said.{next(_NUMBERS)}"
    out, err = files = (folder / f"{name}.out", folder / f"{name}.err")
    for file in files:
        file.write_bytes(b"")
    process = FORKS.Process(target=_carry_out, args=(folder, arguments, out, err, before))
    process.start()
    return Warm(process, files)


def _carry_out(
    folder: Path, arguments: tuple[str, ...], out: Path, err: Path, before: Sequence[Before]
) -> None:
    from composer.cli.main import main

    for number, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_APPEND), number)
    sys.stdout, sys.stderr = (
        open(number, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
        for number in (1, 2)
    )
    os.chdir(folder)
    for function in before:
        function()
    main(arguments)
