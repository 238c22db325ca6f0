"""The command line as tests use it: called in this process, or as a process of its own."""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from composer.cli.main import main

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    """What a command ended with."""

    status: int | str | None
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out, parse_constant=_refuse)

    @property
    def rows(self) -> list[list[str]]:
        """The cells of what was printed as a table; no cell here holds two spaces."""
        return [[c for c in line.split("  ") if c.strip()] for line in self.out.splitlines()]


def composer(folder: Path, *arguments: str | Path, stdin: bytes = b"") -> Outcome:
    """Run one command in a folder."""
    out, err = io.StringIO(), io.StringIO()
    status: int | str | None = None
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(stdin))
    try:
        with (
            contextlib.chdir(folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            main([str(one) for one in arguments])
    except SystemExit as exit_:
        status = exit_.code
    finally:
        sys.stdin = before
    return Outcome(status, out.getvalue(), err.getvalue())


def start(folder: Path, *arguments: str | Path) -> subprocess.Popen[str]:
    """Start a command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "composer", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def published(store: Path) -> Mapping[str, bytes]:
    """Give every byte that a store has published, and its labels."""
    return {
        path.relative_to(store).as_posix(): path.read_bytes()
        for part in ("objects", "refs")
        for path in sorted((store / part).rglob("*"))
        if path.is_file()
    }


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
