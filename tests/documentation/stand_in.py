"""What pages are run on: tiny backbones under the names of the samples, and a folder of files.

A page says `sample:multilingual-e5-small`, which takes seconds to load and minutes to train on. In
the quick tests that name means a BERT of 2 layers of size 32; everything else is as printed. The
slow tests run the tutorial on the real one.
"""

import json
from dataclasses import replace
from pathlib import Path

from composer.bundle.files import sha256_file
from composer.bundle.fingerprint import fingerprint_folder
from composer.data.samples.backbones import MAKING, MANIFEST, SAMPLE_BACKBONES

NAMES = ("multilingual-e5-small", "all-MiniLM-L6-v2")
_SIZE, _LAYERS = 32, 2
_WORDS = (
    "turn on off the lamp light in kitchen bedroom living room set a timer for ten minutes how "
    "warm is it what time my of has not come yet where when will arrive i want do return please "
    "refund broken does switch can you repair this thank kind regards outrageous had "
    "enough never again stop music play weather today start close open door schalte die "
    "lampe der küche ein mach das licht im aus allume la de cuisine . , ! ?"
).split()


def write_stand_ins(cache: Path) -> None:
    """Write a tiny backbone under the place of each sample backbone in a cache."""
    from tests.tiny import piece_tokenizer, write_tiny_backbone

    for seed, name in enumerate(NAMES):
        folder = _folder(cache, name)
        write_tiny_backbone(folder, seed=seed, max_tokens=512, tokenizer=piece_tokenizer(_WORDS))
        files = {path.name: sha256_file(path) for path in sorted(folder.iterdir())}
        sources = dict(SAMPLE_BACKBONES[name].sources)
        manifest = {"making": MAKING, "name": name, "sources": sources, "files": files}
        (folder / MANIFEST).write_text(json.dumps(manifest))


def use_stand_ins(cache: Path) -> None:
    """Let the names of the samples mean what `write_stand_ins` wrote, in this process."""
    samples = SAMPLE_BACKBONES
    assert isinstance(samples, dict)
    for name in NAMES:
        folder = _folder(cache, name)
        samples[name] = replace(
            samples[name],
            fingerprints=fingerprint_folder(folder),
            hidden_size=_SIZE,
            layers=_LAYERS,
            intermediate_size=2 * _SIZE,
            embedding_rows=len(
                json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
            )
            + 512
            + 2,
        )


def _folder(cache: Path, name: str) -> Path:
    source = next(iter(SAMPLE_BACKBONES[name].sources.values()))
    return cache / "backbones" / f"{name}-{MAKING}-{source[:12]}"
