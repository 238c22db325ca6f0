"""What a recipe may say of data: where examples lie, and how they are read."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from composer.recipe.grammar.block import Block, Share

Split = Literal["train", "validation", "test"]


class Columns(Block):
    """Which column of a file holds what; left out, the column of the same name is read.

    Attributes:
        text: The input, or for token classification the untokenised sentence.
        pair: The second input of a pair.
        label: The label of a classification, the number of a regression.
        spans: For token classification: a list of {start, end, label}, in characters.
        words: For token classification: a list of words, instead of text and spans.
        tags: A BIO tag a word.
    """

    text: str | None = None
    pair: str | None = None
    label: str | None = None
    spans: str | None = None
    words: str | None = None
    tags: str | None = None


class SplitPaths(Block):
    """One file a split; a split left out is held out of `train`.

    Attributes:
        train: Path to learn from.
        validation: Path to choose the best checkpoint on.
        test: Path to score on.
    """

    train: str
    validation: str | None = None
    test: str | None = None


class FileData(Block):
    """Files of the user's: CSV, JSON lines, Parquet, or plain text for a language.

    Attributes:
        source: Always "files".
        path: Relative to the recipe; `$language` in it is replaced. One path is split
            80 / 10 / 10 by a hash of the text, so equal texts share a split.
        columns: Names of the columns.
        truncate: Cut texts that are longer than the backbone takes, instead of refusing.
        label: Learn this one label alone, yes or no: the task is text-classification, and the
            data are those of a multi-label (or any) classification.
    """

    source: Literal["files"]
    path: str | SplitPaths
    columns: Columns = Columns()
    truncate: bool = False
    label: str | None = None


class SampleData(Block):
    """Data sampled out of an installed package; see `composer samples list`.

    Attributes:
        source: Always "sample".
        name: For example "assistant/intent".
        label: Learn this one label alone, yes or no: the task is text-classification, and the
            data are those of a multi-label (or any) classification.
    """

    source: Literal["sample"]
    name: str
    label: str | None = None


class HubSplits(Block):
    """Which split of a data set on the hub serves as which of composer's.

    Attributes:
        train: A split of the data set.
        validation: A split of the data set, or the share of `train` that is held out. Left out:
            the split of this name, and where there is none a tenth of `train`.
        test: As `validation`.
    """

    train: str = "train"
    validation: Share | str | None = None
    test: Share | str | None = None

    @model_validator(mode="after")
    def _leaves_some(self) -> "HubSplits":
        shares = [one for one in (self.validation, self.test) if isinstance(one, float)]
        if sum(shares) >= 1:
            raise ValueError("the shares that are held out leave nothing to train on")
        return self


class HubData(Block):
    """A data set on the Hugging Face Hub.

    Attributes:
        source: Always "hub".
        name: "owner/name".
        revision: A full commit (40 hex digits).
        config: The data set's configuration; `$language` in it is replaced.
        splits: Which of its splits are read; left out: those called train, validation and test.
        columns: Names of the columns.
        truncate: Cut texts that are longer than the backbone takes, instead of refusing.
        label: Learn this one label alone, yes or no: the task is text-classification, and the
            data are those of a multi-label (or any) classification.
    """

    source: Literal["hub"]
    name: str
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    config: str | None = None
    splits: HubSplits | None = None
    columns: Columns = Columns()
    truncate: bool = False
    label: str | None = None


DataSource = Annotated[FileData | SampleData | HubData, Field(discriminator="source")]
