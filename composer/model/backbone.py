"""The door to backbones: screen the folder, load, freeze, and say what was loaded.

A backbone folder holds `config.json`, `tokenizer.json` and safetensors weights. It comes from
others, so no library is given the folder: `transformers` gets the numbers that `screening` took
from the config, and the weights are read here, each tensor held to the shape that the config
asks for before a byte of it is kept.
"""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers
from tokenizers import Tokenizer
from torch import Tensor, nn

from composer.bundle.fingerprint import Fingerprints, fingerprint_folder
from composer.data.tokenizer import read_tokenizer
from composer.errors import BackboneError
from composer.model.adapters import Site, Sites, open_sites
from composer.model.architectures import EncoderConfig
from composer.model.encoder import Arrived, Changes, Encoder, new_encoder
from composer.model.layouts import LAYOUTS
from composer.model.mapped import mapped_weights
from composer.model.screening import screen_folder
from composer.model.weights import check_weights, load_weights, place_weights


class _Users:
    """Who uses a backbone at the moment: threads that predict, or one that has dropout on."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.predicting: Counter[threading.Thread] = Counter()
        self.dropping: threading.Thread | None = None


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A frozen encoder, ready for adapters.

    Attributes:
        module: The bare encoder; every parameter frozen, in evaluation mode.
        sites: Where adapters act.
        norms: The layer norm behind each site.
        tokenizer: As `tokenizer.json` says.
        fingerprints: Of the files that were loaded.
        size: Hidden size.
        max_tokens: The longest input, with special tokens.
        pad_id: Token that fills short rows.
        precision: "float32" or "bfloat16", of the operands of frozen matrix products.
        architecture: Its `model_type`.
        config: What composer read of its `config.json`.
        encoder: Its layers as composer computes them; None: `transformers` does.
        folder: That it was loaded from.

    Any number of threads may predict on one backbone at a time, each with its own composition,
    and one may train beside them; but training with the backbone's own dropout wants it alone.
    """

    module: nn.Module
    sites: Sites
    norms: Mapping[Site, nn.LayerNorm]
    tokenizer: Tokenizer
    fingerprints: Fingerprints
    size: int
    max_tokens: int
    pad_id: int
    precision: str
    architecture: str
    config: EncoderConfig
    encoder: Encoder | None = field(repr=False)
    folder: Path
    _users: _Users = field(default_factory=_Users, repr=False)

    @property
    def word_embeddings(self) -> nn.Embedding:
        """The table of token embeddings."""
        return self.module.get_input_embeddings()  # type: ignore[no-any-return, operator]

    @property
    def products(self) -> torch.dtype | None:
        """What matrix products are taken in; None: in the precision of their weights."""
        return torch.bfloat16 if self.precision == "bfloat16" else None

    def to(self, target: torch.device | torch.dtype) -> None:
        """Move the weights to a device, or widen them to a type, if they are not there."""
        weight = self.word_embeddings.weight
        if target not in (weight.device, weight.dtype):
            self.module.to(target)
            if self.encoder is not None:
                self.encoder.read_weights()

    def encode(
        self,
        batch: Mapping[str, Tensor],
        changes: Changes | None = None,
        *,
        first_only: bool = False,
        arrived: Arrived | None = None,
    ) -> Tensor:
        """Run the encoder: token ids of (batch, tokens) to (batch, tokens, size).

        Args:
            batch: `input_ids`, `attention_mask`, `token_type_ids`, each (batch, tokens).
            changes: What this pass computes otherwise; only where composer has the layers.
            first_only: No token but the first of each text is read; the others may be left out.
            arrived: Where to begin; only where composer has the layers.
        """
        if self.encoder is not None:
            return self.encoder.run(batch, changes, first_only=first_only, arrived=arrived)
        inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
        if getattr(self.module.config, "type_vocab_size", 0) > 1:
            inputs["token_type_ids"] = batch["token_type_ids"]
        return self.module(**inputs).last_hidden_state  # type: ignore[no-any-return]

    def set_dropout(self, *, active: bool) -> None:
        """Let the backbone's own dropout act, as it does in fine-tuning, or not.

        Raises:
            BackboneError: Another thread uses the backbone, and would have its results changed.
        """
        with self._users.lock:
            self._switch(active=active)

    @contextmanager
    def predicting(self) -> Iterator[None]:
        """Keep the backbone's own dropout off while the block runs.

        Raises:
            BackboneError: Another thread trains with it.
        """
        here = threading.current_thread()
        with self._users.lock:
            self._switch(active=False)
            self._users.predicting[here] += 1
        try:
            yield
        finally:
            with self._users.lock:
                self._users.predicting -= Counter([here])  # drops what comes to zero

    def _switch(self, *, active: bool) -> None:
        here, users = threading.current_thread(), self._users
        others = [users.dropping, *(users.predicting if active else ())]
        if any(other not in (None, here) and other.is_alive() for other in others):
            raise BackboneError(
                "the backbone is in use by another thread, and its own dropout acts in all "
                "threads or in none; open it once more (open_backbone) to train with dropout"
            )
        users.dropping = here if active else None
        if self.module.training != active:
            self.module.train(active)


