"""What happens in a run, in words."""

from composer.engine.running.events import Event
from composer.report.layout import duration


def event_words(event: Event) -> str:
    """Tell one event of a stage; how far a stage is, is told elsewhere."""
    match event.kind:
        case "found":
            return "done before"
        case "waiting":
            return "another run is making it; waiting"
        case "started":
            return "going on from its checkpoint" if event.resumed else "started"
        case "made":
            return f"made in {duration(event.seconds)}"
        case "lost":
            return f"{event.said}; it is begun again"
        case "failed":
            return f"failed: {event.said}"
        case _:
            return f"left out: {event.said}"
