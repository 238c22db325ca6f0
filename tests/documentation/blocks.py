"""The fenced blocks of a page, and what a page says about how each is run.

    <!-- not run: network -->     the next block is shown only, and why; see `REASONS`
    <!-- run: without torch -->   the next block is run where torch cannot be imported
    <!-- file: home.yaml -->      the next block is what the reader saves under that name

Blocks without a mark are run if they are `sh` or `python`, checked as (a part of) a recipe if they
are `yaml`, and shown if they are anything else: output, data, a drawing. A `console`, commands with
what they answered, must have one.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# What a block may need that a test has not.
REASONS = {
    "network": "fetches packages, or talks to a hub or bucket",
    "cluster": "needs the machines of a cluster",
    "long": "takes minutes to hours; a shorter form of it is run elsewhere",
    "own": "needs something of the reader's own",
}
SHELLS = {"sh", "bash"}
RUN = {*SHELLS, "python", "console"}

_BLOCK = re.compile(
    r"(?:^<!-- (?P<word>[a-z ]+): (?P<value>[^\n]+?) -->\n)?"
    r"^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: Its info string.
        text: What it holds.
        line: Of the fence, counted from 1.
        word: Of the mark before it: "run", "not run", "file" or nothing.
        value: What the mark says.
    """

    language: str
    text: str
    line: int
    word: str = ""
    value: str = ""

    @property
    def is_run(self) -> bool:
        return self.language in RUN and self.word not in ("not run", "file")


def blocks_of(page: Path) -> list[Block]:
    """List the blocks of a page, in its order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            language=found["language"],
            text=found["text"],
            line=text.count("\n", 0, found.start("language")) + 1,
            word=found["word"] or "",
            value=found["value"] or "",
        )
        for found in _BLOCK.finditer(text)
    ]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()
