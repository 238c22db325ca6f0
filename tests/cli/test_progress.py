import io
import logging
import sys

import pytest
from rich.console import Console
from rich.live import Live

from composer.cli import progress
from composer.cli.logs import WarningHandler
from composer.cli.progress import ProgressView
from composer.engine.running.events import Event, EventKind
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
        (event("lost", said="its worker was killed"), "its worker was killed; it is begun again"),
        (event("failed", said="no label"), "failed: no label"),
        (event("skipped", said="it rests on x"), "left out: it rests on x"),
    ],
)
def test_what_happens_is_a_line(told: Event, line: str, monkeypatch: pytest.MonkeyPatch):
    file = screen(monkeypatch, live=False)
    with ProgressView() as bar:
        bar(told)
    assert file.getvalue() == f"[2/3] {STAGE}: {line}\n"


def test_a_file_gets_a_line_every_ten_seconds_with_rate_and_time_left(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    file = screen(monkeypatch, live=False)
    with ProgressView() as bar:
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
    with ProgressView() as bar:
        bar(event("started"))
        for step in range(1, 101):
            clock.now += 0.25
            bar(event("progress", step=step, score=0.5))
    told = [line.split(": step ")[1].split(",")[0] for line in file.getvalue().splitlines()[1:]]
    assert told == [f"{step}/100" for step in range(4, 101, 4)]


def drawn(view: ProgressView, *, width: int = 100) -> list[str]:
    """Draw the view as a terminal of a width would show it, without colours."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(view.drawn())
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_the_view_shows_every_stage_that_is_carried_out_and_the_whole(clock: Clock):
    view = ProgressView({STAGE: 20.0, "task/domain": 20.0, "task/done": 5.0})
    view.live = Live()  # not started
    view.live.console = Console(file=io.StringIO())
    for kind, name, more in (
        ("found", "task/done", {}),
        ("started", STAGE, {}),
        ("started", "task/domain", {"expected": 20.0}),
    ):
        view(Event(kind=kind, stage=name, number=1, total=5, **more))  # type: ignore[arg-type]
    clock.now += 4
    for step in (1, 2):
        view(event("progress", step=step))
        clock.now += 0.5
    clock.now -= 0.5
    first, second, whole = drawn(view)
    assert first.startswith(f"{STAGE} ")
    assert first.endswith(" step 2/100, 2.0 steps/s, 49.0 s left, loss 0.500")
    assert second.endswith(" 4.5 s of about 20.0 s")
    assert whole == "1 of 3 stages done, 2 at work, about 20.0 s left"
    view(event("failed", said="broken"))
    view(event("skipped", said="it rests on that"))
    assert (
        drawn(view)[-1] == "1 of 3 stages done, 1 at work, 1 failed, 1 skipped, about 20.0 s left"
    )


def test_the_view_never_wraps(clock: Clock):
    view = ProgressView()
    view(event("started"))
    view(event("progress", step=1))
    lines = drawn(view, width=30)
    assert len(lines) == 2
    assert max(map(len, lines)) <= 30


def test_a_terminal_has_lines_above_a_view_that_goes_away(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TERM", "xterm")
    terminal = screen(monkeypatch, live=True)
    with pytest.raises(KeyboardInterrupt), ProgressView() as view:  # noqa: PT012
        view(event("started"))
        view(event("progress", step=1))
        clock.now += 60
        view(event("progress", step=2))
        assert view.live is not None
        view.live.refresh()
        raise KeyboardInterrupt
    text = terminal.getvalue()
    assert f"[2/3] {STAGE}: started\n" in text
    assert ": step" not in text  # it is told in the view alone
    assert "step 2/100" in text
    assert text.endswith(("\x1b[2K", "\x1b[?25h"))  # cleared, and the cursor is shown again


def test_a_warning_is_a_line_and_each_is_told_once(monkeypatch: pytest.MonkeyPatch):
    file = screen(monkeypatch, live=False)
    logger = logging.Logger("composer.test")
    logger.addHandler(WarningHandler())
    for _ in range(2):
        logger.warning("%d examples", 3)
    logger.info("nothing")
    assert file.getvalue() == "warning: 3 examples\n"
