"""Sides in processes of their own, as the users of each party start them.

    with apart(our_sides, folder) as ours, apart(their_sides, folder) as theirs:
        seconds = in_turn({**ours, **theirs}, runs=5)

In one process the sides would share what is set for the whole of it, such as how the memory that
one frees is kept for the next: what composer sets made the peers' steps 8 % faster, and what they
left behind made its own slower. The turns stay in turn: one process works, the others wait.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context

from measure import THREADS, Side

_sides: dict[str, Side] = {}  # of the process that they run in


@contextmanager
def apart(make: Callable[..., Mapping[str, Side]], *given: object) -> Iterator[dict[str, Side]]:
    """Start a process, make sides in it, and give functions that run them there.

    Args:
        make: Of a module, so that the process finds it by its name.
        given: What it is called with, copied to the process.
    """
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as process:
        names = process.submit(_begin, make, given).result()
        yield {name: partial(_asked, process, name) for name in names}


def _asked(process: ProcessPoolExecutor, name: str) -> float:
    return process.submit(_run, name).result()


def _begin(make: Callable[..., Mapping[str, Side]], given: tuple[object, ...]) -> list[str]:
    import torch

    torch.set_num_threads(THREADS)
    _sides.update(make(*given))
    return list(_sides)


def _run(name: str) -> float:
    return _sides[name]()
