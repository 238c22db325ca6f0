"""Memory of learning a language from a text of 50 MB and of 1 GB: the same.

    python benchmarks/text.py [--megabytes 50 1000] [--batches 50]

Each text is made of random words of some 40 letters, each of them one piece, so that cutting 1 GB
takes minutes and not hours; it is read, split, cut and written to the stage's token files whole.
Then batches from all over an epoch are read, hidden and learnt. A figure is the highest memory that
the process ever had resident (VmHWM) less what it had once all was imported and the backbone (a
tiny one) opened. Demanded is that the largest text takes at most 20 % more than the smallest.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel

ROOT = Path(__file__).parent.parent
MOST = 1.2  # times the memory of the smallest text
# Run in a process of its own: file of text, folder for the rest, batches.
CHILD = """
import json, sys, time
from pathlib import Path

def resident(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024

file, folder, batches = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
import torch
from composer.model.backbone import open_backbone
from composer.model.composed import ComposedModel
from composer.model.masked_lm import new_masked_head
from composer.recipe.grammar.schema import FileData, FolderBackbone, Training
from composer.recipe.expansion.stages import DataUse, Rows
from composer.train.plain_text import read_text
from tests.train.conftest import Workshop
import composer.train.stages

backbone = open_backbone(folder / "backbone", precision="float32")
shop = Workshop(backbone_folder=folder / "backbone", data_folder=file.parent, folder=folder)
context = shop.context("language/xx")
use = DataUse(source=FileData(source="files", path=file.name, truncate=True), languages=("en",))
settings = Training(epochs=2, batch_tokens=1024, threads=1)
before, start = resident("VmRSS"), time.perf_counter()
text = read_text((use,), Rows(pack_tokens=64), settings, backbone, context)
cut = time.perf_counter() - start
head = new_masked_head(text.counts, backbone)
model = ComposedModel(backbone, composition="none", adapters={})
first, _ = text.training.epochs()
for number in range(0, first.count, max(1, first.count // batches)):
    batch = first.batch(number).tensors
    head.loss(model.hidden(batch), batch["labels"]).backward()
print(json.dumps({
    "megabytes": resident("VmHWM") - before, "before": before, "rows": len(text.training.rows),
    "batches": first.count, "seconds_cutting": cut, "seconds": time.perf_counter() - start,
}))
"""


def main() -> None:
    """Measure, and print a line a text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[50, 1000])
    parser.add_argument("--batches", type=int, default=50)
    given = parser.parse_args()
    found = []
    for megabytes in sorted(given.megabytes):
        with tempfile.TemporaryDirectory() as folder:
            write_backbone(Path(folder) / "backbone")
            found.append(measure(Path(folder), megabytes, given.batches))
        print(_line(megabytes, found[-1]), flush=True)
    ratio = found[-1]["megabytes"] / found[0]["megabytes"]
    print(f"the largest takes {ratio:.2f} times the memory of the smallest; at most {MOST}")
    sys.exit(ratio > MOST)


def measure(folder: Path, megabytes: int, batches: int) -> dict[str, float]:
    """Write a text, and read it in a process of its own."""
    file = folder / "text.txt"
    with file.open("w") as stream:
        for lines in written(megabytes * 10**6):
            stream.write(lines)
    run = subprocess.run(
        [sys.executable, "-c", CHILD, str(file), str(folder), str(batches)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    if run.returncode:
        sys.exit(run.stderr)
    return dict(json.loads(run.stdout.splitlines()[-1]))


def words() -> list[str]:
    """Give the words that texts are made of."""
    random = Random(0)
    return ["".join(random.choices("abcdefghiklmnoprst", k=40)) for _ in range(20_000)]


def written(size: int, *, words_a_line: int = 20) -> Iterator[str]:
    """Give lines of random words, a thousand at a time, up to so many bytes."""
    random, known = Random(1), words()
    while size > 0:
        lines = "".join(f"{' '.join(random.choices(known, k=words_a_line))}\n" for _ in range(1000))
        yield lines
        size -= len(lines)


def write_backbone(folder: Path) -> None:
    """Write a tiny BERT that knows these words."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words()]
    tokenizer = Tokenizer(
        models.WordLevel({piece: id_ for id_, piece in enumerate(pieces)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(pieces[:5])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))


def _line(megabytes: int, found: dict[str, float]) -> str:
    started = time.strftime("%M:%S", time.gmtime(found["seconds"]))
    return (
        f"{megabytes:,} MB: {found['megabytes']:.1f} MB above {found['before']:.0f}; "
        f"{found['rows']:,.0f} rows, {found['batches']:,.0f} batches an epoch; {started} in all, "
        f"of which {found['seconds_cutting']:.0f} s reading and cutting"
    )


if __name__ == "__main__":
    main()
