"""The records that a manifest is made of; each field says what it means."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from composer.bundle.header import TensorType
from composer.bundle.layout import Kind
from composer.recipe.grammar.block import LanguageTag
from composer.recipe.grammar.bundles import GraphPrecision
from composer.recipe.grammar.data import Split
from composer.recipe.grammar.meaning import class_count
from composer.recipe.grammar.tasks import Score, TaskType

FILE_LIMIT = 2**31  # bytes

Role = Literal["language", "task", "composition", "head"]


def _tensor_type(text: str) -> str:
    TensorType.parse(text)
    return text


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
PartName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_@-]{0,99}(\.[a-z]{1,16})?$")]
CompositionName = Annotated[
    str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}(:[A-Za-z0-9-]{2,40})?$")
]
GraphName = Annotated[str, Field(pattern=r"^graph(-[2-9])?$")]
Licence = Annotated[str, Field(pattern=r"^[A-Za-z0-9.+() :-]{1,200}$")]
Type = Annotated[str, AfterValidator(_tensor_type)]
Count = Annotated[int, Field(ge=1)]


class Record(BaseModel):
    """A block of the manifest: immutable, and every key it does not know is a fault."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, revalidate_instances="always"
    )


class FileRecord(Record):
    """A file of the bundle.

    Attributes:
        sha256: Of its bytes.
        bytes: How many it has.
    """

    sha256: Sha256
    bytes: Annotated[int, Field(ge=1, le=FILE_LIMIT)]


class ChangedTexts(Record):
    """What fewer pieces do to texts that had no part in choosing them.

    Attributes:
        language: Of the texts.
        texts: How many.
        changed: How many of them are cut into other pieces than by the whole vocabulary.
    """

    language: LanguageTag
    texts: Count
    changed: Annotated[int, Field(ge=0)]


class TrimmedRecord(Record):
    """That some rows of a backbone's vocabulary were kept; `backbone.json` lists which.

    Attributes:
        parent: Fingerprint of the whole vocabulary; the body is the same.
        rows: How many token embeddings that has.
        kept: How many are left.
        changed: A language each, sorted.
    """

    parent: Sha256
    rows: Count
    kept: Count
    changed: tuple[ChangedTexts, ...] = ()


def row_fault(rows: object, trimmed: TrimmedRecord) -> str:
    """Hold the rows that were kept to their number, and to the whole vocabulary's."""
    if (
        isinstance(rows, list)
        and all(type(one) is int for one in rows)
        and all(one < other for one, other in pairwise([-1, *rows, trimmed.rows]))
        and len(rows) == trimmed.kept
    ):
        return ""
    return f"rows: must be {trimmed.kept:,} ascending numbers below {trimmed.rows:,}"


class BackboneRecord(Record):
    """The backbone that a bundle was made for.

    Attributes:
        name: As in the recipe; of a folder its last name only.
        source: Where it came from.
        revision: The commit on a hub.
        body: Fingerprint of all weights but the token embeddings.
        vocabulary: Fingerprint of token embeddings and tokenizer.
        tokenizer: SHA-256 of `tokenizer.json`.
        model_type: As in its `config.json`, for example "bert".
        hidden_size: Numbers a token.
        layers: How many.
        max_tokens: Longest input, in tokens with the special ones.
        parameters: Numbers in it, its token embeddings included.
        token_parameters: Numbers in its token embeddings.
        trimmed: Where token embeddings were left out; None: they are all there.
    """

    name: Annotated[str, Field(min_length=1, max_length=200)]
    source: Literal["sample", "hub", "folder"]
    revision: str | None = None
    body: Sha256
    vocabulary: Sha256
    tokenizer: Sha256
    model_type: Annotated[str, Field(min_length=1, max_length=100)]
    hidden_size: Annotated[int, Field(ge=1, le=2**20)]
    layers: Annotated[int, Field(ge=1, le=1000)]
    max_tokens: Annotated[int, Field(ge=1, le=2**20)]
    parameters: Count
    token_parameters: Count
    trimmed: TrimmedRecord | None = None


