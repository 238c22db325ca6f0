"""How many examples of each language an epoch has, where several languages are learnt at once.

    language_counts({"en": 900, "de": 100}, temperature=1.0)    {'de': 100, 'en': 900}
    language_counts({"en": 900, "de": 100}, temperature=2.0)    {'de': 250, 'en': 750}

A language of n examples gets a share like n^(1 / T) (temperature-scaled mixing: Arivazhagan et
al., 2019, section 4.2; Raffel et al., 2020, section 3.5.2). An epoch stays as long as it is: the
examples of a small language are repeated, those of a large one take turns.
"""

from collections.abc import Mapping, Sequence

import numpy as np

_STREAM = 0x6D69  # keeps these numbers apart from those that order the batches


def language_counts(sizes: Mapping[str, int], *, temperature: float) -> dict[str, int]:
    """Share out as many places as there are examples over languages.

    Shares are rounded down, and the places left go to the largest remainders.

    Args:
        sizes: Language -> examples, at least one each.
        temperature: 1: as many as there are; the higher, the more even.

    >>> language_counts({"en": 900, "de": 90, "fi": 10}, temperature=1e6)
    {'de': 333, 'en': 334, 'fi': 333}
    """
    tags = sorted(sizes)
    weights = np.array([float(sizes[tag]) for tag in tags]) ** (1.0 / temperature)
    total = sum(sizes.values())
    exact = total * weights / weights.sum()
    counts = np.floor(exact + 1e-9).astype(int)
    left = total - int(counts.sum())
    for place in np.argsort(-(exact - counts), kind="stable")[:left]:
        counts[place] += 1
    return dict(zip(tags, counts.tolist(), strict=True))


def mixed_epoch(
    languages: Sequence[str], *, temperature: float, seed: int, epoch: int
) -> list[int]:
    """Choose the examples of one epoch, as their indices in ascending order.

    Every example of a language is taken as often as all of them can be, and the rest is drawn
    without repetition, anew each epoch.

    Args:
        languages: The language of each example.
        temperature: See `language_counts`; 1: each example once.
        seed: The same seed and epoch choose the same examples.
        epoch: Counted from 0.

    >>> mixed_epoch(["en", "en", "en", "de"], temperature=1.0, seed=1, epoch=0)
    [0, 1, 2, 3]
    """
    if temperature == 1.0:
        return list(range(len(languages)))
    members: dict[str, list[int]] = {}
    for index, tag in enumerate(languages):
        members.setdefault(tag, []).append(index)
    sizes = {tag: len(own) for tag, own in members.items()}
    rng = np.random.Generator(np.random.PCG64([_STREAM, seed, epoch]))
    chosen: list[int] = []
    for tag, count in language_counts(sizes, temperature=temperature).items():
        own = members[tag]
        # Only uniform numbers are drawn: their stream is the same in every version of numpy.
        order = np.argsort(rng.random(len(own)), kind="stable")
        times, rest = divmod(count, len(own))
        chosen += own * times + [own[place] for place in order[:rest]]
    return sorted(chosen)
