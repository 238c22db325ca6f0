"""What composer asks of its libraries, as its own package says, and whether a version is enough.

Requires-Dist: transformers<4.58,>=4.57; extra == "train"
Requirement(library="transformers", specifiers="<4.58,>=4.57", extra="train")
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version

DISTRIBUTION = "adapter-composer"
FOR_DEVELOPERS = "dev"  # the extra of composer's own tests

_LINE = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*([^;]*?)\s*(?:;\s*(.*))?")
_EXTRA = re.compile(r"""extra\s*==\s*["']([\w-]+)["']""")
_SPECIFIER = re.compile(r"(>=|<=|==|!=|<|>)\s*([0-9][0-9.]*)")
_COMPARE: Mapping[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """A library that composer needs.

    Attributes:
        library: Name of its distribution.
        specifiers: Versions that do: "<4.58,>=4.57"; "": any.
        extra: Of composer, that asks for it; "": composer itself.
    """

    library: str
    specifiers: str
    extra: str

    @property
    def module(self) -> str:
        """The name that it is imported by."""
        return _MODULES.get(self.library.lower(), self.library.replace("-", "_"))


_MODULES = {
    "onnx-ir": "onnx_ir",
    "pyopenssl": "OpenSSL",
    "scikit-learn": "sklearn",
}


def own_requirements() -> list[Requirement]:
    """List what composer asks for, by its installed package; none where it is not installed."""
    try:
        lines = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        return []
    found = []
    for line in lines:
        if match := _LINE.fullmatch(line.strip()):
            extra = _EXTRA.search(match[3] or "")
            one = Requirement(
                library=match[1], specifiers=match[2].strip("() "), extra=extra[1] if extra else ""
            )
            found.append(one)
    return [one for one in found if one.extra != FOR_DEVELOPERS]


def installed_version(library: str) -> str | None:
    """Give the version of an installed distribution, without importing it."""
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def is_enough(installed: str, specifiers: str) -> bool:
    """Say whether a version is one of those that are asked for.

    >>> is_enough("2.13.0+cpu", ">=2.4"), is_enough("4.58.1", ">=4.57,<4.58")
    (True, False)
    >>> is_enough("1.3", "==1.3.0")
    True
    """
    own = _numbers(installed)
    return all(
        _COMPARE[how](_filled(own, asked), _filled(asked, own))
        for how, text in _SPECIFIER.findall(specifiers)
        for asked in [_numbers(text)]
    )


def _numbers(text: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(map(int, found[0].split("."))) if found else ()


def _filled(numbers: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return numbers + (0,) * (len(other) - len(numbers))