class PartRecord(FileRecord):
    """One trained thing: an adapter, a fusion, norms or a head.

    Attributes:
        kind: Which tensors it has; see `composer.bundle.layout`.
        role: What it is for.
        config: How it was made and is to be run: placement, non-linearity and so on.
        parents: Keys of the stages, or hashes of the files, that it was trained from.
        file: Where its tensors are.
        tensors: Name -> type, as in "F32[24,384]".
        parameters: How many numbers that is.
    """

    kind: Kind
    role: Role
    config: dict[str, JsonValue] = {}
    parents: tuple[Sha256, ...] = ()
    file: str
    tensors: dict[str, Type]
    parameters: Count

    @property
    def types(self) -> dict[str, TensorType]:
        """Tell the tensors' types, taken apart."""
        return {name: TensorType.parse(text) for name, text in self.tensors.items()}


class CompositionRecord(Record):
    """What the device asks for by name.

    Attributes:
        expression: In the notation of recipes, with no `$language` left in it.
        parts: Adapters, fusions and norms that it is made of.
        head: The part that predicts.
        type: What is predicted.
        labels: The label set in order; empty for a regression.
        pooling: How a sentence becomes one vector.
        languages: What it is meant for.
        graph: Which graph of the bundle runs it; None: the bundle has none.
    """

    expression: str
    parts: tuple[PartName, ...]
    head: PartName
    type: TaskType
    labels: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    pooling: Literal["mean", "first"] = "mean"
    languages: tuple[LanguageTag, ...] = ()
    graph: GraphName | None = None

    @property
    def outputs(self) -> int:
        """How many numbers the head predicts, for a sentence or for each of its tokens."""
        return class_count(self.type, self.labels)


class ScoreRecord(Record):
    """A score that was measured.

    Attributes:
        composition: Its name in the bundle.
        language: Of the examples.
        split: Which part of the data.
        score: Which score.
        value: From 0 to 1, or -1 to 1 for a correlation.
        n: How many examples.
        seed: Of the training.
        data_digest: Of the data that was scored.
        precision: float32: of the trained model; else of the bundle's graph.
        trimmed: Whether it is of the bundle's graph, with fewer pieces, in float32 too.
    """

    composition: CompositionName
    language: LanguageTag
    split: Split
    score: Score
    value: Annotated[float, Field(ge=-1, le=1)]
    n: Count
    seed: Annotated[int, Field(ge=0)]
    data_digest: Sha256
    precision: GraphPrecision = "float32"
    trimmed: bool = False

    @property
    def variant(self) -> str:
        """Say what was scored: "float32", the trained model; or a graph, as "int8, trimmed"."""
        return f"{self.precision}, trimmed" if self.trimmed else self.precision


class SelfTestCase(Record):
    """An input, and what the head must answer.

    Attributes:
        composition: Its name in the bundle.
        text: The sentence.
        pair: The second sentence of a pair.
        expected: A row of the head's outputs; for token classification one row a token.
        by_graph: The same of the bundle's graph, where its precision is not float32.
    """

    composition: CompositionName
    text: Annotated[str, Field(min_length=1)]
    pair: str | None = None
    expected: Annotated[tuple[tuple[float, ...], ...], Field(min_length=1)]
    by_graph: tuple[tuple[float, ...], ...] | None = None


class SelfTest(Record):
    """What a device runs to see that it computes what was trained.

    Attributes:
        tolerance: Largest difference, as a share of the largest expected output.
        graph_tolerance: The same where a graph's precision is not float32: processors round
            8-bit products in their own ways.
        cases: Inputs and outputs.
    """

    tolerance: Annotated[float, Field(gt=0, le=1)] = 1e-4
    graph_tolerance: Annotated[float, Field(gt=0, le=1)] = 0.05
    cases: tuple[SelfTestCase, ...] = ()
