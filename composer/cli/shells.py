"""How a shell is asked and answered while a command is typed: as click does it, mended.

    bash         few-shot:d     is given as three words, and only the last is replaced: `de`
    zsh, fish    --only=task/   is one word, and all of it is replaced: `--only=task/intent`

The scripts that `composer completion` prints are click's; these classes are what they reach.
"""

from collections.abc import Sequence
from typing import Any

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

_BREAKS = frozenset(":=")  # where readline ends a word, of what names and options hold


def use_shells() -> None:
    """Let click answer the shells by these classes."""
    for shell in (Bash, Zsh, Fish):
        add_completion_class(shell)


class Bash(BashComplete):
    """Bash, which splits words at colons and equals signs."""

    _before = 0  # characters of the value that stand on the line as words of their own

    def get_completion_args(self) -> tuple[list[str], str]:
        """Give the words before the cursor and the one at it, as they were typed."""
        given, last = super().get_completion_args()
        *words, word = joined([*given, last])
        value = _split(word)[1]
        self._before = len(value) - (0 if set(last) <= _BREAKS else len(last))
        return words, word

    def format_completion(self, item: "CompletionItem[Any]") -> str:
        """Leave out of a value what stands on the line already."""
        if item.type == "plain":
            item.value = item.value[self._before :]
        return super().format_completion(item)


class _Whole(ShellComplete):
    """A shell that replaces the whole word, with the option before an equals sign."""

    def get_completions(self, args: list[str], incomplete: str) -> "list[CompletionItem[Any]]":
        """Put the option before its values."""
        option, _ = _split(incomplete)
        items = super().get_completions(args, incomplete)
        for item in items:
            if item.type == "plain":
                item.value = option + item.value
        return items


class Zsh(_Whole, ZshComplete):
    """Zsh."""


class Fish(_Whole, FishComplete):
    """Fish."""


def joined(words: Sequence[str]) -> list[str]:
    """Put words together that were one before bash split them.

    >>> joined(["predict", "box", "--composition", "few-shot", ":", "d"])
    ['predict', 'box', '--composition', 'few-shot:d']
    >>> joined(["run", "home.yaml", "--only", "=", "task/"])
    ['run', 'home.yaml', '--only=task/']
    """
    whole: list[str] = []
    for word in words:
        if whole and word and (set(word) <= _BREAKS or whole[-1][-1:] in _BREAKS):
            whole[-1] += word
        else:
            whole.append(word)
    return whole


def _split(word: str) -> tuple[str, str]:
    """Part `--option=` from its value; there may be no option."""
    if not word.startswith("-") or "=" not in word:
        return "", word
    option, _, value = word.partition("=")
    return f"{option}=", value