def open_backbone(
    folder: Path, *, precision: str, max_tokens: int | None = None, shared: Path | None = None
) -> Backbone:
    """Load a backbone folder, frozen.

    Args:
        folder: With `config.json`, `tokenizer.json` and safetensors weights.
        precision: "float32" or "bfloat16".
        max_tokens: A shorter limit than the backbone's own.
        shared: Folder of weights that several processes map, so that memory holds them once;
            None: this process has its own.

    Raises:
        BackboneError: A file is missing, unsafe, or does not hold what the config says.
    """
    kind, config = screen_folder(folder)
    tokenizer = read_tokenizer(folder, rows=config.vocab_size, types=config.type_vocab_size)
    module = _build(kind, config, place=folder)
    check_weights(module, folder)  # before anything is read of them
    fingerprints = fingerprint_folder(folder)
    if shared is None:
        load_weights(module, folder)
    else:
        place_weights(module, _mapped(module, kind, folder, precision, fingerprints, shared))
    module.requires_grad_(requires_grad=False).eval()
    shape: transformers.PretrainedConfig = module.config  # type: ignore[assignment]
    sites = open_sites(module)
    if precision == "bfloat16":
        _narrow_products(module)
    norms = _find_norms(module, sites)
    return Backbone(
        module=module,
        sites=sites,
        norms=norms,
        encoder=new_encoder(module, kind=kind, config=config, sites=sites, norms=norms),
        tokenizer=tokenizer,
        fingerprints=fingerprints,
        size=shape.hidden_size,
        max_tokens=_longest(shape, max_tokens),
        pad_id=config.pad_token_id,
        precision=precision,
        architecture=kind,
        config=config,
        folder=folder,
    )


def _build(kind: str, config: EncoderConfig, *, place: Path) -> nn.Module:
    """Make the bare encoder, without memory for its weights."""
    try:
        made = transformers.CONFIG_MAPPING[kind](**config.passed_on())  # type: ignore[arg-type]
        with torch.device("meta"):
            module: nn.Module = transformers.MODEL_MAPPING[type(made)](made)  # type: ignore[operator]
    except (ValueError, TypeError, AssertionError, RuntimeError) as error:
        raise BackboneError(f"{place}: transformers cannot build it: {error}") from error
    if getattr(module, "pooler", None) is not None:
        module.pooler = None  # type: ignore[assignment] # of its pre-training; adapters have heads
    return module


def _mapped(
    module: nn.Module,
    kind: str,
    folder: Path,
    precision: str,
    fingerprints: Fingerprints,
    shared: Path,
) -> Mapping[str, Tensor]:
    """Map the weights in the precision of products, side by side those of one product."""
    products = [name for name, one in module.named_modules() if isinstance(one, nn.Linear)]
    layout, layers = LAYOUTS.get(kind, {}), int(module.config.num_hidden_layers)  # type: ignore[union-attr, arg-type]
    joined = [layout[f"{{}}.{part}"] for part in ("query", "key", "value") if layout]
    return mapped_weights(
        module,
        folder,
        narrow={f"{name}.weight" for name in products} if precision == "bfloat16" else set(),
        fingerprints=fingerprints,
        cache=shared,
        together=[[f"{name.format(n)}.weight" for name in joined] for n in range(layers)],
    )


def _find_norms(module: nn.Module, sites: Sites) -> dict[Site, nn.LayerNorm]:
    """Learn which norm stands behind each site, by running two tokens through."""
    norms: dict[Site, nn.LayerNorm] = {}

    def note(site: Site, hidden: Tensor, residual: Tensor, norm: nn.LayerNorm) -> Tensor:
        if not isinstance(norm, nn.LayerNorm):
            raise BackboneError(
                f"no layer norm behind site {site}: composer needs post-norm layers"
            )
        norms[site] = norm
        return norm(hidden + residual)  # type: ignore[no-any-return]

    ids = torch.ones((1, 2), dtype=torch.long)
    with torch.no_grad(), sites.acting(note):
        module(input_ids=ids, attention_mask=torch.ones_like(ids))
    return norms


class NarrowLinear(nn.Module):
    """A frozen linear layer whose product is taken in bfloat16.

    Operands are cast, the product is widened again and the bias added in float32, so that
    residuals, norms and softmax never see bfloat16. Some four times faster than float32 on
    processors with AVX-512 bf16.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.register_buffer("weight", linear.weight.detach().to(torch.bfloat16))
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())

    def forward(self, inputs: Tensor) -> Tensor:
        """Multiply (batch, tokens, in) to (batch, tokens, out), both float32."""
        product = F.linear(inputs.to(torch.bfloat16), self.weight).float()  # type: ignore[arg-type]
        return product if self.bias is None else product + self.bias  # type: ignore[operator]


def _narrow_products(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, NarrowLinear(child))
        else:
            _narrow_products(child)


def _longest(config: transformers.PretrainedConfig, wanted: int | None) -> int:
    # RoBERTa's positions start behind the padding id, so two of them are never used.
    offset = (config.pad_token_id or 0) + 1 if "roberta" in config.model_type else 0
    longest = int(config.max_position_embeddings) - offset
    if wanted is not None and wanted > longest:
        raise BackboneError(f"max_tokens {wanted}: the backbone takes at most {longest}")
    return wanted or longest
