"""What answers: one release, opened, with the items that were added, changed and removed since. It is never altered."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from prismrec.data.schema import UNKNOWN
from prismrec.errors import PrismRecError
from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.request import NewItem, Request, SimilarRequest
from prismrec.retrieval.retriever import Retriever
from prismrec.serving.releases.files import created_at
from prismrec.serving.releases.releases import Release
from prismrec.serving.state.store import ItemChanges

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Live:
    """A release, and a retriever that has every item change up to a number."""

    release: Release
    bundle: Bundle
    retriever: Retriever
    changes: int = 0

    @classmethod
    def opened(cls, release: Release, encoder_threads: int = 1) -> Live:
        """Map a release into memory and warm it up; it was verified byte for byte when it was adopted.

        Args:
            encoder_threads: how many threads torch may use in this process, where the model's encoder runs in it.

        Raises:
            PrismRecError: it cannot be opened, or does not answer.
        """
        bundle = Bundle.open(release.path, verify="sizes")
        made = cls(release, bundle, bundle.retriever)
        made.warm_up()
        _bound_torch(encoder_threads)
        return made

    def warm_up(self) -> None:
        """Ask once for everything that is made on first use: the first client shall not wait for it."""
        first = self.bundle.items.ids_of(range(min(2, len(self.bundle.items))))
        users = self.bundle.contents.users
        known = users.id_of(0) if users is not None and len(users) else None
        self.retriever.recommend([Request(history=tuple(first)), Request(), Request(user=known)])
        self.retriever.similar([SimilarRequest(item_id=item_id) for item_id in first])

    def parsed(self, external_id: Any) -> Any:
        """An id of a request in the type that the bundle's ids have."""
        return self.bundle.items.parsed(external_id) if isinstance(external_id, str) else external_id

    def with_changes(self, changes: ItemChanges) -> Live:
        """The same with newer item changes; items that were trained later than they were stored stay as trained."""
        if changes.number == self.changes:
            return self
        upserted = zip(map(self._own, changes.upserted), changes.upserted_at, strict=True)
        retriever = _upserted(self.retriever, [item for item, when in upserted if self._is_news(item, when)])
        if changes.deleted:
            retriever = retriever.without([self.parsed(item_id) for item_id in changes.deleted])
        return replace(self, retriever=retriever, changes=changes.number)

    def _own(self, item: NewItem) -> NewItem:
        """A stored item under its id as the bundle has it: the state keeps UUIDs as text."""
        item_id = self.parsed(item.item_id)
        return item if item_id is item.item_id else item.model_copy(update={"item_id": item_id})

    def _is_news(self, item: NewItem, upserted_at: float) -> bool:
        """Whether a stored item says more than the bundle does."""
        is_trained = self.bundle.items.find(item.item_id) != UNKNOWN
        return not is_trained or upserted_at >= created_at(self.release.created).timestamp()


def _bound_torch(n_threads: int) -> None:
    """Torch takes every core unless told otherwise, in every worker; it is told once an encoder has loaded it."""
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(n_threads)


def _upserted(retriever: Retriever, items: Sequence[NewItem]) -> Retriever:
    """With all items, or, where one does not fit this bundle, with all the others."""
    if not items:
        return retriever
    try:
        return retriever.upserted(items)
    except PrismRecError as error:
        if len(items) == 1:
            _log.warning("a stored item does not fit this bundle and is left out: %s", error)
            return retriever
    middle = len(items) // 2
    return _upserted(_upserted(retriever, items[:middle]), items[middle:])


__all__ = ["Live"]
