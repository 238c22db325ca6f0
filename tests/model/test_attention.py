"""Attention and dropout of frozen layers, held to torch's own."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from composer.model.attention import attend, drop, kept_at_random

HEADS, WIDTH = 3, 4
SIZE = HEADS * WIDTH


def joined(texts: int, tokens: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(tokens)
    drawn = torch.randn(texts * tokens, 3 * SIZE, generator=generator, dtype=torch.float64)
    return drawn.to(dtype).requires_grad_()


def torchs(rows: Tensor, texts: int, hidden: Tensor | None) -> Tensor:
    query, key, value = rows.view(texts, -1, 3, HEADS, WIDTH).permute(2, 0, 3, 1, 4)
    mask = None if hidden is None else hidden.unsqueeze(1)
    seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return seen.transpose(1, 2).reshape(-1, SIZE)


def padding(*lengths: int) -> Tensor:
    mask = torch.arange(max(lengths)) >= torch.tensor(lengths).unsqueeze(1)
    return torch.zeros(mask.shape, dtype=torch.float64).masked_fill_(mask, -torch.inf).unsqueeze(1)


@pytest.mark.parametrize(
    ("texts", "tokens", "hidden"),
    [(1, 1, None), (2, 5, None), (3, 7, padding(7, 1, 4)), (2, 40, padding(40, 40))],
)
def test_attention_and_its_gradient_are_torchs(texts: int, tokens: int, hidden: Tensor | None):
    ours, theirs = joined(texts, tokens), joined(texts, tokens)
    got = attend(ours, texts=texts, heads=HEADS, hidden=hidden, dropout=0.0)
    expected = torchs(theirs, texts, hidden)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-13)
    upstream = torch.linspace(-1, 2, got.numel(), dtype=torch.float64).view_as(got)
    got.backward(upstream)
    expected.backward(upstream)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-12)
    assert theirs.grad is not None
    assert tokens == 1 or float(theirs.grad[:, :SIZE].abs().max()) > 0.01


def test_its_gradient_with_dropout_is_that_of_what_it_computed():
    def with_seed(rows: Tensor) -> Tensor:
        torch.manual_seed(5)
        return attend(rows, texts=2, heads=HEADS, hidden=padding(3, 2), dropout=0.4)

    rows = joined(2, 3)
    assert not torch.equal(
        with_seed(rows), attend(rows, texts=2, heads=HEADS, hidden=padding(3, 2), dropout=0.0)
    )
    assert torch.autograd.gradcheck(with_seed, (rows,))


def test_padding_reaches_no_text_and_gets_no_gradient():
    rows = joined(1, 4)
    attend(rows, texts=1, heads=HEADS, hidden=padding(2, 4)[:1], dropout=0.0)[:2].sum().backward()
    assert rows.grad is not None
    assert float(rows.grad[2:, SIZE:].abs().max()) == 0


def test_in_bfloat16_the_softmax_is_exact_to_the_products_operands():
    rows = joined(4, 9, torch.bfloat16)
    narrow = attend(rows.detach(), texts=4, heads=HEADS, hidden=None, dropout=0.0)
    exact = torchs(rows.detach().double(), 4, None)
    assert narrow.dtype == torch.bfloat16
    assert float((narrow.double() - exact).abs().max()) < 2**-7 * float(exact.abs().max())


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
