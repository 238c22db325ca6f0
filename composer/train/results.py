"""What stages say of themselves, as files that reports read without torch.

training.json   steps, history, trainable parameters, numbers of examples
scores.json     scores of one composition in one language, and its fusion's mean shares
loss.json       masked-LM loss of one language's adapter on text of one language
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from composer.bundle.files import read_json, write_json
from composer.errors import StoreError
from composer.recipe.grammar.data import Split
from composer.recipe.grammar.tasks import Score


class _Result(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def write(self, file: Path) -> None:
        """Write it canonically."""
        write_json(file, self.model_dump(mode="json"))


class TrainingFile(_Result):
    """What a training did.

    Attributes:
        steps: Optimiser updates.
        epochs: Passes that were completed.
        best_epoch: The pass whose weights were kept, counted from 1.
        best_score: Its validation score; None without validation. A language adapter's is
            minus the held-out loss.
        history: One entry an epoch: mean loss, score.
        trainable_parameters: Of the adapter, or of what a composition owns, and the head.
        seed: Of everything random.
        training_examples: Learnt from.
        validation_examples: Judged by.
    """

    steps: int
    epochs: int
    best_epoch: int
    best_score: float | None
    history: tuple[dict[str, float | None], ...]
    trainable_parameters: int
    seed: int
    training_examples: int
    validation_examples: int


class MeanShares(_Result):
    """How much each member of a fusion weighs, on average over tokens.

    Attributes:
        mean: A share a member, in order; they add to 1.
        sites: The same at each site.
    """

    mean: tuple[float, ...]
    sites: dict[str, tuple[float, ...]]


class ScoresFile(_Result):
    """Scores of one composition in one language.

    Attributes:
        scores: By name; all that the task's type has.
        n: How many examples.
        language: Of the examples.
        split: Which part of the data.
        seed: Of the training.
        shares: Of each fusion or gate, in order.
        data_digest: Of what was scored.
    """

    scores: dict[Score, float]
    n: int
    language: str
    split: Split
    seed: int
    shares: tuple[MeanShares, ...]
    data_digest: str


class LossFile(_Result):
    """Masked-LM loss of one adapter, or of none, on held-out text of one language.

    Attributes:
        loss: Mean over the hidden pieces, in nats.
        pieces: That were hidden.
        texts: Rows that were read.
        covered: Share of the text's pieces that the head scores.
        language: Of the text.
        split: Which part of it.
    """

    loss: float
    pieces: int
    texts: int
    covered: float
    language: str
    split: Split


def read_training(folder: Path) -> TrainingFile:
    """Read a stage's `training.json`."""
    return TrainingFile.model_validate(read_json(folder / "training.json", error=StoreError))


def read_scores(folder: Path) -> ScoresFile:
    """Read a stage's `scores.json`."""
    return ScoresFile.model_validate(read_json(folder / "scores.json", error=StoreError))


def read_loss(folder: Path) -> LossFile:
    """Read a stage's `loss.json`."""
    return LossFile.model_validate(read_json(folder / "loss.json", error=StoreError))
