"""What a recipe may say of bundles: what a device is given, and in which form."""

from typing import Annotated, Literal

from pydantic import Field

from composer.recipe.grammar.block import Block, Count, LanguageTag, Name

GraphPrecision = Literal["float32", "int8", "weight-int8"]
PartPrecision = Literal["float32", "float16"]


class Vocabulary(Block):
    """Fewer token embeddings: those that texts of some languages use.

    Attributes:
        data: Name of a data source. All of it but its test split says which pieces are kept; on
            the test split it is measured how many texts are cut into other pieces than before.
        languages: Of those texts.
        pieces: Fill up to so many with further pieces written in the same characters, the most
            frequent ones first; for texts that are few. Left out: those that occur.
    """

    data: Name
    languages: Annotated[tuple[LanguageTag, ...], Field(min_length=1)]
    pieces: Count | None = None


class StaticShape(Block):
    """One shape for every call, for compilers and accelerators that take no other.

    Attributes:
        batch: Texts at a time.
        tokens: Of each text, padding included; longer texts are refused, or cut.
    """

    batch: Annotated[int, Field(ge=1, le=1024)] = 1
    tokens: Annotated[int, Field(ge=8, le=2**16)]


class Bundle(Block):
    """What a device is given.

    Attributes:
        compositions: Names of compositions or tasks.
        languages: What `$language` is bound to; needed only where it occurs.
        precision: Put the backbone in, as a graph that devices run without torch: "float32";
            "int8", the fastest and a quarter of the size; "weight-int8", as small and nearly
            as exact as float32. Left out: parts only, for a device that has the backbone.
        part_precision: Of what was trained; "float16" halves the parts.
        vocabulary: Put a part of the token embeddings in: a multilingual backbone's are most of
            it. Needs `precision`.
        static: Fix the graph's shapes. Needs `precision`. Left out: any number of texts, of any
            length.
    """

    compositions: Annotated[tuple[Name, ...], Field(min_length=1)]
    languages: tuple[LanguageTag, ...] = ()
    precision: GraphPrecision | None = None
    part_precision: PartPrecision = "float32"
    vocabulary: Vocabulary | None = None
    static: StaticShape | None = None
