"""What is minimised: one loss a task type, and what draws a fusion's V to the identity."""

import torch.nn.functional as F
from torch import Tensor

from composer.data.bio import IGNORED
from composer.model.parts import Owned
from composer.recipe.grammar.tasks import TaskType


def task_loss(type: TaskType, logits: Tensor, labels: Tensor) -> Tensor:
    """Give the mean loss over a batch.

    Args:
        type: Of the task.
        logits: (batch, classes), or (batch, tokens, tags) for token classification.
        labels: (batch,) classes or numbers, (batch, classes) of 1.0 and 0.0, or (batch, tokens)
            tags.
    """
    if type == "multi-label-classification":
        return F.binary_cross_entropy_with_logits(logits, labels)
    if type == "regression":
        return F.mse_loss(logits.squeeze(-1), labels)
    if type == "token-classification":
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
    return F.cross_entropy(logits, labels)


def fusion_penalty(owned: Owned | None, weight: float) -> Tensor | float:
    """Give weight * sum |V - I|^2 of all fusions (Pfeiffer et al., 2021, section 3.2)."""
    if owned is None or weight == 0 or not any(name.endswith(".value") for name in owned.names):
        return 0.0
    return weight * owned.identity_distance()
