"""Added and removed items: never changed in place, nodes numbered on, known vectors kept."""

import numpy as np
import pytest

from prismrec.data.sequences import Sequences
from prismrec.errors import DataError
from prismrec.retrieval.cold_start import ColdStart, ColdStartSettings
from prismrec.retrieval.overlay import Overlay, Placement
from prismrec.retrieval.request import NewItem

FIRST = 2**60
EMPTY = Overlay.empty(16, ["item", "category", "shop"])


@pytest.fixture
def placement(contents):
    return Placement(contents, ColdStartSettings())


def test_an_empty_overlay_has_the_widths_of_the_bundle():
    assert (EMPTY.sources.shape, EMPTY.targets.shape, len(EMPTY)) == ((0, 16), (0, 17), 0)
    assert set(EMPTY.nodes) == {"category", "shop"}
    assert EMPTY.place_of("x") == -1


def test_new_nodes_are_numbered_behind_those_of_the_bundle_and_on_from_overlay_to_overlay(placement):
    first = placement.overlay([NewItem(item_id=1, views={"shop": ["west", "north", "west"]})], EMPTY)
    second = placement.overlay([NewItem(item_id=2, views={"shop": ["far", "west"]})], first)
    assert first.nodes["shop"].to_lists() == [[2, 0]]
    assert second.nodes["shop"].to_lists() == [[3, 2]]
    both = first.joined(second)
    assert both.nodes["shop"].to_lists() == [[2, 0], [3, 2]]
    assert dict(both.fresh_nodes["shop"]) == {"west": 2, "far": 3}


def test_vectors_of_new_items_come_from_their_known_nodes(placement, contents):
    made = placement.overlay([NewItem(item_id=1, views={"category": ["fluid milk"], "shop": ["west"]})], EMPTY)
    category = contents.vectors["category"]
    assert made.sources[0, 6:12].tolist() == pytest.approx(category.source[0].tolist())
    assert made.targets[0, 6:12].tolist() == pytest.approx(category.target[0].tolist())
    assert made.sources[0, 12:].tolist() == [0, 0, 0, 0]  # nobody knows what west is like
    assert np.isfinite(made.targets).all()


def test_a_changed_item_hides_its_row_and_keeps_its_learned_vectors_and_prior(placement, contents):
    made = placement.overlay([NewItem(item_id=FIRST + 7, views={"category": ["fluid milk"]})], EMPTY)
    item = contents.vectors["item"]
    assert made.hidden.tolist() == [7]
    assert made.sources[0, :6].tolist() == item.source[7].tolist()
    assert made.targets[0, :6].tolist() == item.target[7].tolist()
    assert made.items[0].views == {"category": ("fluid milk",), "shop": ("south",)}
    assert made.items[0].columns == {"name": "article 7", "price": 1.75}


def test_joining_replaces_items_of_the_same_id_and_leaves_both_parts_alone(placement):
    first = placement.overlay([NewItem(item_id=1, columns={"name": "a"}), NewItem(item_id=2)], EMPTY)
    second = placement.overlay([NewItem(item_id=1, columns={"name": "b"})], first)
    both = first.joined(second)
    assert [item.item_id for item in both.items] == [2, 1]
    assert (both.place_of(1), both.place_of(2)) == (1, 0)
    assert (first.place_of(1), len(first), len(second)) == (0, 2, 1)
    assert both.sources.shape == (2, 16)


def test_without_takes_added_items_out_and_hides_rows(placement):
    made = placement.overlay([NewItem(item_id=i, views={"shop": ["north"]}) for i in (1, 2, 3)], EMPTY)
    later = made.without([2, "unknown"], [9, 4])
    assert [item.item_id for item in later.items] == [1, 3]
    assert later.hidden.tolist() == [4, 9]
    assert later.nodes["shop"].to_lists() == [[0], [0]]
    assert later.targets.tolist() == made.targets[[0, 2]].tolist()
    assert made.hidden.tolist() == []


def test_preferences_are_a_pseudo_item(placement, contents):
    vector, unknown = placement.preference({"category": ["100% juice", "?"], "shop": ["!"]})
    whole = ColdStart.of(contents, ColdStartSettings())
    expected = whole.preferences({"category": Sequences.from_lists([[2]]), "shop": Sequences.from_lists([[]])})[0]
    assert vector.tolist() == expected.tolist()
    assert unknown == ["?", "!"]
    assert placement.preference({"category": ["?"]}) == (None, ["?"])
    assert placement.preference({}) == (None, [])


def test_a_view_or_id_of_another_kind_is_refused(placement):
    with pytest.raises(DataError, match="item 1: there is no side view 'brand'; there are category, shop"):
        placement.overlay([NewItem(item_id=1, views={"brand": ["x"]})], EMPTY)
    with pytest.raises(DataError, match=r"item 1\.5: ids of this bundle are integers"):
        placement.overlay([NewItem(item_id=1.5)], EMPTY)


def test_an_id_among_the_columns_is_refused(placement):
    with pytest.raises(DataError, match="item 1: item_id is no column of its own"):
        placement.overlay([NewItem(item_id=1, columns={"item_id": 9})], EMPTY)
