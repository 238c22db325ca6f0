"""What the library logs, as lines on stderr: `warning: the label set has one label only`."""

import logging
import sys

import click

_ERASE_LINE = "\r\x1b[K"  # the live line of progress, on a terminal


class WarningHandler(logging.Handler):
    """Prints warnings of the library on stderr, each once: stages share their data."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.printed: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print one."""
        message = record.getMessage()
        if message in self.printed:
            return
        self.printed.add(message)
        erase = _ERASE_LINE if sys.stderr.isatty() else ""
        click.echo(f"{erase}warning: {message}", err=True)
