"""A release with item changes: which are taken, and that none spoils another."""

import datetime as dt
import sys
import uuid
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest

from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ArtifactError
from prismrec.models.contract import EmbeddingTable
from prismrec.retrieval.bundle import Bundle, BundleContents
from prismrec.retrieval.query_encoding import QueryEncoding
from prismrec.retrieval.request import NewItem, Request
from prismrec.serving.live import Live
from prismrec.serving.releases.releases import Release
from prismrec.serving.state.store import ItemChanges

FIRST = 2**60
CREATED = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)


@pytest.fixture
def live(shop):
    return Live.opened(Release(1, shop, CREATED.isoformat(), "f"))


def ids(live):
    return set(live.retriever.recommend([Request(k=100)])[0].item_ids)


def changes(number, items=(), deleted=(), seconds=1.0):
    """Changes that were made some seconds after the bundle."""
    return ItemChanges(number, tuple(items), tuple(deleted), (CREATED.timestamp() + seconds,) * len(items))


def test_changes_make_another_one_and_leave_the_first_alone(live):
    changed = live.with_changes(changes(3, [NewItem(item_id=5)], [FIRST]))
    assert changed.changes == 3
    assert ids(changed) == (ids(live) | {5}) - {FIRST}
    assert changed.bundle is live.bundle
    assert live.changes == 0


def test_no_change_makes_no_other_one(live):
    assert live.with_changes(ItemChanges(0)) is live


def test_later_changes_come_on_top(live):
    first = live.with_changes(changes(1, [NewItem(item_id=5, columns={"name": "a"})]))
    second = first.with_changes(changes(2, [NewItem(item_id=5, columns={"name": "b"}), NewItem(item_id=6)]))
    assert second.retriever.item(5).columns["name"] == "b"
    third = second.with_changes(changes(3, [], [5]))
    assert ids(third) - ids(live) == {6}


@pytest.mark.parametrize(("seconds", "name"), [(-1, "article 0"), (0, "changed"), (1, "changed")])
def test_item_that_was_trained_later_than_it_was_stored_stays_as_trained(live, seconds, name):
    stored = [NewItem(item_id=FIRST, columns={"name": "changed"}), NewItem(item_id=5)]
    changed = live.with_changes(changes(2, stored, seconds=seconds))
    assert changed.retriever.item(FIRST).columns["name"] == name
    assert 5 in ids(changed), "what the bundle does not hold is always news"


def test_deletions_stay_however_old(live):
    assert FIRST not in ids(live.with_changes(changes(1, [], [FIRST], seconds=-1000)))


def test_item_that_does_not_fit_leaves_the_others_alone(live, caplog):
    bad = NewItem(item_id=99, views={"size": ("xl",)})
    good = [NewItem(item_id=i) for i in range(5, 9)]
    changed = live.with_changes(changes(5, [*good[:3], bad, *good[3:]]))
    assert ids(changed) - ids(live) == {5, 6, 7, 8}
    assert caplog.text.count("a stored item does not fit this bundle and is left out") == 1


def test_ids_are_parsed_to_the_type_of_the_bundle(live):
    assert [live.parsed(item_id) for item_id in ("17", 17, "x", str(FIRST))] == [17, 17, "x", FIRST]


def test_changes_of_uuids_come_as_text_and_count(tmp_path):
    one, other, new = (uuid.UUID(int=2**100 + i) for i in range(3))
    rows = np.eye(2, dtype=np.float32)
    contents = BundleContents(
        vectors={"item": EmbeddingTable(rows, rows)},
        vocabularies={"item": Vocabulary.from_ids([one, other], [2, 1])},
        item_columns=pa.table({"name": ["lamp", "chair"]}),
    )
    Bundle.write(tmp_path / "bundle", contents)
    live = Live.opened(Release(1, tmp_path / "bundle", CREATED.isoformat(), "f"))
    items = [NewItem(item_id=str(new), columns={"name": "new"}), NewItem(item_id=str(one), columns={"name": "changed"})]
    changed = live.with_changes(changes(3, items, [str(other)]))
    assert ids(changed) == {one, new}
    assert changed.retriever.item(one).columns["name"] == "changed"
    old = live.with_changes(changes(2, items, seconds=-1))
    assert old.retriever.item(one).columns["name"] == "lamp", "it was trained later than it was stored"


def test_folder_that_is_no_bundle_is_told(tmp_path):
    with pytest.raises(ArtifactError, match="is not a bundle"):
        Live.opened(Release(1, tmp_path, CREATED.isoformat(), "f"))


def test_torch_is_bounded_where_it_is_loaded_and_left_alone_where_not(shop, encoded_shop, monkeypatch):
    class Torch:
        bounds: ClassVar[list[int]] = []

        @classmethod
        def set_num_threads(cls, n):
            cls.bounds.append(n)

    monkeypatch.setitem(sys.modules, "torch", Torch)
    Live.opened(Release(1, encoded_shop, CREATED.isoformat(), "f"), encoder_threads=3)
    assert Torch.bounds == [3]
    monkeypatch.delitem(sys.modules, "torch")
    Live.opened(Release(1, shop, CREATED.isoformat(), "f"))
    assert "torch" not in sys.modules


def test_the_encoder_is_warmed_up_with_a_user_that_it_knows(encoded_shop, monkeypatch):
    asked = []
    vectors = QueryEncoding.vectors

    def watched(encoding, histories, users):
        asked.append((len(histories), list(users)))
        return vectors(encoding, histories, users)

    monkeypatch.setattr(QueryEncoding, "vectors", watched)
    Live.opened(Release(1, encoded_shop, CREATED.isoformat(), "f"))
    assert asked == [(2, [-1, 0])]
