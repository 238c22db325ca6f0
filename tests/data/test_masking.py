import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from composer.data.bio import IGNORED
from composer.data.masking import mask_tokens

MASK = 4
VOCABULARY = 1000


def seeded(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def long_batch() -> tuple[np.ndarray, np.ndarray]:
    ids = seeded(0).integers(10, VOCABULARY, (200, 300))
    special = np.zeros_like(ids)
    special[:, 0] = special[:, -1] = 1
    return ids, special


def mask(
    ids: np.ndarray,
    special: np.ndarray,
    *,
    rng: np.random.Generator | None = None,
    vocabulary: int | np.ndarray = VOCABULARY,
    share: float = 0.15,
) -> tuple[np.ndarray, np.ndarray]:
    drawn = rng if rng is not None else seeded(1)
    return mask_tokens(ids, special, mask_id=MASK, vocabulary=vocabulary, rng=drawn, share=share)


def test_tokens_are_hidden_in_the_shares_of_bert():
    ids, special = long_batch()
    hidden, labels = mask(ids, special)
    chosen = labels != IGNORED
    assert chosen[special == 0].mean() == pytest.approx(0.15, abs=0.01)
    assert (hidden[chosen] == MASK).mean() == pytest.approx(0.8, abs=0.02)
    assert (hidden[chosen] == ids[chosen]).mean() == pytest.approx(0.1, abs=0.02)


rows = arrays.arrays(np.int64, st.tuples(st.integers(1, 6), st.integers(1, 12)),
                     elements=st.integers(0, 1))  # fmt: skip


@given(rows, st.integers(0, 99))
def test_labels_are_what_was_there_and_special_tokens_stay(special: np.ndarray, seed: int):
    ids = np.arange(special.size).reshape(special.shape) + 10
    hidden, labels = mask(ids, special, rng=seeded(seed))
    chosen = labels != IGNORED
    assert not (chosen & (special == 1)).any()
    assert (labels[chosen] == ids[chosen]).all()
    assert (hidden[~chosen] == ids[~chosen]).all()
    assert (chosen.any(axis=1) == (special == 0).any(axis=1)).all()


def test_a_short_row_has_one_hidden_token_at_any_of_its_places():
    special = np.array([[1, 0, 0, 1]])
    places = set()
    for seed in range(30):
        _, labels = mask(np.array([[1, 20, 30, 2]]), special, rng=seeded(seed), share=1e-9)
        assert (labels != IGNORED).sum() == 1
        places.add(int((labels != IGNORED).argmax()))
    assert places == {1, 2}


def test_replacements_come_from_the_vocabulary_that_is_given():
    ids, special = long_batch()
    candidates = np.array([3000, 3001, 3005])
    hidden, _ = mask(ids, special, vocabulary=candidates)
    assert set(hidden[(hidden != ids) & (hidden != MASK)].tolist()) == {3000, 3001, 3005}


def test_the_same_generator_hides_the_same_and_goes_on():
    ids, special = long_batch()
    generator = seeded(5)
    first, again, next_one = (
        mask(ids, special, rng=seeded(5)), mask(ids, special, rng=generator),
        mask(ids, special, rng=generator),
    )  # fmt: skip
    assert (first[0] == again[0]).all()
    assert (first[0] != next_one[0]).any()


def test_what_is_given_is_not_changed():
    ids, special = long_batch()
    before = ids.copy()
    mask(ids, special)
    assert (ids == before).all()


def words_batch() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ids, special = long_batch()
    continues = (seeded(7).random(ids.shape) < 0.4).astype(np.int64)
    continues[special == 1] = 0
    continues[:, 1] = 0
    return ids, special, continues


def words_of(continues: np.ndarray) -> np.ndarray:
    return np.cumsum(continues == 0).reshape(continues.shape)


def test_all_pieces_of_a_word_are_hidden_or_none():
    ids, special, continues = words_batch()
    _, labels = mask_tokens(
        ids, special, mask_id=MASK, vocabulary=VOCABULARY, rng=seeded(1), continues=continues
    )
    chosen, word = labels != IGNORED, words_of(continues)
    share = np.bincount(word.ravel(), weights=chosen.ravel()) / np.bincount(word.ravel()).clip(1)
    assert set(np.unique(share)) == {0.0, 1.0}
    assert chosen[special == 0].mean() == pytest.approx(0.15, abs=0.01)


def test_a_word_with_a_piece_that_may_not_be_hidden_is_not_hidden():
    ids, special, continues = words_batch()
    barred = special.copy()
    barred[:, 5] = 1
    _, labels = mask_tokens(
        ids, barred, mask_id=MASK, vocabulary=VOCABULARY, rng=seeded(1), continues=continues
    )
    word = words_of(continues)
    touched = np.isin(word, word[:, 5])
    assert not (labels[touched] != IGNORED).any()


def test_a_short_row_has_one_hidden_word():
    ids, special = np.array([[1, 20, 30, 40, 2]]), np.array([[1, 0, 0, 0, 1]])
    found = set()
    for seed in range(30):
        _, labels = mask_tokens(
            ids, special, mask_id=MASK, vocabulary=VOCABULARY, rng=seeded(seed), share=1e-9,
            continues=np.array([[0, 0, 1, 0, 0]]),
        )  # fmt: skip
        found.add(tuple(np.flatnonzero(labels[0] != IGNORED)))
    assert found == {(1, 2), (3,)}


def test_words_of_one_piece_are_hidden_as_tokens_are():
    ids, special = long_batch()
    plain = mask(ids, special, rng=seeded(3))
    same = mask_tokens(
        ids, special, mask_id=MASK, vocabulary=VOCABULARY, rng=seeded(3),
        continues=np.zeros_like(ids),
    )  # fmt: skip
    assert (plain[0] == same[0]).all()
    assert (plain[1] == same[1]).all()
