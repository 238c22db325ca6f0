"""Hide tokens of a text, for masked language modelling.

    ids      <s> turn on the lamp </s>
    input    <s> turn on <mask> lamp </s>
    labels   -100 -100 -100 the -100 -100

As in BERT (Devlin et al., 2019): of the tokens chosen, 8 in 10 become the mask token, 1 in 10
another token, 1 in 10 stay. Drawn anew each time a batch is made.
"""

import numpy as np
from numpy.typing import NDArray

from composer.data.bio import IGNORED


def mask_tokens(
    input_ids: NDArray[np.int64],
    special_mask: NDArray[np.integer],
    *,
    mask_id: int,
    vocabulary: int | NDArray[np.int64],
    rng: np.random.Generator,
    share: float = 0.15,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose tokens, hide them, and say what they were.

    Args:
        input_ids: Of a batch, (rows, tokens).
        special_mask: Not 0 at special tokens and padding, which are never chosen.
        mask_id: The mask token.
        vocabulary: What a token may be replaced by: ids, or a number for all below it.
        rng: Where chance comes from; only uniform numbers are drawn.
        share: Of the tokens that is chosen; a row that has any gets at least one.

    Returns:
        The new ids, and labels: the old id where a token was chosen, else `IGNORED`.
    """
    may = special_mask == 0
    lot = np.where(may, rng.random(input_ids.shape), np.inf)
    chosen = lot < share
    forced = may.any(axis=1) & ~chosen.any(axis=1)
    if forced.any():
        chosen[forced, lot[forced].argmin(axis=1)] = True
    labels = np.where(chosen, input_ids, IGNORED)
    fate = rng.random(input_ids.shape)
    candidates = np.arange(vocabulary) if isinstance(vocabulary, int) else vocabulary
    others = candidates[(rng.random(input_ids.shape) * len(candidates)).astype(np.int64)]
    hidden = np.where(chosen & (fate < 0.8), mask_id, input_ids)
    hidden = np.where(chosen & (fate >= 0.8) & (fate < 0.9), others, hidden)
    return hidden.astype(np.int64), labels.astype(np.int64)
