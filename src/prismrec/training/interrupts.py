"""Ctrl-C and SIGTERM: the first asks training to stop after the step under way, the second stops it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TrainingInterrupted(KeyboardInterrupt):
    """Training was stopped from outside; the message says where it stands and how to go on.

    Attributes:
        exit_code: what a command should exit with, by the shell's convention: 128 + signal number.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


class TrainingGivenUp(Exception):
    """A watcher of training raises it at the end of an epoch: what comes would not be worth its time."""


class StopRequest:
    """Whether a signal asked training to stop, and which: `signal_number` is None until one came."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    def receive(self, signal_number: int, frame: FrameType | None) -> None:
        """The signal handler.

        Raises:
            TrainingInterrupted: it is the second signal.
        """
        if self.signal_number is not None:
            raise TrainingInterrupted("training stopped at once; an earlier checkpoint is untouched", signal_number)
        self.signal_number = signal_number


def signal_name(number: int) -> str:
    """The signal as a person knows it."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


@contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Turn SIGINT and SIGTERM into a request while the context is open; the handlers before it come back after it.

    A signal that the process ignores (nohup) or that was set up outside Python stays as it is. Outside the main
    thread Python allows no handlers: training there can only be stopped by whoever runs the main thread.
    """
    request = StopRequest()
    previous = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) not in (None, signal.SIG_IGN):
                    previous[number] = signal.signal(number, request.receive)
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


__all__ = ["StopRequest", "TrainingGivenUp", "TrainingInterrupted", "signal_name", "stop_signals"]
