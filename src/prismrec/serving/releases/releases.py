"""Releases: bundles taken over from where training leaves them, so that one is always there to be served.

    home/lock             held while anything below changes
    home/current.json     which release is served (`record`)
    home/releases/000007/ the files of a bundle, hard-linked (`files`)

A bundle is linked, then verified as linked, byte for byte, then held to the floors, then made current by replacing
one file: whatever ends a process in between, the old release or the new one is current, and whole. What it left
half-made is removed with the next release. Old releases are deleted while processes may still have them mapped: on
Linux and macOS the bytes stay until the last of them lets go.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, FiniteFloat

from prismrec.config import Section
from prismrec.errors import ArtifactError, PrismRecError
from prismrec.files import whole_folder
from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.manifest import Manifest, render_json
from prismrec.serving.releases.files import Candidate, candidates, created_at, fingerprint_of, state_of, take_over
from prismrec.serving.releases.record import RECORD, KeptRelease, Record, Refusal, Seen, read_record, write_record


class ReleaseRefusedError(ArtifactError):
    """A bundle is broken or below a floor, and was not adopted; what was served before goes on."""


class ReleaseSettings(Section):
    """What a bundle must reach to be served, and what is kept of those before it."""

    floors: dict[str, FiniteFloat] = Field(
        default_factory=dict, description="metric of the manifest -> its least value, such as 'next_item/hr@10' = 0.1"
    )
    keep: int = Field(default=2, ge=1, le=100, description="earlier releases that stay on disk, to roll back to")
    copies: bool = Field(
        default=False, description="copy files instead of linking them: for sources whose files are written over"
    )


@dataclass(frozen=True)
class Release:
    """A bundle that is served.

    Attributes:
        number: rises with every adoption.
        path: its folder, a bundle; whole as long as it is current or one of the `keep` before it.
        created: when the bundle was written, ISO 8601.
        fingerprint: SHA-256 of its manifest, which holds that of every file.
    """

    number: int
    path: Path
    created: str
    fingerprint: str


class Releases:
    """The releases of one service; any number of processes may use one home."""

    def __init__(self, home: Path, source: Path, settings: ReleaseSettings | None = None) -> None:
        """Keep releases in `home`, taken from `source`: a bundle, or a folder of bundles of which the newest counts."""
        self._home = home.absolute()
        self._source = source.absolute()
        self._settings = settings or ReleaseSettings()

    def start(self) -> Release:
        """What a server does first: adopt a source that changed, else go on with the current release.

        Raises:
            ReleaseRefusedError: there is no release yet, and the source offers nothing that may be one.
            ArtifactError: the source has no bundle, or the home cannot be written.
        """
        with self._lock():
            return self._poll() or self._current(read_record(self._home)) or self._adopt_newest()

    def current(self) -> Release:
        """The release to serve: what any process last adopted or rolled back to. Reads one small file.

        Raises:
            ArtifactError: there is none yet.
        """
        release = self._current(read_record(self._home))
        if release is None:
            raise ArtifactError(f"{self._home} has no release yet: adopt a bundle first")
        return release

    @property
    def refused(self) -> tuple[Refusal, ...]:
        """The bundles that were refused and are still there, with reason and time, the latest last."""
        return read_record(self._home).refused

    def adopt(self, path: Path | None = None) -> Release:
        """Make a bundle the current release, one that was refused or rolled back before too; waits for other processes.

        Args:
            path: the bundle; the newest of the source where None. What the source offers besides is left to the next
                change: a watcher does not undo what was asked for.

        Returns:
            The new release, or the current one where it is the same bundle.

        Raises:
            ReleaseRefusedError: the bundle is broken, a metric is below its floor, or the manifest lacks it; this is
                remembered with its reason.
            ArtifactError: there is no bundle, or the home cannot be written.
        """
        with self._lock():
            return self._adopt_newest() if path is None else self._adopt(path.absolute())

    def poll(self) -> Release | None:
        """What a watcher calls: adopt what the source offers if it changed.

        A folder of bundles changed when it has a newer one than before; the newest that is not broken counts. What is
        refused is remembered and left alone until it changes (see `refused`), what was rolled back for good: `adopt`
        takes both. Where another process is at it, nothing is done.

        Returns:
            The release, where this call adopted one.

        Raises:
            ArtifactError: the home cannot be written.
        """
        if self._offer(read_record(self._home)) is None:
            return None
        with self._lock(wait=False) as mine:
            return self._poll() if mine else None

    def rollback(self) -> Release:
        """Go back to the release that was served before, verified again; `poll` will not adopt the present one again.

        Raises:
            ArtifactError: there is no earlier release, or none that is whole.
        """
        with self._lock():
            record = read_record(self._home)
            problems = []
            for number in reversed(record.previous):
                try:
                    Bundle.open(self._folder(number), verify="full")
                except PrismRecError as error:
                    problems.append(f"release {number}: {error}")
                    continue
                record = record.rolled_back_to(number)
                write_record(self._home, record)
                return self._release(record, number)
        raise ArtifactError("; ".join(["there is no earlier release to go back to", *problems]))

    def _current(self, record: Record) -> Release | None:
        return self._release(record, record.current) if record.current else None

    def _release(self, record: Record, number: int) -> Release:
        kept = record.release(number)
        if kept is None:
            raise ArtifactError(f"{self._home / RECORD} names release {number}, but does not know it: it was edited")
        return Release(number, self._folder(number), kept.created, kept.fingerprint)

    def _folder(self, number: int) -> Path:
        return self._home / "releases" / f"{number:06d}"

    def _poll(self) -> Release | None:
        """`poll`, inside the lock: the first offer that is not refused."""
        while (offer := self._offer(read_record(self._home))) is not None:
            try:
                return self._adopt(offer.path)
            except ReleaseRefusedError:  # remembered: the next offer is another one
                continue
        return None

    def _offer(self, record: Record) -> Candidate | None:
        """The bundle of the source that a watcher should adopt; None where nothing changed."""
        newest = next(self._not_refused(record), None)
        return newest if newest is not None and self._is_news(newest, record) else None

    def _not_refused(self, record: Record) -> Iterator[Candidate]:
        """What the source offers, without what was refused as it is; unreadable ones first, then the newest."""
        refused = {refusal.path: refusal.state for refusal in record.refused}
        for candidate in candidates(self._source):
            path = str(candidate.path)
            if path not in refused or refused[path] != self._state(candidate.path):
                yield candidate

    def _is_news(self, candidate: Candidate, record: Record) -> bool:
        if not candidate.fingerprint:
            return True  # its manifest cannot be read: to be refused, once
        current = record.release(record.current)
        if candidate.fingerprint in record.rolled_back or (current and candidate.fingerprint == current.fingerprint):
            return False
        seen = record.seen
        if seen is None or seen.source != str(self._source):
            return True
        in_folder = candidate.path != self._source  # where a bundle that was deleted makes an older one the newest
        return candidate.fingerprint != seen.fingerprint and not (
            in_folder and candidate.created < created_at(seen.created)
        )

    def _state(self, path: Path) -> str:
        """What a refusal depends on: the bundle's files and the floors."""
        return hashlib.sha256((state_of(path) + render_json(self._settings.floors)).encode()).hexdigest()

    def _adopt_newest(self) -> Release:
        offered = candidates(self._source)
        if not offered:
            raise ArtifactError(
                f"{self._source} is no bundle, nor a folder of bundles: train one with `prismrec train`"
            )
        return self._adopt(next((c.path for c in offered if c.fingerprint), offered[0].path))

    def _adopt(self, path: Path) -> Release:
        """`adopt`, inside the lock."""
        if not path.is_dir():
            raise ArtifactError(f"there is no bundle at {path}")
        record = read_record(self._home)
        current = self._current(record)
        if current is not None and current.fingerprint == fingerprint_of(path):
            write_record(self._home, record.model_copy(update={"seen": self._seen(record)}))
            return current
        number = record.last_number + 1
        state = self._state(path)
        try:
            with whole_folder(self._folder(number)) as folder:
                release = self._taken(path, folder, number)
        except ReleaseRefusedError as error:
            write_record(self._home, record.with_refusal(path, state, str(error)))
            raise
        record = record.adopted(release, path, self._seen(record), self._settings.keep)
        write_record(self._home, record)
        self._tidy(record)
        return self._release(record, number)

    def _taken(self, path: Path, folder: Path, number: int) -> KeptRelease:
        """Link a bundle into a folder and examine what is there then, whatever becomes of the source meanwhile."""
        try:
            take_over(path, folder, copies=self._settings.copies)
            manifest = Bundle.open(folder, verify="full").manifest
            created_at(manifest.created)
        except PrismRecError as error:
            raise ReleaseRefusedError(str(error).replace(str(folder), str(path))) from error
        problems = [*_below_floors(manifest, self._settings.floors)]
        if problems:
            raise ReleaseRefusedError(f"{path} is not served: {'; '.join(problems)}")
        return KeptRelease(number=number, created=manifest.created, fingerprint=fingerprint_of(folder))

    def _seen(self, record: Record) -> Seen | None:
        """What the source offers now; a refused bundle is news again when it is repaired."""
        newest = next((c for c in self._not_refused(record) if c.fingerprint), None)
        if newest is None:
            return None
        return Seen(source=str(self._source), fingerprint=newest.fingerprint, created=newest.created.isoformat())

    def _tidy(self, record: Record) -> None:
        """Remove what no record names: old releases, and what killed processes left half-made."""
        kept = {self._folder(release.number).name for release in record.releases}
        for folder in (self._home / "releases").iterdir():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)  # what cannot be removed now is tried with the next release
        for leftover in self._home.glob(f".{RECORD}.*.partial"):
            leftover.unlink(missing_ok=True)

    @contextmanager
    def _lock(self, wait: bool = True) -> Iterator[bool]:
        """Keep other processes and threads out; False where one is in and we do not wait."""
        try:
            self._home.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._home / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise ArtifactError(f"cannot write into {self._home}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            yield False
            return
        try:
            yield True
        finally:
            os.close(lock)


def _below_floors(manifest: Manifest, floors: dict[str, float]) -> Iterator[str]:
    for metric, floor in floors.items():
        value = manifest.metrics.get(metric)
        if value is None:
            known = ", ".join(sorted(manifest.metrics)) or "none at all"
            yield f"it must reach {metric} = {floor}, but its manifest has no such metric (it has: {known})"
        elif not value >= floor:  # NaN is not
            yield f"{metric} is {value}, below the floor of {floor}"


__all__ = ["Refusal", "Release", "ReleaseRefusedError", "ReleaseSettings", "Releases"]
