"""Gather what is wrong with data, so that all of it is said at once.

    train.csv:7: the text is empty
    train.csv:9: 'HassTurnOnn' is not a label of the training split; did you mean 'HassTurnOn'?
    train.csv:31: and 4 more faults

A file of a million bad rows has one cause more often than a million: the first faults are
shown, the rest are counted.
"""

from composer.errors import DataError, Fault

SHOWN = 20


class FaultList:
    """Faults, raised in the order of rows; only the first found are kept, all are counted."""

    def __init__(self) -> None:
        """Begin with none."""
        self._faults: list[Fault] = []
        self._more = 0
        self._next = ""

    def add(self, place: str, message: str) -> None:
        """Note one fault, unless it is noted already."""
        fault = Fault(place, message)
        if fault in self._faults:
            return
        if len(self._faults) < SHOWN:
            self._faults.append(fault)
            return
        self._next = self._next or place
        self._more += 1

    def extend(self, error: DataError) -> None:
        """Note the faults of an error that was raised elsewhere."""
        for fault in error.faults:
            self.add(fault.place, fault.message)

    def __len__(self) -> int:
        """Count them, those that are not kept included."""
        return len(self._faults) + self._more

    def raise_any(self) -> None:
        """Do nothing if nothing was found.

        Raises:
            DataError: With the faults that are kept, and the number of the others.
        """
        if not self._faults:
            return
        faults = sorted(self._faults, key=lambda fault: _row(fault.place))
        if self._more:
            plural = "s" if self._more > 1 else ""
            faults.append(Fault(self._next, f"and {self._more} more fault{plural}"))
        raise DataError(faults)


def _row(place: str) -> tuple[str, int]:
    file, _, row = place.rpartition(":")
    return (file, int(row)) if row.isdecimal() and row.isascii() else (place, 0)
