"""Attention and dropout of frozen layers, held to torch's own."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from composer.model.attention import (
    Packing,
    attend,
    drop,
    kept_at_random,
    twice_differentiable,
)

HEADS, WIDTH = 3, 4
SIZE = HEADS * WIDTH


def joined(lengths: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(sum(lengths))
    drawn = torch.randn(sum(lengths), 3 * SIZE, generator=generator, dtype=torch.float64)
    return drawn.to(dtype).requires_grad_()


def packing(*lengths: int) -> Packing:
    return Packing.of(torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1))


def torchs(rows: Tensor, *lengths: int) -> Tensor:
    """Attention of each text alone."""
    found = []
    for text in rows.split(lengths):
        query, key, value = text.view(-1, 3, HEADS, WIDTH).permute(1, 2, 0, 3)
        seen = F.scaled_dot_product_attention(query, key, value)
        found.append(seen.transpose(0, 1).reshape(-1, SIZE))
    return torch.cat(found)


@pytest.mark.parametrize("lengths", [(1,), (5, 5), (7, 1, 4), (1, 40)])
def test_attention_and_its_gradient_are_torchs(lengths: tuple[int, ...]):
    ours, theirs = joined(lengths), joined(lengths)
    got = attend(ours, packing=packing(*lengths), heads=HEADS, dropout=0.0)
    expected = torchs(theirs, *lengths)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-13)
    upstream = torch.linspace(-1, 2, got.numel(), dtype=torch.float64).view_as(got)
    got.backward(upstream)
    expected.backward(upstream)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-12)
    assert theirs.grad is not None
    assert lengths == (1,) or float(theirs.grad[:, :SIZE].abs().max()) > 0.01


@pytest.mark.parametrize("lengths", [(5, 5), (7, 1, 4), (1, 40)])
def test_where_one_token_asks_it_sees_what_it_sees_among_all(lengths: tuple[int, ...]):
    of = packing(*lengths)
    first = of.numbers(0)
    seen, gradients = [], []
    for alone in (True, False):
        rows = joined(lengths)
        if alone:
            asking = rows[first, :SIZE]
            got = attend(rows[:, SIZE:], packing=of, heads=HEADS, dropout=0.0, asking=asking)
        else:
            got = attend(rows, packing=of, heads=HEADS, dropout=0.0)[first]
        got.backward(torch.linspace(-1, 2, got.numel(), dtype=torch.float64).view_as(got))
        seen.append(got.detach())
        gradients.append(rows.grad)
    torch.testing.assert_close(*seen, rtol=0, atol=1e-13)
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-12)
    assert seen[0].shape == (len(lengths), SIZE)


def test_one_token_asks_with_dropout_and_twice_differentiably():
    def asked(rows: Tensor, dropout: float = 0.0) -> Tensor:
        torch.manual_seed(5)
        asking, others = rows[:2, :SIZE], rows[:, SIZE:]
        return attend(others, packing=packing(3, 2), heads=HEADS, dropout=dropout, asking=asking)

    for dropout in (0.4, 0.0):
        assert torch.autograd.gradcheck(partial(asked, dropout=dropout), (joined((3, 2)),))
    with twice_differentiable():
        assert torch.autograd.gradgradcheck(asked, (joined((3, 2)),))


def test_cutting_and_sewing_are_the_other_way_round():
    of = packing(3, 1, 2)
    rows = torch.arange(6.0 * 3 * SIZE).view(6, 3 * SIZE)
    pieces = of.cut(rows, HEADS, parts=3)
    assert pieces.shape == (3, 3 * HEADS, 3, WIDTH)
    assert torch.equal(of.sew(pieces, HEADS), rows)
    value_of_last_text = pieces[2].view(3, HEADS, 3, WIDTH)[2, :, 1]
    assert torch.equal(value_of_last_text.flatten(), rows[5, 2 * SIZE :])


def test_its_gradient_with_dropout_is_that_of_what_it_computed():
    def with_seed(rows: Tensor, dropout: float = 0.4) -> Tensor:
        torch.manual_seed(5)
        return attend(rows, packing=packing(3, 2), heads=HEADS, dropout=dropout)

    rows = joined((3, 2))
    assert not torch.equal(with_seed(rows), with_seed(rows, 0.0))
    assert torch.autograd.gradcheck(with_seed, (rows,))


def test_in_bfloat16_the_softmax_is_exact_to_the_products_operands():
    rows = joined((9, 3), torch.bfloat16).detach()
    narrow = attend(rows, packing=packing(9, 3), heads=HEADS, dropout=0.0)
    exact = torchs(rows.double(), 9, 3)
    assert narrow.dtype == torch.bfloat16
    assert float((narrow.double() - exact).abs().max()) < 2**-7 * float(exact.abs().max())


def test_packing_and_spreading_are_the_other_way_round():
    of = packing(3, 1)
    rows = torch.arange(8.0).view(4, 2)
    grid = of.spread(rows)
    assert grid.view(2, 3, 2)[1].tolist() == [[6, 7], [0, 0], [0, 0]]
    assert torch.equal(of.pack(grid), rows)
    assert torch.equal(of.pack(of.fill(rows)), rows)
    assert packing(2, 2).cells is None


@pytest.mark.parametrize("probability", [0.1, 0.5])
def test_dropout_keeps_its_share_and_the_mean(probability: float):
    torch.manual_seed(1)
    values = torch.ones(400, 500)
    dropped = drop(values, probability)
    kept = dropped != 0
    assert abs(float(kept.float().mean()) - (1 - probability)) < 0.005
    assert abs(float(dropped.mean()) - 1) < 0.005
    assert len(dropped[kept].unique()) == 1
    # of the four masks in a random number, none depends on another
    quarters = kept.flatten().view(-1, 4).double()
    together = torch.corrcoef(quarters.T) - torch.eye(4)
    assert float(together.abs().max()) < 0.02
    assert all(abs(float(share) - (1 - probability)) < 0.01 for share in quarters.mean(0))


def test_dropouts_gradient_passes_where_values_did():
    values = torch.ones(30, 7, requires_grad=True)
    dropped = drop(values, 0.3)
    dropped.sum().backward()
    assert torch.equal(values.grad, dropped.detach())
    assert drop(values, 0.0) is values


def test_a_mask_follows_from_torchs_seed_and_has_any_size():
    torch.manual_seed(2)
    one = kept_at_random((5, 3), 0.5, torch.device("cpu"))
    torch.manual_seed(2)
    assert torch.equal(one, kept_at_random((5, 3), 0.5, torch.device("cpu")))
    assert one.shape == (5, 3)
    assert 0 < int(one.sum()) < 15
