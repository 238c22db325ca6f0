"""What a fuzzer does to JSON and to bytes: small changes, drawn from a seed."""

import copy
import random
from typing import Any

JUNK: tuple[object, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 10**9, 2**63 - 1, -(2**63), 0.5, -0.0, 1e308, 5e-324),
    *(
        "",
        "x",
        "none",
        "intent",
        "fuse(intent, domain)",
        "../x",
        "F32[0,4]",
        "a" * 5000,
        "ä\n\x1b[",
    ),
    *([], {}, [[]], [None], {"": None}, ["x", "x"], {"kind": "bottleneck"}, {"kind": "madapter"}),
)


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the path of every value in a value, but not its own."""
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    found = []
    for key, one in inner:
        found += [(*path, key), *places(one, (*path, key))]
    return found


def mutated(value: Any, chance: random.Random) -> Any:
    """Give a copy with one to three changes: replaced, swapped, deleted, repeated, renamed."""
    value = copy.deepcopy(value)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        known = places(value)
        if not known:
            break
        _change(value, chance.choice(known), chance, known)
    return value


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def _change(
    value: Any, path: tuple[Any, ...], chance: random.Random, known: list[tuple[Any, ...]]
) -> None:
    holder, key = _at(value, path[:-1]), path[-1]
    how = chance.randrange(6)
    if how == 0:
        del holder[key]
    elif how == 1:
        holder[key] = copy.deepcopy(_at(value, chance.choice(known)))
    elif how == 2 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif how == 2:
        holder[chance.choice(("x", "intent", f"{key}2", "../x"))] = copy.deepcopy(holder[key])
    elif how == 3 and isinstance(holder[key], int | float):
        holder[key] += chance.choice((-1, 1))
    elif how == 4 and isinstance(holder[key], str):
        holder[key] = mutated_bytes(holder[key].encode(), chance).decode(errors="replace")
    else:
        holder[key] = copy.deepcopy(chance.choice(JUNK))


def mutated_bytes(data: bytes, chance: random.Random) -> bytes:
    """Give bytes with a stretch deleted, doubled, overwritten, moved, or digits changed."""
    start = chance.randrange(len(data) + 1)
    end = min(len(data), start + chance.choice((0, 1, 1, 2, 8, 100)))
    stretch = data[start:end]
    new = chance.choice(
        (
            b"",
            stretch * 2,
            chance.randbytes(max(1, len(stretch))),
            data[:8],
            str(chance.choice((0, 1, 7, 2**31, 2**64))).encode(),
            chance.choice((b"[", b"}", b'"', b",", b":{}", b"\\u0000", b"\xff", b"1e999", b"NaN")),
        )
    )
    return data[:start] + new + data[end:]
