"""How the processes of a crew find each other through a store that outlives them, and with it the words of the dead.

A start of a crew needs a name of its own, and nobody gives it one: torchrun's agents count restarts each for itself,
and one that starts its processes again because another machine lost one does not count that. So process 0 draws a
name, every other says under it that it is there, each with a word that it never says again, and process 0 answers with
all words that it heard. Whoever does not find its own among them has come upon an earlier start, and waits for its own.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

from prismrec.errors import CrewError

_NAME = "start/name"
_PAUSE_SECONDS = 0.05


def meet(store: Any, rank: int, size: int, timeout_seconds: float) -> str:
    """Wait until all processes of this start are here.

    Args:
        store: of torch, shared by all; any earlier starts have left in it what they said.
        rank, size: who this is, of how many.

    Returns:
        the name of this start, the same in all its processes, and of no other.

    Raises:
        CrewError: not all came in time; process 0 names who did not.
    """
    word, end = uuid.uuid4().hex, time.monotonic() + timeout_seconds
    missing = set(range(1, size)) if rank == 0 else {0}
    while time.monotonic() < end:
        if rank == 0:
            missing = _call(store, word, missing)
            if not missing:
                heard = [_read(store, f"start/{word}/{other}") for other in range(1, size)]
                store.set(f"start/{word}/all", ",".join([word, *heard]))
                return word
        else:
            name = _read(store, _NAME)
            if name and not _answered(store, name, rank, word):
                store.set(f"start/{name}/{rank}", word)
            if name and word in _read(store, f"start/{name}/all").split(","):
                return name
        time.sleep(_PAUSE_SECONDS)
    who = ", ".join(f"rank {other}" for other in sorted(missing))
    raise CrewError(f"the processes do not meet within {timeout_seconds:.0f} s: {who} did not come")


def _call(store: Any, name: str, missing: set[int]) -> set[int]:
    """Say the name again, over that of a dying process 0 before, and look who is still missing."""
    if _read(store, _NAME) != name:
        store.set(_NAME, name)
    return {other for other in missing if not store.check([f"start/{name}/{other}"])}


def _answered(store: Any, name: str, rank: int, word: str) -> bool:
    return _read(store, f"start/{name}/{rank}") == word


def _read(store: Any, key: str) -> str:
    """What was said, "" where nothing was: `get` would wait for it."""
    return store.get(key).decode() if store.check([key]) else ""


__all__ = ["meet"]
