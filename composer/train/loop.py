"""The training loop: batches in, weights out, the same bytes every time.

    warm-up, decay, clipping      a function of the step, nothing else
    validation after each epoch   the best weights are kept, training may end early
    checkpoint                    everything the next step depends on, in one file
    several processes             each learns its share of every batch; the first one judges

The loop knows nothing of tasks: it is given what computes a loss and what computes a score.
`accelerate` puts tensors on the device and clips; its own checkpoints are pickles, so
`composer.train.checkpoint` writes ours.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.autograd.graph import increment_version

from composer.errors import StoppedError, TrainingError
from composer.recipe.grammar.training import Training
from composer.train.checkpoint import Checkpoint, Trained, read_checkpoint, write_checkpoint
from composer.train.context import Progress, StageContext
from composer.train.processes import Processes

logger = logging.getLogger(__name__)

HEAD_FACTOR = 10.0  # how much faster than an adapter a head learns, where the recipe is silent


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Examples that are learnt in one step.

    Attributes:
        tensors: By name; the first dimension is the example.
        language: Of the first example; of all, where batches are planned by language.
        step: Its number, counted from 0, while it is learnt; what is drawn for it depends on this.
    """

    tensors: dict[str, Tensor]
    language: str
    step: int = 0


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is trained, on what, and how it is judged.

    Attributes:
        parameters: Name -> what is trained; the names are those of the checkpoint.
        set_training: Turn dropout on before a batch is learnt, off before it is judged.
        epochs: For each epoch, a function that gives its batches anew, and their number.
        loss: Loss of one batch: a mean over its examples, or over its tokens that have a label.
        score: Higher is better; None where there is nothing to validate on.
        decide: Decides before the first step what then stays as it is, such as a mask, and gives
            it to the checkpoint, or takes over what a checkpoint has; None: there is nothing.
    """

    parameters: dict[str, nn.Parameter]
    set_training: Callable[..., None]
    epochs: Sequence["Epoch"]
    loss: Callable[[Batch], Tensor]
    score: Callable[[], float] | None
    decide: "Decide | None" = None


Decide = Callable[[Mapping[str, Tensor] | None], dict[str, Tensor]]
"""What a checkpoint has, or None at the first start -> what holds from now on, by name."""


@dataclass(frozen=True)
class Epoch:
    """The batches of one pass over the examples.

    Attributes:
        count: How many there are.
        batch: Gives batch number i; depends on i and the epoch only, so resuming can skip.
    """

    count: int
    batch: Callable[[int], Batch]


def train(job: Job, training: Training, context: StageContext) -> Trained:
    """Train until the last epoch or until the score stops improving; keep the best weights.

    Raises:
        StoppedError: A stop was asked for; the checkpoint is written.
        TrainingError: The loss is not finite.
    """
    return _Run(job, training, context).run()


def learning_rate(step: int, total: int, training: Training) -> float:
    """Give the rate of one step: it rises from 0 in the warm-up, then decays towards 0.

    >>> [learning_rate(s, 10, Training(learning_rate=1.0, warmup=0.2)) for s in (0, 1, 2, 9)]
    [0.5, 1.0, 1.0, 0.125]
    """
    warmup = math.ceil(training.warmup * total)
    if step < warmup:
        return training.learning_rate * (step + 1) / warmup
    left = (total - step) / max(1, total - warmup)
    shape = {"linear": left, "cosine": (1 - math.cos(math.pi * left)) / 2, "constant": 1.0}
    return training.learning_rate * shape[training.decay]


class _Run:
    """One training, from its first step or from a checkpoint."""

    def __init__(self, job: Job, training: Training, context: StageContext) -> None:
        self.job, self.training, self.context = job, training, context
        self.accelerator = Accelerator()
        self.processes = Processes.here()
        self.names = sorted(job.parameters)
        self.optimizer = self._new_optimizer()
        self.total = sum(epoch.count for epoch in job.epochs)
        self.done = Trained()
        self.best: dict[str, Tensor] = {}
        self.decided: dict[str, Tensor] = {}
        self.stale_epochs = 0
        self.losses: list[float] = []
        self.file = context.checkpoint / "training.state"

    def run(self) -> Trained:
        start_epoch, start_batch = self._resume(self.file)
        self.processes.check_alike(self._parameters())
        for number in range(start_epoch, len(self.job.epochs)):
            if self._finished_early():
                break
            self._epoch(number, start_batch if number == start_epoch else 0)
        self._restore_best()
        return self.done

    def _epoch(self, number: int, first: int) -> None:
        epoch = self.job.epochs[number]
        saved = False
        try:
            with self.context.stop.held():
                for index in range(first, epoch.count):
                    stop = self._step(epoch.batch(index))
                    last = index + 1 == epoch.count
                    due = last or self.done.steps % self.training.checkpoint_steps == 0
                    if stop or due:
                        self._save(number, index + 1)
                    if stop:
                        raise self._stopped()
                saved = True  # so what is learnt outlives a stop from here on
            self._judge(number)
            self._save(number + 1, 0)
        except KeyboardInterrupt as interrupt:
            if not saved:
                raise
            raise self._stopped() from interrupt

    def _step(self, batch: Batch) -> bool:
        """Learn one batch; say whether a stop was asked for."""
        self.job.set_training(active=True)
        rate = learning_rate(self.done.steps, self.total, self.training)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["faster"]
        loss = self._learn(batch)
        stop = self.context.stop
        learnt = self.processes.sum_gradients(self._parameters(), loss=loss, stop=stop.requested)
        if not math.isfinite(learnt.loss):
            raise TrainingError(
                f"step {self.done.steps + 1}: the loss is {learnt.loss}; a lower learning_rate "
                f"than {self.training.learning_rate} may help"
            )
        self.accelerator.clip_grad_norm_(list(self.job.parameters.values()), self.training.clip)
        self.optimizer.step()
        increment_version(self._parameters())  # a fused step leaves them, and `Kept` asks for them
        self.optimizer.zero_grad(set_to_none=True)
        self.done.steps += 1
        self.losses.append(learnt.loss)
        self._tell(loss=learnt.loss, rate=rate)
        return learnt.stop or (self.processes.alone and stop.requested)

    def _learn(self, batch: Batch) -> float:
        """Find the gradients of this process's share of a batch; give its part of the loss."""
        share = self.processes.share(batch.tensors)
        if share.tensors is None:
            return 0.0
        device = self.accelerator.device
        tensors = {name: tensor.to(device) for name, tensor in share.tensors.items()}
        loss = self.job.loss(replace(batch, tensors=tensors, step=self.done.steps))
        loss = loss if share.weight == 1.0 else share.weight * loss
        value = float(loss.detach())
        if math.isfinite(value):  # else the step ends in an error, in all processes at once
            self.accelerator.backward(loss)
        return value

    def _parameters(self) -> list[nn.Parameter]:
        return [self.job.parameters[name] for name in self.names]

    def _judge(self, number: int) -> None:
        """Score the weights after an epoch, and keep them if they are the best so far."""
        self.job.set_training(active=False)
        score = self.processes.first_says(self.job.score) if self.job.score else None
        self.processes.check_alike(self._parameters())
        mean = sum(self.losses) / max(1, len(self.losses))
        self.losses = []
        self.done.epochs = number + 1
        self.done.history.append({"loss": round(mean, 6), "score": score})
        better = score is None or self.done.best_score is None or score > self.done.best_score
        self.stale_epochs = 0 if better else self.stale_epochs + 1
        if better:
            self.done.best_epoch, self.done.best_score = number + 1, score
            self.best = {name: self.job.parameters[name].detach().clone() for name in self.names}
        self._tell(loss=mean, score=score)

    def _finished_early(self) -> bool:
        patience = self.training.patience
        return patience is not None and self.stale_epochs >= patience

    def _restore_best(self) -> None:
        with torch.no_grad():
            for name in self.names:
                self.job.parameters[name].copy_(self.best[name])
        self.job.set_training(active=False)

    def _tell(self, *, loss: float, rate: float | None = None, score: float | None = None) -> None:
        self.context.report(
            Progress(done=self.done.steps, total=self.total, loss=loss, rate=rate, score=score)
        )

    def _new_optimizer(self) -> torch.optim.Optimizer:
        """Group what is trained: a head learns faster, and only matrices decay."""
        groups = []
        for of_head in (False, True):
            for matrices in (True, False):
                names = [n for n in self.names if _is_head(n) is of_head]
                chosen = [n for n in names if _decays(n, self.job.parameters[n]) is matrices]
                if chosen:
                    groups.append(
                        {
                            "params": [self.job.parameters[name] for name in chosen],
                            "weight_decay": self.training.weight_decay if matrices else 0.0,
                            "faster": head_factor(self.training) if of_head else 1.0,
                        }
                    )
        # fused: one pass over weights, gradients and moments, which a fusion has millions of
        return torch.optim.AdamW(groups, lr=self.training.learning_rate, fused=True)

    def _stopped(self) -> StoppedError:
        return StoppedError(
            f"stopped at step {self.done.steps} of {self.total}; a checkpoint is written. "
            "Run the same command again to go on from here"
        )

    def _save(self, epoch: int, batch: int) -> None:
        """Write a checkpoint: the first process, with what the others draw numbers from."""
        random = {
            _generator(kind, rank): state
            for kind, mine in _generators(self.accelerator.device).items()
            for rank, state in enumerate(self.processes.gathered(mine))
        }
        if not self.processes.first:
            return
        state = {name: self.optimizer.state[self.job.parameters[name]] for name in self.names}
        write_checkpoint(
            self.file,
            Checkpoint(
                epoch=epoch,
                batch=batch,
                stale_epochs=self.stale_epochs,
                losses=self.losses,
                trained=self.done,
                weights={name: self.job.parameters[name].detach() for name in self.names},
                best=self.best,
                moments={
                    f"{name}:{slot}": tensor
                    for name, slots in state.items()
                    for slot, tensor in slots.items()
                },
                random=random,
                decided=self.decided,
            ),
        )

    def _resume(self, file: Path) -> tuple[int, int]:
        """Take over a checkpoint if there is one; give the epoch and batch to go on with."""
        saved = read_checkpoint(file)
        if self.job.decide is not None:
            self.job.set_training(active=False)
            self.decided = self.job.decide(saved.decided if saved else None)
        self.processes.seed(self.training.seed)  # what is decided is the same for all
        if saved is None:
            return 0, 0
        self.done = saved.trained
        self.best, self.losses = saved.best, saved.losses
        self.stale_epochs = saved.stale_epochs
        with torch.no_grad():
            for name in self.names:
                self.job.parameters[name].copy_(saved.weights[name])
        for key, tensor in saved.moments.items():
            name, slot = key.rsplit(":", 1)
            parameter = self.job.parameters[name]
            self.optimizer.state[parameter][slot] = tensor.to(parameter.device)
        rank = self.processes.rank
        torch.set_rng_state(saved.random[_generator("cpu", rank)])
        cuda = saved.random.get(_generator("cuda", rank))
        if cuda is not None and self.accelerator.device.type == "cuda":
            torch.cuda.set_rng_state(cuda, self.accelerator.device)
        logger.info("resumed at step %d of %d", self.done.steps, self.total)
        return saved.epoch, saved.batch


def head_factor(training: Training) -> float:
    """Say how much faster a head learns than an adapter.

    An adapter begins next to nothing and a head must find its classes in what the backbone
    gives; at the adapter's rate it would hardly have moved when few epochs are over.

    >>> head_factor(Training(learning_rate=1e-3)), head_factor(Training(head_learning_rate=2e-3))
    (10.0, 2.0)
    """
    if training.head_learning_rate is None:
        return HEAD_FACTOR
    if training.head_learning_rate == "same":
        return 1.0
    return training.head_learning_rate / training.learning_rate


def _generators(device: torch.device) -> dict[str, Tensor]:
    """Give the state of the generators that dropout draws from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def _generator(kind: str, rank: int) -> str:
    """Name a generator's state in a checkpoint; the first process's as that of one alone."""
    return f"{kind}:{rank}" if rank else kind


def _is_head(name: str) -> bool:
    return name.startswith("head:")


def _decays(name: str, parameter: nn.Parameter) -> bool:
    # V is drawn towards the identity by its own regulariser, not towards zero by decay.
    return parameter.ndim > 1 and not name.endswith(".value")
