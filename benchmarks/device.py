"""What adapters cost on a device: the graph with them over the plain graph, in ONNX Runtime.

    python benchmarks/device.py [--json] [--runs 60]

One thread, batch 1, on all-MiniLM-L6-v2 and on a BERT of base size (random weights). All
variants of a size are run in turn, so that what disturbs one disturbs all; a figure is the
median of the ratios to the plain graph of the same turn.

Then a bundle of all-MiniLM-L6-v2 with a hundred adapters, each figure from a process of its own
that never imports torch: its memory with one adapter prepared and with all of them, and what it
takes to change from one to another.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertModel

from composer.bundle.fingerprint import tensor_digests
from composer.bundle.graphs import GraphRecord, Signature, Slot
from composer.bundle.reader import open_bundle
from composer.bundle.records import BackboneRecord, CompositionRecord
from composer.bundle.writer import NewPart, write_bundle
from composer.data.samples.backbones import default_cache, sample_backbone
from composer.device.session import Session
from composer.model.backbone import Backbone, open_backbone
from composer.model.families import Encoder, read_encoder
from composer.model.graph_files import make_graphs
from composer.recipe.grammar.adapters import BottleneckAdapter
from composer.recipe.grammar.bundles import GraphPrecision
from composer.train.graphs import make_device_graphs

LOW = Slot(placement="pfeiffer", non_linearities=("relu",))
HIGH = Slot(placement="houlsby", non_linearities=("relu",))
# Variant -> signature, precision, members of its fusion.
VARIANTS: dict[str, tuple[Signature, GraphPrecision, int]] = {
    "plain": (Signature(), "float32", 1),
    "one adapter": (Signature(upper=LOW), "float32", 1),
    "stack + fusion of 3": (Signature(lower=LOW, upper=LOW, mixing=True), "float32", 3),
    "one adapter, Houlsby": (Signature(upper=HIGH), "float32", 1),
    "one adapter, int8": (Signature(upper=LOW), "int8", 1),
    "one adapter, weight-int8": (Signature(upper=LOW), "weight-int8", 1),
}
LENGTHS = (32, 128)
PROMISED = {
    ("all-MiniLM-L6-v2", "one adapter"): 1.07,
    ("all-MiniLM-L6-v2", "stack + fusion of 3"): 1.15,
    ("BERT-base", "one adapter"): 1.05,
    ("BERT-base", "stack + fusion of 3"): 1.10,
    ("all-MiniLM-L6-v2", "one adapter, int8"): 0.45,
    ("BERT-base", "one adapter, int8"): 0.45,
}

ADAPTERS = 100
WIDTH = 24
SWAPS = 300
SHARE = 0.006  # of the backbone, that a part may have
MEMORY = 1.5  # with a hundred adapters, over that with one
SWAP_MILLISECONDS = 1.0
# Run where torch is never imported: bundle, how many adapters to prepare, how often to swap.
CHILD = """
import json, resource, statistics, sys, time
from composer.device.bundle import Bundle

def median(times, what):
    taken = []
    for number in range(times):
        start = time.perf_counter()
        what(number)
        taken.append(1000 * (time.perf_counter() - start))
    return statistics.median(taken)

path, count, swaps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
bundle = Bundle.open(path, threads=1)
names = bundle.compositions[:count]
bundle.predict(["turn on the lamp"], composition=names[0])
cold = median(count - 1, lambda number: bundle.use(names[number + 1])) if count > 1 else 0.0
for name in names:
    bundle.predict(["turn on the lamp in the kitchen"], composition=name)
pages = int(open("/proc/self/statm").read().split()[1])
found = {"megabytes": pages * resource.getpagesize() / 2**20, "cold": cold}
text = ["turn on the lamp"]
if swaps:
    found["warm"] = median(swaps, lambda number: bundle.use(names[number % count]))
    one = bundle.use(names[0])
    still, swapped = [], []
    for number in range(swaps):
        still.append(median(1, lambda _: bundle.use(names[0]).predict(text)))
        swapped.append(median(1, lambda _: bundle.use(names[number % count]).predict(text)))
    found["still"], found["swapped"] = statistics.median(still), statistics.median(swapped)
