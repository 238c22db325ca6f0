import json
import re
from pathlib import Path

import pytest

from composer.engine.running import event_log
from composer.engine.running.event_log import EventLog, event_path, read_events
from composer.engine.running.events import Event, EventKind
from composer.engine.storage.store import Store
from composer.errors import StoppedError, StoreError
from composer.train.context import Progress

KEY = "0a" * 32


def event(kind: EventKind, **more: object) -> Event:
    return Event(kind=kind, stage="task/intent", number=2, total=3, key=KEY, **more)  # type: ignore[arg-type]


def step(done: int, *, score: float | None = None) -> Event:
    return event("progress", progress=Progress(done=done, total=9, loss=0.5, score=score))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "run.jsonl"


def test_events_are_lines_of_json_between_the_runs_begin_and_its_end(path: Path):
    with EventLog(path, {"recipe": "home", "stages": 3}) as log:
        for one in (
            event("started", expected=9.0),
            step(1),
            event("made", seconds=7.5, memory=5),
            event("failed", said="broken"),
        ):
            log(one)
    begin, started, progress, made, failed, end = read_events(path)
    assert (begin["event"], begin["recipe"], begin["format"]) == ("run", "home", 1)
    assert started["stage"] == "task/intent"
    assert (started["key"], started["number"], started["expected"]) == (KEY, 2, 9.0)
    assert (progress["step"], progress["steps"], progress["loss"]) == (1, 9, 0.5)
    assert (made["seconds"], made["memory"]) == (7.5, 5)
    assert failed["said"] == "broken"
    assert (end["event"], end["status"]) == ("end", "done")
    times = [str(one["time"]) for one in read_events(path)]
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", one) for one in times)
    for line in path.read_text().splitlines():
        assert line == json.dumps(json.loads(line), sort_keys=True)


def test_a_line_is_there_when_what_it_tells_has_happened(path: Path):
    with EventLog(path, {}) as log:
        log(event("found"))
        assert [one["event"] for one in read_events(path)] == ["run", "found"]


@pytest.mark.parametrize(
    ("error", "status"), [(StoppedError("stopped"), "stopped"), (ValueError("broken"), "failed")]
)
def test_how_a_run_ended_is_told(path: Path, error: Exception, status: str):
    with pytest.raises(type(error)), EventLog(path, {}):
        raise error
    end = read_events(path)[-1]
    assert (end["status"], end["said"]) == (status, str(error))


def test_not_every_step_is_logged_but_each_score_and_the_last(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    now = [0.0]
    monkeypatch.setattr(event_log.time, "monotonic", lambda: now[0])
    with EventLog(path, {}) as log:
        for done in range(1, 10):
            log(step(done, score=0.5 if done == 6 else None))
            now[0] += 0.4
    assert [one["step"] for one in read_events(path)[1:-1]] == [1, 4, 6, 9]


def test_a_torn_last_line_is_left_out_and_the_next_run_begins_a_line_of_its_own(
    path: Path, caplog: pytest.LogCaptureFixture
):
    with EventLog(path, {}):
        pass
    path.write_bytes(path.read_bytes() + b'{"event": "fou')
    assert [one["event"] for one in read_events(path)] == ["run", "end"]
    assert not caplog.records
    with EventLog(path, {}):
        pass
    assert [one["event"] for one in read_events(path)] == ["run", "end", "run", "end"]
    assert "run.jsonl:3" in caplog.text


def test_the_log_lies_in_the_logs_of_the_store(tmp_path: Path):
    path = event_path(Store(tmp_path), "home")
    assert path.parent == tmp_path / "logs" / "runs"
    assert re.fullmatch(r"\d{8}T\d{6}Z-home-\d+\.jsonl", path.name)


def test_a_place_that_cannot_be_written_is_told_before_anything_is_run(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StoreError, match="give another place with --events PATH"),
        EventLog(tmp_path / "file" / "run.jsonl", {}),
    ):
        pytest.fail("it went on")
