"""Run every benchmark and write what they found into docs/benchmarks.md.

    python benchmarks/report.py                  all of them, some 25 minutes on two cores
    python benchmarks/report.py train fusion     these; what the page says of others stays

A script's part of the page stands between two lines and is written by this alone:

    <!-- measured: train -->
    <!-- end of train -->

The rest of the page is written by hand.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
PLOT = HERE.parent / "docs" / "growth.svg"
SCRIPTS = ("train", "parts", "fusion", "inference", "memory", "cli", "growth", "device")
LONGER = ("scores",)  # by `make bench-scores` alone
MORE = {"growth": ["--plot", str(PLOT)]}

Found = Mapping[str, Any]  # what a script prints with --json


def main() -> None:
    """Run the scripts one after another; each one's part is written as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scripts", nargs="*", default=list(SCRIPTS))
    for name in parser.parse_args().scripts:
        if name not in (*SCRIPTS, *LONGER):
            known = ", ".join((*SCRIPTS, *LONGER))
            raise SystemExit(f"{name!r}: no such benchmark; there are {known}")
        start = time.perf_counter()
        part = told(name, found_by(name))
        PAGE.write_text(with_part(PAGE.read_text(encoding="utf-8"), name, part), encoding="utf-8")
        print(f"{name}: {time.perf_counter() - start:.0f} s")


def found_by(name: str) -> Found:
    """Run a script in a process of its own."""
    command = [sys.executable, str(HERE / f"{name}.py"), "--json", *MORE.get(name, [])]
    env = {**os.environ, "PYTHONWARNINGS": "ignore"}
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=env)
    if run.returncode:
        raise SystemExit(f"{name}.py failed; run it alone to see why")
    found: Found = json.loads(run.stdout.splitlines()[-1])
    return found


def with_part(page: str, name: str, part: str) -> str:
    """Put a script's part into the page.

    >>> print(with_part("<!-- measured: a --> old <!-- end of a -->", "a", "new"))
    <!-- measured: a -->
    <BLANKLINE>
    new
    <BLANKLINE>
    <!-- end of a -->
    """
    begin, end = f"<!-- measured: {name} -->", f"<!-- end of {name} -->"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise SystemExit(f"{PAGE} must hold {begin!r} and {end!r}, each once")
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n\n{part.strip()}\n\n{end}{rest.partition(end)[2]}"


def told(name: str, found: Found) -> str:
    """Write a report as Markdown."""
    if name == "device":
        return "\n".join([*_device(found["rows"]), "", *_bundle(found["bundle"])])
    lines = [found["question"], "", _machine(found["machine"]), ""]
    lines += ["| what | who | over | median | lowest to highest | promised | | |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- | --- |"]
    lines += [_line(one) for one in found["rows"]]
    return "\n".join(lines)


def _machine(machine: Mapping[str, str]) -> str:
    return "; ".join(f"{name} {value}" for name, value in machine.items()) + "."


def _line(one: Found) -> str:
    spread = f"{_short(one['lowest'])} to {_short(one['highest'])}"
    verdict = {None: "", True: "met", False: "**not met**"}[one["met"]]
    cells = [one["what"], one["by"], one["over"], _short(one["ratio"]), spread, one["promised"]]
    return f"| {' | '.join([*cells, verdict, one['detail']])} |"


def _short(number: float) -> str:
    return f"{number:.2f}" if abs(number) < 10 else f"{number:.1f}"


def _device(rows: list[Found]) -> list[str]:
    lines = ["| backbone | tokens | variant | ms | over the plain graph | promised |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for one in rows:
        promised = f"at most {one['promised']:.2f}" if one["promised"] else ""
        name, tokens, variant = one["backbone"], one["tokens"], one["variant"]
        figures = f"{one['milliseconds']:.2f} | {one['ratio']:.3f}"
        lines.append(f"| {name} | {tokens} | {variant} | {figures} | {promised} |")
    return lines


def _bundle(bundle: Mapping[str, list[Any]]) -> list[str]:
    lines = ["| a bundle of a hundred adapters | | promised |", "| --- | --- | --- |"]
    for what, (value, unit, promised) in bundle.items():
        told = "" if promised is None else f"at most {promised:g} {unit}".strip()
        lines.append(f"| {what} | {re.sub(' $', '', f'{value:.3f} {unit}')} | {told} |")
    return lines


if __name__ == "__main__":
    main()
