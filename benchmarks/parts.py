"""What the parts of a training step gain, each over what torch or transformers would do.

    python benchmarks/parts.py [--json] [--runs 5]

BERT of base size, one Pfeiffer adapter, 85 texts of 12 tokens; the ideas in docs/benchmarks.md.
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ours
import torch
import torch.nn.functional as F
from measure import RUNS, THREADS, Report, in_turn, middle, options, ratios, row, show, timed
from setting import SEED, write_bert_base
from torch import Tensor

from composer.model.attention import Packing, attend, drop
from composer.model.backbone import Backbone, open_backbone
from composer.model.composed import ComposedModel
from composer.model.parts import new_bottleneck, new_head
from composer.train.setup import keep_freed_memory

TEXTS, TOKENS, SIZE, HEADS = 85, 12, 768, 12
PAIRS = {
    "a step": ("step", "step by transformers"),
    "a step with the backbone's dropout": ("step, dropout", "step by transformers, dropout"),
    "a step in bfloat16": ("step", "step in float32"),
    "attention, forwards and backwards": ("attention", "torch's attention"),
    "dropout of 1,020 x 768 values": ("dropout", "torch's dropout"),
}


def main() -> None:
    """Measure and print."""
    given = options(__doc__)
    torch.set_num_threads(THREADS)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        report = measure(Path(folder), given.runs)
    show(report, as_json=given.json)


def measure(folder: Path, runs: int = RUNS) -> Report:
    """Take every part in turn."""
    sides = {**steps(write_bert_base(folder / "backbone")), **small_parts()}
    seconds = in_turn({name: timed(work) for name, work in sides.items()}, runs=runs)
    rows = [
        row(
            what,
            ratios(seconds[other], seconds[ours_]),
            over=other,
            detail=f"{1e3 * middle(seconds[ours_]):.2f} against "
            f"{1e3 * middle(seconds[other]):.2f} ms",
        )
        for what, (ours_, other) in PAIRS.items()
    ]
    return Report(question=__doc__.splitlines()[0], rows=rows, ratio=rows[0].ratio)


def steps(folder: Path) -> dict[str, Callable[[], object]]:
    """Make steps by composer's layers and by the library's, narrow and wide."""
    narrow = open_backbone(folder, precision="bfloat16")
    wide = open_backbone(folder, precision="float32")
    library = replace(narrow, encoder=None)
    return {
        "step": one_step(narrow, dropout=False),
        "step by transformers": one_step(library, dropout=False),
        "step, dropout": one_step(narrow, dropout=True),
        "step by transformers, dropout": one_step(library, dropout=True),
        "step in float32": one_step(wide, dropout=False),
    }


def one_step(backbone: Backbone, *, dropout: bool) -> Callable[[], object]:
    """Make a forward and a backward pass of one batch."""
    drawn = torch.Generator().manual_seed(SEED)
    adapter = new_bottleneck(ours.LOW, sites=backbone.norms, size=SIZE, generator=drawn)
    head = new_head(classes=42, size=SIZE, generator=drawn)
    model = ComposedModel(backbone, composition="one", adapters={"one": adapter}, head=head)
    ids = torch.randint(1000, 2000, (TEXTS, TOKENS), generator=drawn)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    batch["token_type_ids"] = torch.zeros_like(ids)
    labels = torch.randint(0, 42, (TEXTS,), generator=drawn)

    def step() -> None:
        backbone.set_dropout(active=dropout)
        F.cross_entropy(model(batch), labels).backward()
        backbone.set_dropout(active=False)

    return step


def small_parts() -> dict[str, Callable[[], object]]:
    """Make the parts that a profile shows, alone."""
    joined = torch.randn(TEXTS * TOKENS, 3 * SIZE).bfloat16().requires_grad_()
    upstream = torch.randn(TEXTS * TOKENS, SIZE).bfloat16()
    packing = Packing.of(torch.ones(TEXTS, TOKENS, dtype=torch.bool))
    values = torch.randn(TEXTS * TOKENS, SIZE)
    return {
        "attention": lambda: attend(joined, packing=packing, heads=HEADS, dropout=0.0).backward(
            upstream
        ),
        "torch's attention": lambda: torchs_attention(joined).backward(upstream),
        "dropout": lambda: drop(values, 0.1),
        "torch's dropout": lambda: F.dropout(values, 0.1),
    }


def torchs_attention(joined: Tensor) -> Tensor:
    """Let torch do what `attend` does."""
    query, key, value = joined.view(TEXTS, TOKENS, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
    seen = F.scaled_dot_product_attention(query, key, value)
    return seen.transpose(1, 2).reshape(TEXTS * TOKENS, SIZE)


if __name__ == "__main__":
    main()
