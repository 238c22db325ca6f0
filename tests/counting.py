"""Count what a computation does, where a clock would tell of the machine."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(frozen=True)
class Product:
    """(copies, rows, inner) times (copies, inner, columns)."""

    copies: int
    rows: int
    inner: int
    columns: int
    dtype: torch.dtype

    @property
    def operations(self) -> int:
        return 2 * self.copies * self.rows * self.inner * self.columns


@dataclass
class Work:
    """What was done.

    Attributes:
        products: Matrix products, forward and backward.
        made: Shapes of all tensors that were made, products' included, in order.
    """

    products: list[Product] = field(default_factory=list)
    made: list[tuple[int, ...]] = field(default_factory=list)

    @property
    def operations(self) -> int:
        return sum(one.operations for one in self.products)

    def operations_in(self, dtype: torch.dtype) -> int:
        return sum(one.operations for one in self.products if one.dtype == dtype)

    def numbers_made(self, columns: int) -> int:
        """Count the numbers in tensors of so many columns."""
        return sum(math.prod(shape) for shape in self.made if shape and shape[-1] == columns)


class _Counter(TorchDispatchMode):
    """Notes products as torch carries them out, whatever they were asked for as."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.work = work

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd):
            with self:  # in inference mode torch asks for the whole before its pieces
                return func.decompose(*args, **(kwargs or {}))
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in ("mm", "bmm"):
            self._note(args[0], args[1])
        elif name in ("addmm", "baddbmm"):
            self._note(args[1], args[2])
        elif "attention" in name or "convolution" in name:
            raise AssertionError(f"{name} is not counted yet")
        if isinstance(result, Tensor) and not func.is_view:
            self.work.made.append(tuple(result.shape))
        return result

    def _note(self, left: Tensor, right: Tensor) -> None:
        copies = left.shape[0] if left.ndim == 3 else 1
        rows, inner = left.shape[-2:]
        self.work.products.append(Product(copies, rows, inner, right.shape[-1], left.dtype))


@contextmanager
def counted() -> Iterator[Work]:
    """Count what is done in the block."""
    work = Work()
    with _Counter(work):
        yield work


@contextmanager
def saved_for_backward(*, leave_out: set[int]) -> Iterator[list[int]]:
    """Note the bytes that are kept for the backward pass, each storage once.

    Args:
        leave_out: Storages, by address, that are there anyway: weights.
    """
    seen, sizes = set(leave_out), []

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            sizes.append(storage.nbytes())
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        yield sizes
