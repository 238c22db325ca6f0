"""What all benchmarks run on: a BERT of base size with random weights, and real utterances.

The weights come from a config, so nothing is downloaded; their values do not change how long a
product takes. The utterances are of the sample data (`composer samples show assistant/intent`),
and the tokenizer is the one that bert-base-uncased and all-MiniLM-L6-v2 share.
"""

import json
import random
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from composer.data.samples.assistant import sample_examples
from composer.data.samples.backbones import default_cache, sample_backbone

SEED = 13


@dataclass(frozen=True, kw_only=True)
class Utterances:
    """Labelled sentences, as every side is given them.

    Attributes:
        texts: As native speakers wrote them.
        labels: Their intents.
        ids: Their tokens, with the special ones.
        file: The same as rows of JSON, for composer.
    """

    texts: list[str]
    labels: list[str]
    ids: list[list[int]]
    file: Path

    @property
    def classes(self) -> list[str]:
        """List the labels, each once."""
        return sorted(set(self.labels))

    @property
    def about(self) -> str:
        """Say how long they are."""
        lengths = sorted(map(len, self.ids))
        mean = sum(lengths) / len(lengths)
        return f"{len(lengths)} utterances of {mean:.1f} tokens on average, {lengths[-1]} at most"


def write_bert_base(folder: Path) -> Path:
    """Write a BERT of base size with random weights, and the tokenizer."""
    return write_bert(folder, layers=12, size=768)


def write_bert(folder: Path, *, layers: int, size: int) -> Path:
    """Write a BERT of any size."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(SEED)
    folder.mkdir(parents=True, exist_ok=True)
    config = BertConfig(
        num_hidden_layers=layers,
        hidden_size=size,
        intermediate_size=4 * size,
        num_attention_heads=max(1, size // 64),
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes((tokenizer_folder() / "tokenizer.json").read_bytes())
    return folder


def tokenizer_folder() -> Path:
    """Find the folder whose `tokenizer.json` is used."""
    return sample_backbone("all-MiniLM-L6-v2", cache=default_cache())


def utterances(folder: Path, count: int, *, name: str = "utterances") -> Utterances:
    """Draw English utterances with their intents, the same each time, and write them."""
    known = sample_examples("intent", language="en", split="train")
    chosen = random.Random(SEED).sample(known, count)
    texts = [one.text for one in chosen]
    labels = [str(one.label) for one in chosen]
    tokenizer = Tokenizer.from_file(str(tokenizer_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    file = folder / f"{name}.jsonl"
    rows = [{"text": text, "label": label} for text, label in zip(texts, labels, strict=True)]
    file.write_text("".join(json.dumps(one) + "\n" for one in rows))
    ids = [one.ids for one in tokenizer.encode_batch(texts)]
    return Utterances(texts=texts, labels=labels, ids=ids, file=file)
