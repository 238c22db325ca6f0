"""Several processes that train one stage together: shares of each batch, and sums over them.

    join(1, of=2, meeting=folder / "meeting")     in the second of two processes

    processes = Processes.here()                  of one alone: nothing below does anything
    share = processes.share(batch.tensors)        every second example, and what it weighs
    learnt = processes.sum_gradients(...)         the gradients of the whole batch, in each

The loss of a batch is a mean over what is learnt in it, examples or labelled tokens, so the mean
over a share weighs as much as there is to learn in it. Summed, the step is that of one process
on the whole batch, up to the order of the sums. What is drawn at random in the model (dropout)
each process draws for its own examples. The processes are `accelerate`'s: they are begun by the
engine (`composer.engine.running.together`), with the environment that its launcher would give.
"""

import hashlib
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from accelerate import PartialState
from torch import Tensor, nn

from composer.data.bio import IGNORED
from composer.errors import TrainingError

_PATIENCE = timedelta(days=1)  # the engine ends all when one is gone; none gives up by itself
_SEEDS = 2**32  # that recipes have: the generator of process r is seeded beyond them


def join(rank: int, *, of: int, meeting: Path) -> None:
    """Become one of several processes: on a GPU of its own, or on processors without any.

    They meet in a file and talk over the loopback interface: no port is open to the network.

    Args:
        rank: Which process this is, counted from 0.
        of: How many there are.
        meeting: A file that is not there yet, the same for all.

    Raises:
        TrainingError: There are GPUs, and fewer than processes.
    """
    gpus = torch.cuda.device_count()
    if 0 < gpus < of:
        raise TrainingError(
            f"training.processes is {of}, and each process needs a GPU of its own, of which this "
            f"machine has {gpus}; lower it, or hide the GPUs with CUDA_VISIBLE_DEVICES= to train "
            "on processors"
        )
    ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": of, "LOCAL_WORLD_SIZE": of}
    os.environ.update({name: str(value) for name, value in ranks.items()})
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # until `prepare` sets the recipe's threads
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")
    os.environ.update({"GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback})
    PartialState(
        cpu=gpus == 0,
        init_method=meeting.absolute().as_uri(),
        rank=rank,
        world_size=of,
        timeout=_PATIENCE,
    )


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one process learns of a batch.

    Attributes:
        tensors: Its examples, by name; None: it has none with anything to learn.
        weight: Of the mean over them in the mean over the whole batch.
    """

    tensors: dict[str, Tensor] | None
    weight: float


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """What all processes found in a step.

    Attributes:
        loss: Of the whole batch.
        stop: Whether the first process was asked to stop.
    """

    loss: float
    stop: bool


@dataclass(frozen=True)
class Processes:
    """Those that carry out this stage, and which of them this one is."""

    count: int
    rank: int
    device: torch.device

    @classmethod
    def here(cls) -> "Processes":
        """Find out what this process is part of."""
        state = PartialState()
        return cls(state.num_processes, state.process_index, state.device)

    @property
    def alone(self) -> bool:
        """Whether there is only this one, so that there is nobody to agree with."""
        return self.count == 1

    @property
    def first(self) -> bool:
        """Whether this one judges, and writes what is kept."""
        return self.rank == 0

    def seed(self, seed: int) -> None:
        """Let each process draw numbers of its own; the first, those of one alone."""
        if not self.first:
            torch.manual_seed(seed + self.rank * _SEEDS)

    def share(self, tensors: Mapping[str, Tensor]) -> Share:
        """Give this process every so-manieth example, from its own number on.

        Args:
            tensors: Of a batch; `labels` among them.
        """
        if self.alone:
            return Share(tensors={**tensors}, weight=1.0)
        learnt = _learnt(tensors["labels"])  # (examples)
        mine = slice(self.rank, None, self.count)
        weight = float(learnt[mine].sum() / learnt.sum())
        if weight == 0.0:
            return Share(tensors=None, weight=0.0)
        return Share(tensors={name: one[mine] for name, one in tensors.items()}, weight=weight)

    def sum_gradients(
        self, parameters: Sequence[nn.Parameter], *, loss: float, stop: bool
    ) -> Learnt:
        """Give each parameter the gradient of the whole batch.

        Args:
            parameters: The same ones in the same order everywhere. One that no process used
                keeps no gradient, as it is left alone by the optimiser then.
            loss: Of this process's share, times its weight.
            stop: Whether this process was asked to stop.
        """
        if self.alone:
            return Learnt(loss=loss, stop=stop)
        used = [parameter.grad is not None for parameter in parameters]
        numbers = torch.tensor([loss, stop, *used], dtype=torch.float32, device=self.device)
        gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in parameters]
        summed = torch.cat([numbers, *(one.detach().reshape(-1).float() for one in gradients)])
        dist.all_reduce(summed)
        told, rest = summed[: len(numbers)].tolist(), summed[len(numbers) :]
        sizes = [parameter.numel() for parameter in parameters]
        for parameter, users, values in zip(
            parameters, told[2:], torch.split(rest, sizes), strict=True
        ):
            parameter.grad = values.view_as(parameter).to(parameter.dtype) if users else None
        return Learnt(loss=told[0], stop=told[1] > 0)

    def first_says(self, number: Callable[[], float]) -> float:
        """Have the first process find a number, and tell the others."""
        if self.alone:
            return number()
        told = torch.tensor([number() if self.first else 0.0], dtype=torch.float64)
        told = told.to(self.device)
        dist.broadcast(told, src=0)
        return float(told)

    def gathered(self, state: Tensor) -> list[Tensor]:
        """Give a tensor of each process, of the same shape in all, to all of them."""
        if self.alone:
            return [state]
        mine = state.to(self.device)
        found = [torch.empty_like(mine) for _ in range(self.count)]
        dist.all_gather(found, mine)
        return [one.to(state.device) for one in found]

    def check_alike(self, parameters: Sequence[nn.Parameter]) -> None:
        """Hold the weights of all processes to be the same bytes.

        Raises:
            TrainingError: They are not, so the processes no longer train one model.
        """
        if self.alone:
            return
        digest = hashlib.sha256()
        for parameter in parameters:
            data = parameter.detach().cpu().reshape(-1).view(torch.uint8)
            digest.update(data.numpy().tobytes())
        found = self.gathered(torch.tensor([*digest.digest()], dtype=torch.uint8))
        if any(not torch.equal(one, found[0]) for one in found):
            raise TrainingError(
                f"the weights of {self.count} processes are no longer the same; run the same "
                "command again to go on from the last checkpoint"
            )


def _learnt(labels: Tensor) -> Tensor:
    """Count what is learnt of each example: one label, or those of its tokens that have one."""
    if labels.ndim == 1 or labels.is_floating_point():
        return torch.ones(len(labels))
    return (labels != IGNORED).sum(1).float()
