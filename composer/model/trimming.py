"""A copy of a backbone with fewer token embeddings, and the tokenizer that goes with them.

    trimmed/
    ├── config.json          with the new vocab_size; ids renumbered
    ├── tokenizer.json       see `composer.data.vocabulary`
    ├── model.safetensors    the kept rows; every other weight to the last byte
    └── trimmed.json         {"record": {"parent": "9e55...", ...}, "rows": [0, 1, 17, ...]}

The body is the parent's, and so is its fingerprint: adapters of the one fit the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from composer.bundle.files import read_bytes, read_json, unfinished_file, write_bytes, write_json
from composer.bundle.fingerprint import (
    WEIGHTS,
    StoredTensor,
    is_token_embedding,
    stored_tensors,
)
from composer.bundle.header import TensorType, header_bytes
from composer.bundle.jsontext import one_line
from composer.bundle.records import TrimmedRecord, row_fault
from composer.data.tokenizer import TOKENIZER, TOKENIZER_LIMIT
from composer.data.vocabulary import kept_rows, read_tokenizer_values, trimmed_tokenizer
from composer.errors import BackboneError
from composer.model.screening import CONFIG, read_config, screen_folder

TRIMMED = "trimmed.json"


@dataclass(frozen=True, kw_only=True)
class Trimmed:
    """What was kept of a vocabulary.

    Attributes:
        rows: Of the whole one, ascending.
        record: As a bundle's manifest has it.
    """

    rows: tuple[int, ...]
    record: TrimmedRecord


def read_trimmed(folder: Path) -> Trimmed | None:
    """Say what a backbone folder keeps of its parent's vocabulary; None: it is no trimmed copy.

    Raises:
        BackboneError: What it says of that cannot be.
    """
    file = folder / TRIMMED
    if not file.exists():
        return None
    values = read_json(file, error=BackboneError)
    try:
        record = TrimmedRecord.model_validate(values.get("record"))
    except ValidationError as fault:
        raise BackboneError(f"{file}: record: {one_line(str(fault))}") from fault
    rows = values.get("rows")
    if not isinstance(rows, list) or row_fault(rows, record):
        raise BackboneError(f"{file}: {row_fault(rows, record)}")
    return Trimmed(rows=tuple(rows), record=record)


def write_trimmed(folder: Path, trimmed: Trimmed) -> None:
    """Write down in a trimmed copy what was kept; the last of its files."""
    record = trimmed.record.model_dump(mode="json")
    write_json(folder / TRIMMED, {"record": record, "rows": list(trimmed.rows)})


def rows_in_use(folder: Path, used: set[int], *, at_least: int = 0) -> tuple[int, ...]:
    """Choose the rows of a backbone's token embeddings that texts in use need, ascending.

    Args:
        folder: Of the whole backbone.
        used: Ids that the texts were cut into.
        at_least: Fill up to so many.

    Raises:
        BackboneError: Its tokenizer cannot be trimmed, or is trimmed already.
    """
    if (folder / TRIMMED).exists():
        raise BackboneError(f"{folder} is a trimmed copy already; trim the backbone it is of")
    _, config = screen_folder(folder)
    values = _tokenizer(folder)
    return kept_rows(values, used, through=config.pad_token_id, at_least=at_least)


def trim_folder(folder: Path, target: Path, rows: Sequence[int]) -> None:
    """Write a backbone with some of its token embeddings into an empty folder.

    Args:
        folder: Of the whole backbone.
        target: Is there, and empty.
        rows: Of `rows_in_use`.

    Raises:
        BackboneError: Its tokenizer cannot be trimmed.
    """
    _, config = screen_folder(folder)
    tokenizer = trimmed_tokenizer(
        _tokenizer(folder), rows, types=config.type_vocab_size, place=str(folder / TOKENIZER)
    )
    write_bytes(target / TOKENIZER, tokenizer)
    write_json(target / CONFIG, _config(read_config(folder), rows))
    _write_weights(target / WEIGHTS, stored_tensors(folder), rows, whole=config.vocab_size)


def _tokenizer(folder: Path) -> dict[str, object]:
    file = folder / TOKENIZER
    data = read_bytes(file, TOKENIZER_LIMIT, error=BackboneError)
    return read_tokenizer_values(data, place=str(file))


def _config(config: Mapping[str, object], rows: Sequence[int]) -> dict[str, object]:
    """Renumber a config's ids; one whose token is gone is left out."""
    number = {old: new for new, old in enumerate(rows)}
    found = {**config, "vocab_size": len(rows)}
    for name, value in config.items():
        if name.endswith("_token_id") and isinstance(value, int):
            if value in number:
                found[name] = number[value]
            else:
                del found[name]
    return found


def _write_weights(
    file: Path, tensors: Mapping[str, StoredTensor], rows: Sequence[int], *, whole: int
) -> None:
    """Write all tensors, of the token embeddings some rows, without holding more than those."""
    types = {
        name: _type(stored, len(rows)) if is_token_embedding(name) else stored.type
        for name, stored in tensors.items()
    }
    with unfinished_file(file) as out:
        out.write(header_bytes(types))
        for name, stored in tensors.items():
            if is_token_embedding(name):
                if stored.type.shape[0] != whole:
                    raise BackboneError(
                        f"{stored.file}: {name} is {stored.type}, and vocab_size is {whole:,}"
                    )
                out.write(_rows(stored, rows))
            else:
                out.writelines(stored.chunks())


def _type(stored: StoredTensor, rows: int) -> TensorType:
    return TensorType(stored.type.dtype, (rows, *stored.type.shape[1:]))


def _rows(stored: StoredTensor, rows: Sequence[int]) -> bytes:
    table = np.frombuffer(b"".join(stored.chunks()), np.uint8).reshape(stored.type.shape[0], -1)
    return table[list(rows)].tobytes()
