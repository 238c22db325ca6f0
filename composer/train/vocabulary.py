"""A bundle's own copy of the backbone, with the token embeddings that its languages' texts use.

The training and validation texts say which pieces are kept. On the test texts, which had no part
in it, it is counted how many are cut into other pieces than before.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from composer.bundle.fingerprint import fingerprint_folder
from composer.bundle.records import ChangedTexts, TrimmedRecord
from composer.data.encode import Encoder
from composer.data.sources import read_examples
from composer.data.tokenizer import read_tokenizer
from composer.model.screening import screen_folder
from composer.model.trimming import Trimmed, rows_in_use, trim_folder, write_trimmed
from composer.recipe.expansion.stages import DataUse, Export
from composer.recipe.grammar.data import Split
from composer.train.context import StageContext
from composer.train.labelled import Where, where

_CHOOSING: tuple[Split, ...] = ("train", "validation")


@contextmanager
def own_vocabulary(stage: Export, context: StageContext) -> Iterator[StageContext]:
    """Give the context to export in: with a trimmed backbone where the bundle has one.

    Raises:
        BackboneError: The backbone's tokenizer cannot be trimmed.
        DataError: The texts cannot be read.
    """
    if stage.data is None:
        yield context
        return
    context.checkpoint.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=context.checkpoint) as made:
        folder = Path(made)
        texts = partial(texts_of, stage.data, where=where(context))
        whole = context.backbone_folder()
        trim_backbone(whole, folder, stage.data.languages, texts, pieces=stage.pieces)
        yield replace(
            context,
            backbone_folder=lambda: folder,
            fingerprints=fingerprint_folder(folder),
        )


def trim_backbone(
    whole: Path,
    folder: Path,
    languages: Sequence[str],
    texts: Callable[[str, Split], list[str]],
    *,
    pieces: int | None = None,
) -> Trimmed:
    """Write a copy of a backbone with what the texts of some languages need.

    Args:
        whole: The backbone.
        folder: Is there, and empty.
        languages: Of the texts.
        texts: Gives those of a language and a split.
        pieces: Fill up to so many.

    Raises:
        BackboneError: The backbone's tokenizer cannot be trimmed.
        DataError: The texts cannot be read.
    """
    encoder = _encoder(whole)
    used = {
        number
        for language in languages
        for split in _CHOOSING
        for ids in encoder.whole(texts(language, split))
        for number in ids
    }
    rows = rows_in_use(whole, used, at_least=pieces or 0)
    trim_folder(whole, folder, rows)
    record = TrimmedRecord(
        parent=fingerprint_folder(whole).vocabulary,
        rows=screen_folder(whole)[1].vocab_size,
        kept=len(rows),
        changed=tuple(_changed(encoder, _encoder(folder), rows, sorted(languages), texts)),
    )
    trimmed = Trimmed(rows=rows, record=record)
    write_trimmed(folder, trimmed)
    return trimmed


def _changed(
    before: Encoder,
    after: Encoder,
    rows: Sequence[int],
    languages: Sequence[str],
    texts: Callable[[str, Split], list[str]],
) -> Iterator[ChangedTexts]:
    """Count, a language, the test texts that are cut into other pieces."""
    number = {old: new for new, old in enumerate(rows)}
    for language in languages:
        measured = texts(language, "test")
        cut = zip(before.whole(measured), after.whole(measured), strict=True)
        differ = sum([number.get(one) for one in old] != new for old, new in cut)
        yield ChangedTexts(language=language, texts=len(measured), changed=differ)


def _encoder(folder: Path) -> Encoder:
    _, config = screen_folder(folder)
    tokenizer = read_tokenizer(folder, rows=config.vocab_size, types=config.type_vocab_size)
    return Encoder(tokenizer, max_tokens=config.max_position_embeddings)


def texts_of(use: DataUse, language: str, split: Split, *, where: Where) -> list[str]:
    """Read the texts of a language and a split, both of a pair."""
    examples = read_examples(use.source, type=None, language=language, split=split, **where)
    return [text for one in examples for text in (one.text, one.pair) if text]
