"""Non-linearities by the names of `adapters`."""

from collections.abc import Mapping
from typing import Any

from composer.recipe.grammar.adapters import NonLinearity

NON_LINEARITIES: dict[str, NonLinearity] = {
    "relu": "relu",
    "gelu": "gelu",
    "swish": "swish",
    "silu": "swish",
    "tanh": "tanh",
}
_BEFORE_VERSIONS = {"gelu": "gelu_new", "gelu_orig": "gelu"}


def todays_name(name: str, about: Mapping[str, Any]) -> str:
    """Give today's name of what a file says: "gelu" was another one in those without a version.

    >>> todays_name("gelu", {}), todays_name("gelu", {"version": "adapters.1.3.0"})
    ('gelu_new', 'gelu')
    """
    return name if "version" in about else _BEFORE_VERSIONS.get(name, name)


def unknown_non_linearity(name: str) -> str:
    """Say what is read instead."""
    return f"{name[:40]!r}; composer has {', '.join(NON_LINEARITIES)}"