found["torch"] = "torch" in sys.modules
print(json.dumps(found))
"""


def main() -> None:
    """Time every variant and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=60)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        backbones = {
            "all-MiniLM-L6-v2": (sample_backbone("all-MiniLM-L6-v2", cache=default_cache()), 24),
            "BERT-base": (write_bert_base(Path(folder)), 48),
        }
        rows = [
            row
            for name, (at, width) in backbones.items()
            for row in rows_of(name, at, width, given.runs)
        ]
        bundle = bundle_figures(Path(folder), backbones["all-MiniLM-L6-v2"][0])
    worst = max(row["ratio"] / row["promised"] for row in rows if row["promised"])
    if given.json:
        print(json.dumps({"rows": rows, "bundle": bundle, "ratio": round(worst, 3)}))
        return
    for row in rows:
        promised = f"promised {row['promised']:.2f}" if row["promised"] else ""
        print(
            f"{row['backbone']:18} {row['tokens']:4} tokens   {row['variant']:26} "
            f"{row['milliseconds']:8.2f} ms   {row['ratio']:.3f} of plain   {promised}"
        )
    print(f"worst, as a share of what is promised: {worst:.2f}")
    for what, (value, unit, promised) in bundle.items():
        told = f"promised {promised}" if promised is not None else ""
        print(f"{what:52} {value:10.3f} {unit:6} {told}")


def rows_of(name: str, folder: Path, width: int, runs: int) -> list[dict[str, object]]:
    """Time the variants on one backbone."""
    encoder = read_encoder(open_backbone(folder, precision="float32"))
    sessions = {variant: session_of(encoder, *VARIANTS[variant][:2]) for variant in VARIANTS}
    found = []
    for tokens in LENGTHS:
        feeds = {
            variant: feeds_of(session, tokens, width, VARIANTS[variant][2])
            for variant, session in sessions.items()
        }
        seconds = time_in_turn(sessions, feeds, runs)
        for variant, taken in seconds.items():
            ratios = [one / plain for one, plain in zip(taken, seconds["plain"], strict=True)]
            found.append(
                {
                    "backbone": name,
                    "tokens": tokens,
                    "variant": variant,
                    "milliseconds": round(1000 * statistics.median(taken), 3),
                    "ratio": round(statistics.median(ratios), 3),
                    "promised": PROMISED.get((name, variant)),
                }
            )
    return found


def session_of(encoder: Encoder, signature: Signature, precision: GraphPrecision) -> Session:
    """Make a graph and load it, on one thread."""
    record = GraphRecord(signature=signature, precision=precision)
    files = make_graphs(encoder, {"graph": record})
    return Session(files.structures["graph"], files.weights, threads=1, place=precision)


def feeds_of(session: Session, tokens: int, width: int, members: int) -> dict[str, np.ndarray]:
    """Fill a graph's inputs with numbers of the right shapes."""
    lengths = {"batch": 1, "rows": 1, "classes": 40, "tokens": tokens, "members": members}
    lengths |= {"lower_units": width, "upper_units": members * width}
    lengths |= {"reads": 2 * members * width + members, "outs": members * width + members}
    random = np.random.default_rng(0)
    found: dict[str, np.ndarray] = {}
    for name, shape in session.inputs.items():
        known = [lengths[one] if isinstance(one, str) else one for one in shape]
        if name == "input_ids":
            found[name] = random.integers(1000, 20_000, known)
        elif name in ("attention_mask", "token_type_ids"):
            found[name] = np.full(known, int(name == "attention_mask"))
        elif name == "segments":
            found[name] = np.kron(np.eye(members), np.ones((width, 1))).astype(np.float32)
        else:
            found[name] = (0.02 * random.standard_normal(known)).astype(np.float32)
    return found


def time_in_turn(
    sessions: Mapping[str, Session], feeds: Mapping[str, dict[str, np.ndarray]], runs: int
) -> dict[str, list[float]]:
    """Run all variants one after another, again and again; the first turns do not count."""
    seconds: dict[str, list[float]] = {variant: [] for variant in sessions}
    for turn in range(runs + 5):
        for variant, session in sessions.items():
            start = time.perf_counter()
            session.run(feeds[variant])
            if turn >= 5:
                seconds[variant].append(time.perf_counter() - start)
    return seconds


