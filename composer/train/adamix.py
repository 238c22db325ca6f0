"""The loss of AdaMix: two passes by two routes, and how much their answers disagree.

    L = loss(z_A) + (KL(p_A | p_B) + KL(p_B | p_A)) / 2      (Wang et al., 2022, eq. 7 and 8)

A regression's answers disagree by the mean square of their difference. Labels are learnt from
the first route only.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from composer.data.bio import IGNORED
from composer.model.methods.adamix import Experts, draw_routes
from composer.recipe.grammar.tasks import TaskType
from composer.train.loop import Batch
from composer.train.objective import task_loss


def routed_loss(
    experts: Experts, answer: Callable[[], Tensor], batch: Batch, *, type: TaskType, seed: int
) -> Tensor:
    """Give the loss of one step.

    Args:
        experts: In the model that answers.
        answer: Runs the model: the batch's logits.
        batch: With the number of the step, which says what is drawn.
        type: Of the task.
        seed: Of the stage.
    """
    one, other = draw_routes(experts.ways, experts.experts, seed=seed, step=batch.step, count=2)
    with experts.routed(one):
        first = answer()
    with experts.routed(other):
        second = answer()
    labels = batch.tensors["labels"]
    return task_loss(type, first, labels) + disagreement(type, first, second, labels)


def disagreement(type: TaskType, one: Tensor, other: Tensor, labels: Tensor) -> Tensor:
    """Tell how far two answers are apart: a mean over what is learnt in the batch.

    Half of KL(p | q) + KL(q | p) is half of the sum of (p - q)(log p - log q).

    Args:
        type: Of the task.
        one: Logits: (batch, classes), or (batch, tokens, tags).
        other: Likewise.
        labels: Say which tokens are learnt.
    """
    if type == "regression":
        return F.mse_loss(one, other)
    if type == "multi-label-classification":  # each label is a question of its own, yes or no
        apart = (torch.sigmoid(one) - torch.sigmoid(other)) * (one - other)
        return apart.mean() / 2
    if type == "token-classification":
        one, other = one[labels != IGNORED], other[labels != IGNORED]
    logs = F.log_softmax(one, dim=-1), F.log_softmax(other, dim=-1)
    return ((logs[0].exp() - logs[1].exp()) * (logs[0] - logs[1])).sum(-1).mean() / 2
