"""Several processes on this machine that train one model: started, watched, stopped, and started again.

`launch` starts an agent (`agent`, torchrun's own), which starts the workers and, when one of them is lost, all of them
again. A worker is `python -m prismrec.worker FOLDER PARENT`; what it did or could not do it writes into that folder:

    rank 0, standard output     how training goes, a JSON event per line (`training.progress`)
    outcome-RANK.json           why a worker ended early: an error of PrismRec, or a signal
    agent.json                  workers that were lost and could not be started again
    errors.log                  what all of them wrote to standard error
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from prismrec.cluster.outcomes import Outcome, read_outcomes
from prismrec.errors import CrewError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LINES_SHOWN = 8
_ERROR_LINE = re.compile(r"(?:\[rank\d+\]: )?((?:\w+\.)*\w*(?:Error|Exception)\b.*)")
"""How Python ends what it says of an error that nobody caught; torch puts the rank before every line."""


def launch(
    folder: Path, module: str, n_processes: int, restarts: int, threads: int, hear: Callable[[str], None]
) -> list[Outcome]:
    """Run `python -m module FOLDER PARENT` in several processes until all are done.

    SIGINT and SIGTERM go on to the workers while they run; a second one ends them at once.

    Args:
        folder: of this job, empty but for what the workers read.
        restarts: how often all are started again when one is lost.
        threads: CPU threads of each worker.
        hear: called with every line that a worker says on standard output.

    Returns:
        why workers ended early, by rank; empty where all went well.

    Raises:
        CrewError: a worker was lost too often, or the agent itself; names the rank and its end.
    """
    arguments = [str(folder), module, str(n_processes), str(restarts), str(os.getpid())]
    command = [sys.executable, "-m", "prismrec.cluster.agent", *arguments]
    environment = os.environ | {name: str(threads) for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")}
    with (
        open(folder / "errors.log", "ab") as errors,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment,
            start_new_session=True,  # Ctrl-C at a terminal reaches it once, through `_passing_on`
        ) as agent,
        _passing_on(agent) as passed,
    ):  # fmt: skip
        try:
            for line in agent.stdout or ():
                hear(line.rstrip("\n"))
        except BaseException:
            agent.terminate()  # nobody hears the workers any more: they stop, and leave a checkpoint
            raise
        code = agent.wait()
    outcomes = read_outcomes(folder)
    if passed and not outcomes:
        return [Outcome(0, "TrainingInterrupted", "training stopped before its first step", passed[0])]
    if code and not outcomes:
        raise CrewError(f"training in {n_processes} processes failed: {_why(folder, code)}")
    return outcomes


@contextmanager
def _passing_on(agent: subprocess.Popen[str]) -> Iterator[list[int]]:
    """Pass signals on to the agent, which has the workers stop; the second one ends the agent, and with it them."""
    passed: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        if passed:
            agent.kill()
        else:
            agent.send_signal(number)
        passed.append(number)

    previous = {}
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) not in (None, signal.SIG_IGN):
                previous[number] = signal.signal(number, pass_on)
    try:
        yield passed
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _why(folder: Path, code: int) -> str:
    """What the agent knows of the lost workers, else the end of what was written to standard error."""
    told = folder / "agent.json"
    lines = (folder / "errors.log").read_text(errors="replace").splitlines()
    if told.exists():
        ends: dict[str, int] = json.loads(told.read_text())
        lost = {rank: end for rank, end in ends.items() if end != -signal.SIGTERM} or ends  # that is the agent's doing
        ends_in_words = [f"rank {rank} {_ending(end)}" for rank, end in sorted(lost.items(), key=lambda x: int(x[0]))]
        said = [found[1] for found in map(_ERROR_LINE.match, lines) if found] if max(lost.values()) > 0 else []
        return "; ".join([*ends_in_words, *said[-1:]])
    last = " | ".join(lines[-_LINES_SHOWN:]) or "nothing was said"
    return f"the agent {_ending(code)}: {last}"


def _ending(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


__all__ = ["launch"]
