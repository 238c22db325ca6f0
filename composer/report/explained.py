"""What `composer explain` prints: probabilities, and whom a fusion listened to.

HassTurnOn   0.981
HassTurnOff  0.017
fuse(intent, domain): share of each member
layer  where      intent  domain
    0  attention   0.612   0.388       the mean over all tokens
token  intent  domain
turn    0.702   0.298                  the mean over all layers
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from composer.data.examples import Example
from composer.data.predictions import plain_value
from composer.report.layout import number_of, table_lines

if TYPE_CHECKING:
    from composer.model.explained import Explanation, MixerWeights


def explained_values(example: Example, found: "Explanation") -> dict[str, object]:
    """Give all of one explanation as JSON has it; no number is rounded."""
    rows = [dict(zip(found.classes, row, strict=True)) for row in found.probabilities]
    return {
        "text": example.text,
        "pair": example.pair,
        "prediction": plain_value(found.prediction.value),
        "confidence": found.prediction.confidence,
        "probabilities": rows if _one_a_token(found) else rows[0] if rows else None,
        "tokens": list(found.tokens),
        "cut_tokens": found.cut,
        "prompt_vectors": found.prompt,
        "mixers": [_mixer_values(one) for one in found.mixers],
    }


def explained_lines(
    example: Example, found: "Explanation", *, top: int, full: bool
) -> Iterator[str]:
    """Tell one explanation.

    Args:
        example: What was explained.
        found: Of it.
        top: At most so many classes, the most probable ones first.
        full: Tell the shares at each layer for each token, instead of their means.
    """
    yield from _probability_lines(found, top)
    if found.cut:
        yield f"{number_of(found.cut, 'token')} cut off: the model read no more than is below"
    for one in found.mixers:
        yield f"{one.mixer}: share of each member"
        tokens = [*(f"(prompt {n + 1})" for n in range(found.prompt)), *found.tokens]
        yield from _every_line(one, tokens) if full else _mean_lines(one, tokens)


def _one_a_token(found: "Explanation") -> bool:
    return found.classes[:1] == ("O",) and len(found.probabilities) == len(found.tokens)


def _mixer_values(one: "MixerWeights") -> dict[str, object]:
    return {
        "mixer": one.mixer,
        "form": one.form,
        "members": list(one.members),
        "sites": [
            {"layer": layer, "where": where, "shares": [list(row) for row in shares]}
            for site, shares in one.sites.items()
            for layer, where in [_place(site)]
        ],
        "mean": _means([row for shares in one.sites.values() for row in shares]),
    }


def _probability_lines(found: "Explanation", top: int) -> Iterator[str]:
    if not found.classes:
        yield f"value  {found.prediction.value:.6g}"
        return
    if _one_a_token(found):
        rows = [["token", "tag", "probability"]]
        for token, row in zip(found.tokens, found.probabilities, strict=True):
            best = max(range(len(row)), key=row.__getitem__)
            rows.append([token, found.classes[best], f"{row[best]:.3f}"])
        yield from table_lines(rows, right=[2])
        return
    (shares,) = found.probabilities
    order = sorted(range(len(shares)), key=lambda place: -shares[place])
    rows = [["label", "probability"]]
    rows += [[found.classes[place], f"{shares[place]:.3f}"] for place in order[:top]]
    yield from table_lines(rows, right=[1])
    if len(order) > top:
        left = sum(shares[place] for place in order[top:])
        yield f"and {number_of(len(order) - top, 'label')} more, {left:.3f} together"


def _mean_lines(one: "MixerWeights", tokens: Sequence[str]) -> Iterator[str]:
    """Tell the mean over tokens at each site, and over sites for each token."""
    numbers = range(2, 2 + len(one.members))
    rows = [["layer", "where", *one.members]]
    for site, shares in one.sites.items():
        rows.append([*_place_cells(site), *_cells(_means(shares))])
    yield from table_lines(rows, right=[0, *numbers])
    rows = [["token", *one.members]]
    for number, token in enumerate(tokens):
        rows.append([token, *_cells(_means([shares[number] for shares in one.sites.values()]))])
    yield from table_lines(rows, right=[number - 1 for number in numbers])


def _every_line(one: "MixerWeights", tokens: Sequence[str]) -> Iterator[str]:
    rows = [["layer", "where", "token", *one.members]]
    for site, shares in one.sites.items():
        for token, row in zip(tokens, shares, strict=True):
            rows.append([*_place_cells(site), token, *_cells(row)])
    yield from table_lines(rows, right=[0, *range(3, 3 + len(one.members))])


def _place(site: str) -> tuple[int, str]:
    layer, _, where = site.partition(".")
    return int(layer), where


def _place_cells(site: str) -> list[str]:
    return [str(one) for one in _place(site)]


def _means(rows: Sequence[Sequence[float]]) -> list[float]:
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def _cells(shares: Sequence[float]) -> list[str]:
    return [f"{share:.3f}" for share in shares]
