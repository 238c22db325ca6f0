"""A head of a bundle: one linear layer, or a dense one and a non-linearity before it.

config {"type": "text-classification"}                            weight, bias
config {"type": "text-classification", "non_linearity": "tanh"}   and dense, dense_bias

`logits = act(pooled dense^T + dense_bias) weight^T + bias`.
"""

from collections.abc import Iterator, Mapping
from typing import cast, get_args

from composer.errors import BundleError
from composer.recipe.grammar.adapters import NonLinearity

DENSE = "dense"  # the tensor that only a head of two layers has


def head_config(type: str, non_linearity: NonLinearity | None) -> dict[str, object]:
    """Give the config of a head.

    >>> head_config("regression", None)
    {'type': 'regression'}
    """
    between: dict[str, object] = {"non_linearity": non_linearity} if non_linearity else {}
    return {"type": type, **between}


def head_non_linearity(config: Mapping[str, object]) -> NonLinearity | None:
    """Read what lies between a head's two layers; None: it has one.

    Raises:
        BundleError: It is none that composer has.
    """
    said = config.get("non_linearity")
    if said is None or said in get_args(NonLinearity):
        return cast("NonLinearity | None", said)
    raise BundleError(
        f"non_linearity: {str(said)[:80]!r}; composer has {', '.join(get_args(NonLinearity))}"
    )


def head_faults(config: Mapping[str, object], tensors: Mapping[str, object]) -> Iterator[str]:
    """Say where a head's config and its tensors do not agree on how many layers it has.

    >>> list(head_faults({}, {"dense": "F32[4,4]"}))
    ['non_linearity: says none, and the head has two layers']
    """
    try:
        said = head_non_linearity(config)
    except BundleError as fault:
        yield str(fault)
        return
    if said is None and DENSE in tensors:
        yield "non_linearity: says none, and the head has two layers"
    if said is not None and DENSE not in tensors:
        yield f"non_linearity: {said!r}, and the head has one layer"
