"""Progress that another process tells, shown here: the lines of `JsonProgress` become calls again."""

from __future__ import annotations

import json
from typing import Any

from prismrec.training.log import EpochLog
from prismrec.training.progress import Plan, Progress, StepReport


class Replay:
    """Hears lines and tells `progress`. A line that is no event is a note."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def hear(self, line: str) -> None:
        """One line of the other process."""
        event = _event_of(line)
        kind = event.pop("event", "")
        if kind == "start":
            self._progress.start(Plan(**event))
        elif kind == "step":
            self._progress.step(StepReport(**event))
        elif kind == "epoch":
            event.pop("examples_per_second")
            self._progress.epoch(EpochLog(**event))
        elif kind == "note":
            self._progress.note(event["text"])
        elif kind != "end" and line:
            self._progress.note(line)


def _event_of(line: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return event if isinstance(event, dict) else {}


__all__ = ["Replay"]
