"""A tiny real backbone, built in memory: 2 layers of size 32, and a tokenizer of its own."""

from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoConfig,
    AutoModel,
    BertConfig,
    BertModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

SENTENCES = [
    "turn on the lamp in the kitchen",
    "turn off the light in the bedroom",
    "schalte die lampe in der küche ein",
    "mach das licht im schlafzimmer aus",
    "allume la lampe de la cuisine",
    "set a timer for ten minutes",
    "how warm is the living room",
    "wie warm ist es im wohnzimmer",
]


SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def tiny_tokenizer() -> Tokenizer:
    """Make a WordPiece tokenizer of the words above and of single letters.

    Its vocabulary is written down, not learnt: the trainer breaks ties another way each time.
    """
    words = sorted({word for sentence in SENTENCES for word in sentence.split()})
    letters = sorted({letter for word in words for letter in word} | set("0123456789"))
    return piece_tokenizer([*letters, *(f"##{letter}" for letter in letters), *words])


def piece_tokenizer(pieces: Iterable[str]) -> Tokenizer:
    """Make a WordPiece tokenizer of pieces, as BERT has one; any other word is unknown."""
    known = dict.fromkeys([*SPECIAL, *pieces])
    vocabulary = {piece: number for number, piece in enumerate(known)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return tokenizer


def write_tiny_backbone(
    folder: Path,
    *,
    seed: int = 0,
    size: int = 32,
    layers: int = 2,
    max_tokens: int = 64,
    tokenizer: Tokenizer | None = None,
) -> Path:
    """Write a BERT with random weights; another seed is another backbone of the same shape."""
    tokenizer = tokenizer or tiny_tokenizer()
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=size,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=2 * size,
        max_position_embeddings=max_tokens,
    )
    _write(folder, BertModel(config, add_pooling_layer=False), tokenizer, seed)
    return folder


def write_tiny_roberta(folder: Path, *, seed: int = 0) -> Path:
    """Write an XLM-R with random weights."""
    tokenizer = tiny_tokenizer()
    config = XLMRobertaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=66,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        type_vocab_size=1,
    )
    _write(folder, XLMRobertaModel(config, add_pooling_layer=False), tokenizer, seed)
    return folder


def write_tiny_family(folder: Path, family: str, *, seed: int = 0) -> Path:
    """Write an encoder of another family with random weights; `family` is its `model_type`."""
    tokenizer = tiny_tokenizer()
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    if family == "distilbert":
        sizes = {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4}
    else:
        sizes["intermediate_size"] = 64
    config = AutoConfig.for_model(
        family,
        vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=66,
        pad_token_id=0,
        **sizes,
    )
    _write(folder, AutoModel.from_config(config), tokenizer, seed)
    return folder


def _write(folder: Path, model: torch.nn.Module, tokenizer: Tokenizer, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Norms and biases too: what is one or zero hides a swap.
            spread = 0.2 if parameter.ndim > 1 else 0.1
            parameter.normal_(0.0, spread, generator=generator)
            if name.endswith("LayerNorm.weight"):
                parameter.add_(1.0)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
