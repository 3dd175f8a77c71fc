"""What makes a training run this run: names and values that a checkpoint must share with the run that resumes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from prismrec.config import Section

WITHOUT_EFFECT = frozenset({"training.threads", "training.checkpoint_minutes"})
"""Settings that may change where a run, a search or a comparison goes on: they do not shape what is learned."""

_DIFFERENCES_SHOWN = 5


def identity_of(section: Section, name: str) -> dict[str, str]:
    """The settings of one section as flat names and JSON values, for a run's identity.

    A section `training` with a field `epochs` gives {"training.epochs": "20"}; sections within it go on likewise.
    """
    return dict(_flatten(section.model_dump(mode="json"), name))


def fingerprint(identity: Mapping[str, str]) -> str:
    """A hex digest that two runs share only where every name and value of their identities is the same."""
    return hashlib.sha256(json.dumps(sorted(identity.items())).encode()).hexdigest()


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """What two identities do not share, the first five in words; empty where they are equal.

    >>> differences({"training.epochs": "20"}, {"training.epochs": "30"})
    'training.epochs was 20, is 30'
    """
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    shown = [f"{name} was {before.get(name, 'not set')}, is {now.get(name, 'not set')}" for name in names]
    more = len(shown) - _DIFFERENCES_SHOWN
    return "; ".join(shown[:_DIFFERENCES_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _flatten(values: Mapping[str, Any], prefix: str) -> list[tuple[str, str]]:
    flat: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{prefix}.{key}"
        flat += _flatten(value, name) if isinstance(value, dict) else [(name, json.dumps(value))]
    return flat


__all__ = ["WITHOUT_EFFECT", "differences", "fingerprint", "identity_of"]
