"""One line of an examination."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "fault"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: Of the thing: "python", "train".
        status: "fault": something does not work; "warning": something may surprise.
        found: What is there.
        remedy: What to do; "" where there is nothing to be done.
    """

    name: str
    status: Status
    found: str
    remedy: str = ""
