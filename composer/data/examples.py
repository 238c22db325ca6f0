"""One example of a task, whatever file, package or hub it came from.

A class, classes, spans, or a number for a pair:

    Example(text="turn on the lamp", label="HassTurnOn", place="train.csv:2")
    Example(text="turn on the lamp in the hall", label=("area", "name"))
    Example(text="turn on the lamp", spans=(Span(start=12, end=16, label="name"),))
    Example(text="A cat sat.", pair="A cat was sitting.", label=4.5)
"""

from dataclasses import dataclass

Label = str | float | tuple[str, ...] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A labelled stretch of a text.

    Attributes:
        start: Its first character, counted from 0.
        end: The character after its last.
        label: What it is.
    """

    start: int
    end: int
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One input of a task and what is to be learnt from it.

    Attributes:
        text: The input, exactly as it was found.
        pair: The second input of a pair.
        label: A classification's label, a regression's number, or the labels of a multi-label
            classification; None where there is none.
        spans: A token classification's spans, in the order of the text.
        place: Where it was found: "train.csv:7", "assistant/intent/fi/train:17".
    """

    text: str
    pair: str | None = None
    label: Label = None
    spans: tuple[Span, ...] = ()
    place: str = ""
