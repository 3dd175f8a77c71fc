"""When checkpoints are written."""

from __future__ import annotations

import time
from collections.abc import Callable

SHORTEST_PAUSE_SECONDS = 5.0
"""Epoch ends closer together than this write one checkpoint, not several."""

WRITING_SHARE = 0.05
"""At epoch ends, at most this share of the time goes into writing checkpoints."""


class CheckpointSchedule:
    """When to write a checkpoint: every so many minutes, and at epoch ends that do not follow too closely.

    Args:
        minutes: a checkpoint at least this often.
        clock: seconds that only grow.
    """

    def __init__(self, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = 60.0 * minutes
        self._clock = clock
        self._last = clock()
        self._writing_seconds = 0.0

    def is_due(self, *, at_epoch_end: bool) -> bool:
        """Whether to write now; an epoch end is a better moment than any other, and waits for less."""
        pause = self._interval
        if at_epoch_end:
            pause = min(pause, max(SHORTEST_PAUSE_SECONDS, self._writing_seconds / WRITING_SHARE))
        return self._clock() - self._last >= pause

    def wrote(self, seconds: float) -> None:
        """Note that a checkpoint was just written, and how long that took."""
        self._last = self._clock()
        self._writing_seconds = seconds


__all__ = ["SHORTEST_PAUSE_SECONDS", "WRITING_SHARE", "CheckpointSchedule"]
