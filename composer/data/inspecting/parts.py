"""Examples of one split in one language, and how some of them are shown in a warning."""

from collections.abc import Sequence
from dataclasses import dataclass

from composer.data.examples import Example
from composer.data.texts import shortened
from composer.recipe.grammar.data import Split

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SHOWN = 3  # examples in a warning


@dataclass(frozen=True, kw_only=True)
class Part:
    """Examples of one split in one language.

    Attributes:
        source: Name of the data source in the recipe.
        language: Of the texts.
        split: Which.
        examples: In the order of the source.
    """

    source: str
    language: str
    split: Split
    examples: Sequence[Example]

    @property
    def place(self) -> str:
        """Say which part this is, for a warning."""
        return f"data.{self.source} ({self.language}, {self.split})"


def share(some: int, of: int) -> str:
    """Say how many of how many.

    >>> share(3, 1200)
    '3 of 1,200 texts (0.2 %)'
    """
    return f"{some:,} of {of:,} texts ({100 * some / of:.1f} %)"


def shown(examples: Sequence[Example]) -> str:
    """Show the first of some examples, each with its place."""
    return "; ".join(f"{one.place} {shortened(one.text)}" for one in examples[:SHOWN])


def whole(example: Example) -> str:
    """Give all that an example says: its text, and its second text."""
    return example.text if example.pair is None else f"{example.text}\n{example.pair}"
