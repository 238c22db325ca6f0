"""Texts as token ids, with the special tokens of the backbone and never longer than it takes.

    encoder = Encoder(tokenizer, max_tokens=512)
    encoder.encode([Example(text="turn on the lamp")])[0].ids     [101, 2735, 2006, 1996, ...]

A text that is too long is refused with its place, unless the data source says `truncate: true`:
then it is cut as the tokenizer itself would cut it, the special tokens kept.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice

from tokenizers import Encoding, Tokenizer

from composer.data.examples import Example
from composer.data.faults import FaultList
from composer.data.words import continuations
from composer.errors import BackboneError

# How a tokenizer cuts is a setting of its own, made anew for each call: threads take turns.
_SETTINGS = threading.Lock()
_TOGETHER = 1000  # texts encoded at a time: what the tokenizer says of each is large


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One example as the backbone reads it.

    Attributes:
        ids: Token ids, with special tokens.
        type_ids: 0, and 1 for the second text of a pair where the backbone tells them apart.
        special: 1 for each special token that the tokenizer added, else 0.
        offsets: Start and end of each token in the text, in characters; (0, 0) for special
            tokens. Empty unless asked for.
        cut: Tokens that were cut off.
        continues: 1 for each token that goes on with the word of the token before, else 0. Empty
            unless asked for.
    """

    ids: list[int]
    type_ids: list[int]
    special: list[int]
    offsets: list[tuple[int, int]]
    cut: int = 0
    continues: list[int] = field(default_factory=list)


class Encoder:
    """Encodes without padding, and without cutting unless asked for, whatever a tokenizer says.

    The tokenizer is as it was after each call: a copy of a large one takes seconds.

    Attributes:
        max_tokens: Most tokens of a text, or of a pair, with the special ones.
        pad_id: The token that fills a batch.
        mask_id: The token that hides another; None where the tokenizer has none.
    """

    def __init__(self, tokenizer: Tokenizer, *, max_tokens: int) -> None:
        """Take what the tokenizer says of itself.

        Raises:
            BackboneError: No text fits between the special tokens.
        """
        if max_tokens <= tokenizer.num_special_tokens_to_add(is_pair=True):
            raise BackboneError(f"max_tokens: {max_tokens} leaves no room for a text")
        self.max_tokens = max_tokens
        self.pad_id = _pad_id(tokenizer)
        self.mask_id = _first_id(tokenizer, ("[MASK]", "<mask>"))
        self._tokenizer = tokenizer

    def encode(
        self,
        examples: Sequence[Example],
        *,
        truncate: bool = False,
        offsets: bool = False,
        words: bool = False,
    ) -> list[Encoded]:
        """Encode examples in their order.

        Args:
            examples: With or without a second text.
            truncate: Cut what is too long instead of refusing it.
            offsets: Keep the offsets, for token classification.
            words: Find out which tokens go on with a word.

        Raises:
            DataError: Texts that are too long, each with its place.
        """
        encoded = self._encode(examples, offsets=offsets, words=words)
        long = [index for index, one in enumerate(encoded) if len(one.ids) > self.max_tokens]
        if not truncate:
            self._refuse(examples, encoded, long)
        short = [examples[index] for index in long]
        cut = self._encode(short, offsets=offsets, words=words, cut=True)
        for index, one in zip(long, cut, strict=True):
            encoded[index] = replace(one, cut=len(encoded[index].ids) - len(one.ids))
        return encoded

    def whole(self, texts: Iterable[str]) -> Iterator[list[int]]:
        """Give the ids of each text, special tokens included, however long it is: for counting."""
        texts = iter(texts)
        while some := list(islice(texts, _TOGETHER)):
            with _own_settings(self._tokenizer, max_tokens=None):
                found = self._tokenizer.encode_batch(some)
            yield from (one.ids for one in found)

    def _refuse(
        self, examples: Sequence[Example], encoded: Sequence[Encoded], long: Sequence[int]
    ) -> None:
        faults = FaultList()
        for index in long:
            message = (
                f"{len(encoded[index].ids)} tokens, and the backbone takes {self.max_tokens}, "
                "special ones included; shorten the text, or cut it: 'truncate: true' on the data "
                "source, --truncate on the command line"
            )
            faults.add(examples[index].place or f"example {index + 1}", message)
        faults.raise_any()

    def _encode(
        self, examples: Sequence[Example], *, offsets: bool, words: bool, cut: bool = False
    ) -> list[Encoded]:
        encoded: list[Encoded] = []
        with _own_settings(self._tokenizer, max_tokens=self.max_tokens if cut else None):
            for start in range(0, len(examples), _TOGETHER):
                some = examples[start : start + _TOGETHER]
                found = self._tokenizer.encode_batch([_input(example) for example in some])
                encoded += [
                    _encoded(one, example, offsets=offsets, words=words)
                    for one, example in zip(found, some, strict=True)
                ]
        return encoded


@contextmanager
def _own_settings(tokenizer: Tokenizer, *, max_tokens: int | None) -> Iterator[None]:
    """Switch padding off, and cutting too unless there is a number of tokens to cut to."""
    with _SETTINGS:
        yield from _set(tokenizer, max_tokens)


def _set(tokenizer: Tokenizer, max_tokens: int | None) -> Iterator[None]:
    truncation, padding = tokenizer.truncation, tokenizer.padding
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if max_tokens is not None:
        how = truncation or {"strategy": "longest_first", "direction": "right"}
        tokenizer.enable_truncation(
            max_tokens, strategy=how["strategy"], direction=how["direction"]
        )
    try:
        yield
    finally:
        tokenizer.no_truncation()
        if truncation:
            tokenizer.enable_truncation(**truncation)
        if padding:
            tokenizer.enable_padding(**padding)


def cut_texts(encoded: Sequence[Encoded]) -> int:
    """Count the texts that lost tokens.

    >>> cut_texts([Encoded(ids=[1], type_ids=[0], special=[0], offsets=[], cut=3)])
    1
    """
    return sum(one.cut > 0 for one in encoded)


def _input(example: Example) -> str | tuple[str, str]:
    return example.text if example.pair is None else (example.text, example.pair)


def _encoded(encoding: Encoding, example: Example, *, offsets: bool, words: bool) -> Encoded:
    return Encoded(
        ids=encoding.ids,
        type_ids=encoding.type_ids,
        special=encoding.special_tokens_mask,
        offsets=encoding.offsets if offsets else [],
        continues=continuations(encoding, example.text, example.pair or "") if words else [],
    )


def _pad_id(tokenizer: Tokenizer) -> int:
    padding = tokenizer.padding
    if padding:
        return int(padding["pad_id"])
    return _first_id(tokenizer, ("[PAD]", "<pad>")) or 0  # masked out: any id does


def _first_id(tokenizer: Tokenizer, tokens: Sequence[str]) -> int | None:
    found = (tokenizer.token_to_id(token) for token in tokens)
    return next((one for one in found if one is not None), None)
