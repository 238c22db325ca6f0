"""What the library logs, as lines on stderr: `warning: the label set has one label only`."""

import logging

import click


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
        click.echo(f"warning: {message}", err=True)
