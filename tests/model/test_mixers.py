"""What is kept of weights between batches, and when it is made anew."""

import torch
from torch.nn import Parameter

from composer.model.mixers import Kept


def test_what_is_made_of_frozen_weights_is_made_once():
    kept, made = Kept(), []
    weights = [Parameter(torch.ones(2), requires_grad=False) for _ in range(2)]

    def make() -> torch.Tensor:
        made.append(1)
        return torch.cat(list(weights))

    first = kept.of("both", weights, make)
    assert kept.of("both", weights, make) is first
    assert len(made) == 1
    kept.of("other", weights, make)
    assert len(made) == 2


def test_a_weight_that_changed_or_was_replaced_is_noticed():
    kept = Kept()
    weight = Parameter(torch.ones(3), requires_grad=False)

    def doubled() -> torch.Tensor:
        return kept.of("doubled", [weight], lambda: weight.detach() * 2)

    assert float(doubled().sum()) == 6
    weight.add_(1)
    assert float(doubled().sum()) == 12
    weight.data = torch.ones(3, dtype=torch.float64)
    assert doubled().dtype == torch.float64
    other = Parameter(torch.zeros(3), requires_grad=False)
    assert float(kept.of("doubled", [other], lambda: other.detach() * 2).sum()) == 0


def test_nothing_is_kept_while_a_gradient_is_wanted():
    kept = Kept()
    weight = Parameter(torch.ones(3))
    with torch.no_grad():
        kept.of("doubled", [weight], lambda: weight * 2)
    kept.of("doubled", [weight], lambda: weight * 2).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [2, 2, 2]


def test_what_was_made_while_predicting_can_be_used_while_training():
    kept = Kept()
    weight = Parameter(torch.ones(3), requires_grad=False)
    read = torch.ones(3, requires_grad=True)
    with torch.inference_mode():
        kept.of("doubled", [weight], lambda: weight * 2)
    (read * kept.of("doubled", [weight], lambda: weight * 2)).sum().backward()
    assert read.grad is not None
    assert read.grad.tolist() == [2, 2, 2]
