"""What the server does, without HTTP: one model that answers, the state beside it, and how both are renewed.

Reading needs no lock: `live` is one reference to something that never changes, and whoever began with a model ends with
it. Renewing it (a new release, items that changed here or in another worker) makes the next one and swaps the
reference. A change is in the database before the model shows it, so what was acknowledged survives the process.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prismrec.errors import NotFittedError, PrismRecError, UnknownIdError
from prismrec.retrieval.answers import Recommendations
from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.retriever import ItemCard, Retriever
from prismrec.serving.live import Live
from prismrec.serving.questions import request_of, similar_request_of
from prismrec.serving.releases.releases import Release, Releases
from prismrec.serving.schemas import LARGEST_ID, LEAST_ID, Item, Recommend, Similar
from prismrec.serving.schemas import Event as EventBody
from prismrec.serving.settings import ServeSettings
from prismrec.serving.state.store import Event, State

_log = logging.getLogger(__name__)

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,19}")
"""A number as JSON writes it; 20 digits hold any of 64 bits."""


@dataclass(frozen=True)
class Asked:
    """A question, and the stored history of the user it names."""

    question: Recommend | Similar
    stored: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Answered:
    """An answer, and the number of the release it comes from."""

    found: Recommendations
    release: int


class Service:
    """A bundle that answers, and remembers users and items."""

    def __init__(self, state: State, releases: Releases, home: Path, encoder_threads: int = 1) -> None:
        """Bind state and releases; nothing is loaded before `refresh`."""
        self._encoder_threads = encoder_threads
        self.home = home
        self.state = state
        self.releases = releases
        self.draining = False
        self._live: Live | None = None
        self._unusable: int | None = None
        self._prepared: int | None = None
        self._adopting = threading.Lock()
        self._changing = threading.Lock()

    @classmethod
    def open(cls, source: Path, settings: ServeSettings) -> Service:
        """The service of a bundle, or of a folder of bundles.

        Raises:
            ConfigError: the url of the state is none.
            ArtifactError: the state cannot be opened, or the home folder not be made.
        """
        home = settings.home_of(source)
        return cls(
            state=State.open(settings.state_url(source)),
            releases=Releases(home, source, settings.releases),
            home=home,
            encoder_threads=settings.traffic.encoder_threads,
        )

    # ---- what answers ----

    @property
    def ready(self) -> bool:
        """Whether it can answer and means to go on doing so."""
        return self._live is not None and not self.draining

    @property
    def loaded(self) -> int:
        """Number of the release that answers; 0 where none does yet."""
        return self._live.release.number if self._live is not None else 0

    @property
    def live(self) -> Live:
        """What answers now.

        Raises:
            NotFittedError: no release is loaded yet.
        """
        if self._live is None:
            raise NotFittedError("no release is loaded yet: try again in a moment")
        return self._live

    @property
    def bundle(self) -> Bundle:
        """The bundle that answers now."""
        return self.live.bundle

    @property
    def retriever(self) -> Retriever:
        """What answers now: that bundle, and the items added since."""
        return self.live.retriever

    def answer(self, asked: Sequence[Asked]) -> list[Answered]:
        """Answer questions together, all by the same model.

        Raises:
            PrismRecError: one of them cannot be answered (an unknown item, view or column); none is answered then.
        """
        live = self.live
        recommend = [
            (i, one.question, one.stored) for i, one in enumerate(asked) if isinstance(one.question, Recommend)
        ]
        similar = [(i, one.question) for i, one in enumerate(asked) if isinstance(one.question, Similar)]
        found: dict[int, Recommendations] = {}
        if recommend:
            lists = live.retriever.recommend([request_of(body, stored, live) for _, body, stored in recommend])
            found |= zip((i for i, *_ in recommend), lists, strict=True)
        if similar:
            lists = live.retriever.similar([similar_request_of(body, live) for _, body in similar])
            found |= zip((i for i, _ in similar), lists, strict=True)
        return [Answered(found[i], live.release.number) for i in range(len(asked))]

    def item(self, item_id: Any) -> ItemCard:
        """What is known of an item; one that another worker added a moment ago is found too.

        Raises:
            UnknownIdError: nobody knows the id, or it was deleted.
        """
        try:
            return self.live.retriever.item(self.live.parsed(item_id))
        except UnknownIdError:
            self.refresh_items()
            return self.live.retriever.item(self.live.parsed(item_id))

    # ---- users ----

    def histories(self, user_ids: Sequence[Any], limit: int) -> dict[Any, tuple[Any, ...]]:
        """The latest items of users, the latest last; empty for unknown users."""
        return {user: tuple(items) for user, items in self.state.histories(user_ids, limit).items()}

    def record(self, events: Sequence[EventBody]) -> int:
        """Store events; they are on disk when this returns.

        Returns:
            How many were new, that is not stored before under the same event id.
        """
        parsed = self._live.parsed if self._live else _unchanged
        return self.state.append([Event(e.user_id, parsed(e.item_id), e.timestamp, e.event_id) for e in events])

    def forget(self, user_id: str) -> int:
        """Remove all that is stored of a user, whether the id was sent as text or as a number.

        Returns:
            How many events there were.
        """
        spellings: list[Any] = [user_id]
        if _INTEGER.fullmatch(user_id):
            number = int(user_id)
            spellings += [number] if LEAST_ID <= number <= LARGEST_ID else []
        return sum(map(self.state.forget, spellings))

    # ---- items ----

    def upsert(self, items: Sequence[Item]) -> list[Any]:
        """Add items, or change them; stored on disk and visible here when this returns.

        Returns:
            Their ids, in the type that the bundle's ids have.

        Raises:
            DataError: an id or a view does not fit the bundle; nothing is stored.
        """
        live = self.live
        new = [item.new_item(live.parsed) for item in items]
        live.retriever.upserted(new)  # tells what does not fit before anything is stored
        self.state.put_items(new)
        self.refresh_items()
        return [item.item_id for item in new]

    def delete(self, item_id: Any) -> Any:
        """Delete an item; stored on disk and no longer answered here when this returns.

        Returns:
            Its id, in the type that the bundle's ids have.

        Raises:
            UnknownIdError: nobody knows the id, or it was deleted before.
        """
        known = self.item(item_id).item_id
        self.state.delete_items([known])
        self.refresh_items()
        return known

    # ---- renewal ----

    def refresh(self) -> None:
        """Adopt a source that changed, load the current release, take over item changes of other workers.

        Raises:
            PrismRecError: a release cannot be loaded, or the state cannot be read; what answered goes on answering.
        """
        self._prepare()
        with self._adopting:
            self.releases.poll()
            self._load_current()
        self.refresh_items()

    def reload(self) -> Release:
        """Adopt the source as it is now and load it.

        Raises:
            ReleaseRefusedError: it is broken, or scores below a floor; what answered goes on answering.
        """
        with self._adopting:
            self.releases.adopt(None)
            self._unusable = None
            self._load_current()
        return self.live.release

    def rollback(self) -> Release:
        """Go back to the release before the current one and load it.

        Raises:
            PrismRecError: there is none.
        """
        with self._adopting:
            self.releases.rollback()
            self._unusable = None
            self._load_current()
        return self.live.release

    def refresh_items(self) -> None:
        """Apply the item changes since the last time, made here or by other workers."""
        with self._changing:
            if self._live is not None:
                self._live = self._live.with_changes(self.state.changes(self._live.changes))

    def close(self) -> None:
        """Close the state."""
        self.state.close()

    def _prepare(self) -> None:
        """Calibrate how new items are placed, once per release and only when it answers already: that comes first."""
        live = self._live
        if live is None or live.release.number == self._prepared:
            return
        self._prepared = live.release.number
        try:
            live.retriever.prepare()
        except PrismRecError as error:
            _log.warning("release %d cannot place new items: %s", live.release.number, error)

    def _load_current(self) -> None:
        """Load the current release unless it is loaded, warm it up, then swap the reference."""
        release = self.releases.current()
        if self._live is not None and self._live.release.number == release.number:
            return
        if release.number == self._unusable:
            return
        try:
            fresh = Live.opened(release, self._encoder_threads)
        except PrismRecError:
            self._unusable = release.number  # not tried again and again
            raise
        with self._changing:
            self._live = fresh.with_changes(self.state.changes())
        _log.info("release %d answers now", release.number)


def _unchanged(external_id: Any) -> Any:
    return external_id


__all__ = ["Answered", "Asked", "Service"]
