"""Hide tokens of a text, for masked language modelling.

    ids      <s> turn on the lamp </s>
    input    <s> turn on <mask> lamp </s>
    labels   -100 -100 -100 the -100 -100

As in BERT (Devlin et al., 2019): of the tokens chosen, 8 in 10 become the mask token, 1 in 10
another token, 1 in 10 stay. Drawn anew each time a batch is made.

With whole words, as BERT's authors did later, words are chosen and each piece of them is hidden:

    ids      <s> the bed ##side lamp </s>
    labels   -100 -100 bed side -100 -100
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
    continues: NDArray[np.integer] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose tokens, hide them, and say what they were.

    Args:
        input_ids: Of a batch, (rows, tokens).
        special_mask: Not 0 at special tokens and padding, which are never chosen.
        mask_id: The mask token.
        vocabulary: What a token may be replaced by: ids, or a number for all below it.
        rng: Where chance comes from; only uniform numbers are drawn.
        share: Of the tokens that is chosen; a row that has any gets at least one.
        continues: Not 0 where a token goes on with the word of the token before: words are chosen
            then, and never one of which a piece may not be. None: every token is by itself.

    Returns:
        The new ids, and labels: the old id where a token was chosen, else `IGNORED`.
    """
    may = special_mask == 0
    lot = rng.random(input_ids.shape)
    if continues is not None:
        may, lot = _by_words(may, lot, continues != 0)
    lot = np.where(may, lot, np.inf)
    chosen = lot < share
    forced = may.any(axis=1) & ~chosen.any(axis=1)
    if forced.any():
        least = lot[forced].min(axis=1, keepdims=True)
        chosen[forced] = lot[forced] == least  # all pieces of a word have the same
    labels = np.where(chosen, input_ids, IGNORED)
    fate = rng.random(input_ids.shape)
    candidates = np.arange(vocabulary) if isinstance(vocabulary, int) else vocabulary
    others = candidates[(rng.random(input_ids.shape) * len(candidates)).astype(np.int64)]
    hidden = np.where(chosen & (fate < 0.8), mask_id, input_ids)
    hidden = np.where(chosen & (fate >= 0.8) & (fate < 0.9), others, hidden)
    return hidden.astype(np.int64), labels.astype(np.int64)


def _by_words(
    may: NDArray[np.bool_], lot: NDArray[np.float64], continues: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Let all pieces of a word have its first one's lot, and be chosen only if all may be."""
    starts = ~continues
    starts[:, :1] = True  # a row goes on with no word of the row before
    word = np.cumsum(starts.ravel()) - 1
    may_word = np.bincount(word, weights=~may.ravel()) == 0
    shape = may.shape
    return may_word[word].reshape(shape), lot.ravel()[starts.ravel()][word].reshape(shape)
