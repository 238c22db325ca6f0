"""The bytes of a recipe's file, or why there are none."""

import os
import stat
from pathlib import Path

from composer.errors import Fault, RecipeError
from composer.recipe.document.documents import MAX_BYTES


def read_content(path: Path) -> bytes:
    """Read a file, and one byte more than a recipe may have.

    Raises:
        RecipeError: It cannot be read, or is no file.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        reason = getattr(error, "strerror", None) or error
        raise RecipeError([Fault(str(path), f"cannot be read: {reason}")]) from error
    raise RecipeError([Fault(str(path), "is not a file; a pipe or a device holds no recipe")])


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe would wait for its writer
