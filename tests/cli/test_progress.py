import io
import logging
import sys

import pytest

from composer.cli import progress
from composer.cli.logs import WarningHandler
from composer.cli.progress import ProgressLine
from composer.engine.events import Event, EventKind
from composer.train.context import Progress

STAGE = "task/intent"


class Screen(io.StringIO):
    """A terminal, or a file if it is not live."""

    def __init__(self, *, live: bool) -> None:
        super().__init__()
        self.live = live

    def isatty(self) -> bool:
        return self.live


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def event(kind: EventKind, *, step: int = 0, score: float | None = None, **more: object) -> Event:
    done = Progress(done=step, total=100, loss=0.5, score=score) if step else None
    return Event(kind=kind, stage=STAGE, number=2, total=3, progress=done, **more)  # type: ignore[arg-type]


def screen(monkeypatch: pytest.MonkeyPatch, *, live: bool) -> Screen:
    found = Screen(live=live)
    monkeypatch.setattr(sys, "stderr", found)
    return found


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (event("found"), "done before"),
        (event("waiting"), "another run is making it; waiting"),
        (event("started"), "started"),
        (event("started", resumed=True), "going on from its checkpoint"),
        (event("made", seconds=70.0), "made in 1 min 10 s"),
    ],
)
def test_what_happens_is_a_line(told: Event, line: str, monkeypatch: pytest.MonkeyPatch):
    file = screen(monkeypatch, live=False)
    with ProgressLine() as bar:
        bar(told)
    assert file.getvalue() == f"[2/3] {STAGE}: {line}\n"


def test_a_file_gets_a_line_every_ten_seconds_with_rate_and_time_left(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    file = screen(monkeypatch, live=False)
    with ProgressLine() as bar:
        bar(event("started"))
        clock.now += 4  # libraries are read; that says nothing of how fast steps are
        for step in range(1, 31):
            bar(event("progress", step=step))
            clock.now += 0.5
    assert file.getvalue().splitlines()[1:] == [
        f"[2/3] {STAGE}: step 13/100, 2.0 steps/s, 43.5 s left, loss 0.500",
    ]


def test_a_file_gets_at_most_one_score_a_second_and_the_last(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    file = screen(monkeypatch, live=False)
    with ProgressLine() as bar:
        bar(event("started"))
        for step in range(1, 101):
            clock.now += 0.25
            bar(event("progress", step=step, score=0.5))
    told = [line.split(": step ")[1].split(",")[0] for line in file.getvalue().splitlines()[1:]]
    assert told == [f"{step}/100" for step in range(4, 101, 4)]


def test_a_terminal_has_one_line_that_is_written_over(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "100")
    terminal = screen(monkeypatch, live=True)
    with ProgressLine() as bar:
        bar(event("started"))
        bar(event("progress", step=1))
        clock.now += 0.5
        bar(event("progress", step=2))
        bar(event("made", seconds=1.0))
    text = terminal.getvalue()
    first, second = (f"[2/3] {STAGE}: step {rest}, loss 0.500" for rest in (
        "1/100", "2/100, 2.0 steps/s, 49.0 s left"))  # fmt: skip
    clear = [f"\r{' ' * len(line)}\r" for line in (first, second)]
    assert text == (
        f"[2/3] {STAGE}: started\n{first}{clear[0]}{second}{clear[1]}[2/3] {STAGE}: made in 1.0 s\n"
    )


def test_a_live_line_is_drawn_ten_times_a_second_and_never_wraps(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "30")
    terminal = screen(monkeypatch, live=True)
    with ProgressLine() as bar:
        bar(event("started"))
        for step in range(1, 65):
            bar(event("progress", step=step))
            clock.now += 1 / 64
    _, _, rest = terminal.getvalue().partition("\n")
    drawn = [line for line in rest.split("\r") if line.strip()]
    assert len(drawn) == 10
    assert max(map(len, drawn)) == 29


def test_a_terminal_is_clean_after_a_fault(clock: Clock, monkeypatch: pytest.MonkeyPatch):
    terminal = screen(monkeypatch, live=True)
    with pytest.raises(KeyboardInterrupt), ProgressLine() as bar:  # noqa: PT012
        bar(event("started"))
        bar(event("progress", step=1))
        raise KeyboardInterrupt
    assert terminal.getvalue().endswith(" \r")


@pytest.mark.parametrize(("live", "erase"), [(True, "\r\x1b[K"), (False, "")])
def test_a_warning_does_not_run_into_the_live_line(
    live: bool, erase: str, monkeypatch: pytest.MonkeyPatch
):
    file = screen(monkeypatch, live=live)
    logger = logging.Logger("composer.test")
    logger.addHandler(WarningHandler())
    for _ in range(2):
        logger.warning("%d examples", 3)
    logger.info("nothing")
    assert file.getvalue() == f"{erase}warning: 3 examples\n"
