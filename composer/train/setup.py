"""What every stage does first: threads, seed, and the backbone it was planned for."""

import ctypes
import sys
from functools import lru_cache
from pathlib import Path

import torch
from accelerate import PartialState

from composer.data.encode import Encoder
from composer.errors import BackboneError
from composer.model.backbone import Backbone, open_backbone
from composer.recipe.grammar.training import Training
from composer.train.context import StageContext

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's numbers


def prepare(training: Training, context: StageContext, *, precision: str | None = None) -> Backbone:
    """Set threads and seed, and open the backbone; it is read once for all stages of a run.

    Args:
        training: Threads, seed, and whether weights are laid out beforehand.
        context: Where the backbone is, and what it must be.
        precision: Instead of the context's: scores are taken in float32.

    Raises:
        BackboneError: The folder does not hold the backbone that the stage was planned for.
    """
    keep_freed_memory()
    torch.set_num_threads(training.threads)
    limit = context.backbone.max_tokens
    wanted = precision or context.precision
    backbone = _open(context.backbone_folder(), wanted, limit, context.mapped)
    if backbone.fingerprints != context.fingerprints:
        raise BackboneError(
            f"{context.backbone_folder()}: its fingerprint is "
            f"{backbone.fingerprints.body[:12]}, planned was {context.fingerprints.body[:12]}; "
            "the files changed since the plan was made"
        )
    backbone.to(PartialState().device)
    if backbone.encoder is not None:
        backbone.encoder.prepack(wanted=training.prepack)
    torch.manual_seed(training.seed)  # last: opening a backbone draws numbers, using one does not
    return backbone


def encoder_for(backbone: Backbone) -> Encoder:
    """Make the encoder of a backbone."""
    return Encoder(backbone.tokenizer, max_tokens=backbone.max_tokens)


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """Let glibc keep large blocks that are freed, as the next step asks for the same again.

    Without it each activation is mapped, zeroed and unmapped anew: a third of a step's time.
    """
    if sys.platform.startswith("linux") and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


@lru_cache(maxsize=2)
def _open(folder: Path, precision: str, max_tokens: int | None, shared: Path | None) -> Backbone:
    backbone = open_backbone(folder, precision=precision, max_tokens=max_tokens, shared=shared)
    if sys.platform.startswith("linux") and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)  # the wide weights it was narrowed from: no step takes such pieces
    return backbone
