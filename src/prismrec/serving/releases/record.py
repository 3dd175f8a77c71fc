"""current.json: which release is served, which were before it, and what was refused and why.

It is written whole or not at all, after everything it names is on disk: whoever reads it finds either the old state
or the new one.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field, ValidationError

from prismrec.config import Section
from prismrec.errors import ArtifactError
from prismrec.files import whole_file
from prismrec.retrieval.manifest import render_json

RECORD = "current.json"
_SCHEMA_VERSION = 1
_REMEMBERED = 100
"""How many refused and rolled back bundles are remembered."""


class KeptRelease(Section):
    """A release on disk."""

    number: int
    created: str = Field(description="when its bundle was written, ISO 8601")
    fingerprint: str = Field(description="SHA-256 of its manifest, which holds that of every file")


class Refusal(Section):
    """A bundle that was not adopted."""

    path: str
    state: str = Field(description="says whether the bundle, or what is asked of it, changed since")
    reason: str
    time: str = Field(description="when it was refused, ISO 8601")


class Seen(Section):
    """What a source offered when a release was last adopted: it changed where it offers something else."""

    source: str
    fingerprint: str
    created: str


class Record(Section):
    """The content of current.json."""

    schema_version: int = _SCHEMA_VERSION
    current: int = Field(default=0, description="number of the release that is served; 0 = none yet")
    last_number: int = Field(default=0, description="the highest number given so far; none is given twice")
    previous: tuple[int, ...] = Field(default=(), description="what was served before, the latest last")
    releases: tuple[KeptRelease, ...] = Field(default=(), description="those on disk")
    rolled_back: tuple[str, ...] = Field(default=(), description="fingerprints, the latest last")
    refused: tuple[Refusal, ...] = Field(default=(), description="the latest last")
    seen: Seen | None = None

    def release(self, number: int) -> KeptRelease | None:
        """A release on disk by its number."""
        return next((release for release in self.releases if release.number == number), None)

    def adopted(self, release: KeptRelease, path: Path, seen: Seen | None, keep: int) -> Record:
        """`release`, taken from `path`, is served; `keep` of those before it stay."""
        before = (*self.previous, self.current) if self.current else ()
        previous = before[-keep:]
        kept = tuple(r for r in self.releases if r.number in previous)
        return Record(
            current=release.number,
            last_number=release.number,
            previous=previous,
            releases=(*kept, release),
            rolled_back=_without(self.rolled_back, release.fingerprint),
            refused=tuple(r for r in self.refused if r.path != str(path)),
            seen=seen,
        )

    def rolled_back_to(self, number: int) -> Record:
        """An earlier release is served again; the one that was is remembered, and stays on disk until the next one."""
        left = self.release(self.current)
        away = () if left is None else (left.fingerprint,)
        rolled_back = (*_without(self.rolled_back, *away), *away)[-_REMEMBERED:]
        previous = self.previous[: self.previous.index(number)]
        return self.model_copy(update={"current": number, "previous": previous, "rolled_back": rolled_back})

    def with_refusal(self, path: Path, state: str, reason: str) -> Record:
        """`path` is refused; an earlier refusal of it, and those of bundles that are gone, are forgotten."""
        others = tuple(r for r in self.refused if r.path != str(path) and Path(r.path).exists())
        now = datetime.now(UTC).isoformat(timespec="seconds")
        refusal = Refusal(path=str(path), state=state, reason=reason, time=now)
        return self.model_copy(update={"refused": (*others, refusal)[-_REMEMBERED:]})


def read_record(home: Path) -> Record:
    """The record of a home; an empty one where there is none yet.

    Raises:
        ArtifactError: it is damaged, or from a newer version.
    """
    path = home / RECORD
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Record()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, str(error)) from error
    try:
        values = json.loads(text)
        version = int(values["schema_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(path, str(error)) from error
    if version > _SCHEMA_VERSION:
        raise ArtifactError(
            f"{path} has schema version {version}, and this PrismRec knows up to {_SCHEMA_VERSION}: it was written by "
            "a newer one; upgrade with `pip install -U prismrec`"
        )
    try:
        return Record.model_validate(values)
    except ValidationError as error:
        raise _unreadable(path, f"{error.error_count()} of its fields are not as this version writes them") from error


def write_record(home: Path, record: Record) -> None:
    """Put a record in the place of the one before it.

    Raises:
        ArtifactError: the system refuses the write.
    """
    with whole_file(home / RECORD) as temporary:
        temporary.write_text(render_json(record.model_dump(mode="json")), encoding="utf-8")


def _without(values: tuple[str, ...], *unwanted: str) -> tuple[str, ...]:
    return tuple(value for value in values if value not in unwanted)


def _unreadable(path: Path, reason: str) -> ArtifactError:
    return ArtifactError(f"cannot read {path}: {reason}; move it away to start with a fresh record of releases")


__all__ = ["RECORD", "KeptRelease", "Record", "Refusal", "Seen", "read_record", "write_record"]