def bundle_figures(folder: Path, at: Path) -> dict[str, tuple[float, str, float | None]]:
    """Measure a bundle of a hundred adapters: what -> value, unit, what is promised."""
    sizes = {}
    for precision in (np.float16, np.float32):
        home = folder / np.dtype(precision).name
        write_hundred(home, at, precision)
        parts = open_bundle(home).manifest.parts
        sizes[precision] = parts["a00"].bytes
    weights = sum(path.stat().st_size for path in at.glob("*.safetensors"))
    one, all_ = (in_child(home, count, swaps) for count, swaps in ((1, 0), (ADAPTERS, SWAPS)))
    return {
        "part, float32": (sizes[np.float32] / 1000, "kB", None),
        "part, float16": (sizes[np.float16] / 1000, "kB", None),
        "part, float32, of the backbone": (
            100 * sizes[np.float32] / weights,
            "%",
            100 * SHARE,
        ),
        "memory with one adapter": (one["megabytes"], "MiB", None),
        f"memory with {ADAPTERS} adapters": (all_["megabytes"], "MiB", None),
        f"memory with {ADAPTERS} over one": (all_["megabytes"] / one["megabytes"], "", MEMORY),
        "first use of an adapter": (all_["cold"], "ms", None),
        "use of one that is prepared": (all_["warm"], "ms", None),
        "a prediction with the adapter of the one before": (all_["still"], "ms", None),
        "a prediction with another adapter": (all_["swapped"], "ms", None),
        "swap": (all_["swapped"] - all_["still"], "ms", SWAP_MILLISECONDS),
    }


def in_child(bundle: Path, count: int, swaps: int) -> dict[str, float]:
    """Run the measurements in a process that has nothing else in it."""
    command = [sys.executable, "-c", CHILD, str(bundle), str(count), str(swaps)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    found: dict[str, float] = json.loads(run.stdout)
    if found["torch"]:
        raise SystemExit("the device runtime imported torch")
    return found


def write_hundred(target: Path, at: Path, precision: type) -> None:
    """Write a bundle of random Pfeiffer adapters and one head of 40 labels."""
    backbone, random = open_backbone(at, precision="float32"), np.random.default_rng(0)
    shape = BottleneckAdapter(kind="bottleneck", placement="pfeiffer", width=WIDTH)
    size, layers = backbone.size, len(backbone.sites.order) // 2
    shapes = {"down": (WIDTH, size), "down_bias": (WIDTH,), "up": (size, WIDTH), "up_bias": (size,)}

    def numbers(*shape: int) -> np.ndarray:
        return (0.02 * random.standard_normal(shape)).astype(precision)

    head = {"weight": numbers(40, size), "bias": numbers(40)}
    parts = {"head": NewPart(kind="head", role="head", tensors=head)}
    compositions = {}
    for name in (f"a{number:02}" for number in range(ADAPTERS)):
        tensors = {
            f"{layer}.output.{one}": numbers(*lengths)
            for layer in range(layers)
            for one, lengths in shapes.items()
        }
        config = shape.model_dump(mode="json", exclude_none=True)
        parts[name] = NewPart(kind="bottleneck", role="task", tensors=tensors, config=config)
        compositions[name] = CompositionRecord(
            expression=name,
            parts=(name,),
            head="head",
            type="text-classification",
            labels=tuple(f"label {number}" for number in range(40)),
            graph="graph",
        )
    write_bundle(
        target,
        composer="0",
        backbone=described(backbone, at),
        backbone_tensors=tensor_digests(at),
        tokenizer=(at / "tokenizer.json").read_bytes(),
        parts=parts,
        compositions=compositions,
        graphs=make_device_graphs(backbone, parts, compositions, "float32").files,
    )


def described(backbone: Backbone, at: Path) -> BackboneRecord:
    """Tell of a backbone what a bundle does."""
    parameters = sum(one.numel() for one in backbone.module.state_dict().values())
    return BackboneRecord(
        name=at.name,
        source="folder",
        body=backbone.fingerprints.body,
        vocabulary=backbone.fingerprints.vocabulary,
        tokenizer=hashlib.sha256((at / "tokenizer.json").read_bytes()).hexdigest(),
        model_type="bert",
        hidden_size=backbone.size,
        layers=len(backbone.sites.order) // 2,
        max_tokens=backbone.max_tokens,
        parameters=parameters,
        token_parameters=backbone.word_embeddings.weight.numel(),
    )


def write_bert_base(folder: Path) -> Path:
    """Write a BERT of base size with random weights, and a tokenizer that is not used."""
    BertModel(BertConfig(), add_pooling_layer=False).save_pretrained(folder)
    at = sample_backbone("all-MiniLM-L6-v2", cache=default_cache())
    (folder / "tokenizer.json").write_bytes((at / "tokenizer.json").read_bytes())
    return folder


if __name__ == "__main__":
    main()
