"""Coverage of views by hand: three items with 4, 1 and 1 interactions, and one that nobody knows."""

import pyarrow as pa
import pytest

from prismrec.data.profile.coverage import coverage_of, popularity_of, unknown_items
from prismrec.data.views import ViewSettings
from prismrec.errors import DataError

ROWS = [("u", item, place) for place, item in enumerate([1, 1, 1, 1, 2, 3, 99, 99])]


@pytest.fixture
def popularity(make_log):
    return popularity_of(make_log(ROWS).table)


def test_single_values_by_hand(popularity, make_items):
    items = make_items(item_id=[1, 2, 3, 7], brand=["x", "x", "  ", "never clicked"])
    (found,) = coverage_of(popularity, items, {"shop": "brand"})
    assert (found.view, found.column) == ("shop", "brand")
    assert found.items_covered == 2 / 4
    assert found.interactions_covered == 5 / 8
    assert (found.n_values, found.largest, found.largest_share) == (1, "x", 1.0)


def test_lists_count_every_entry_once(popularity, make_items):
    genres = pa.array([["a", "b", "a"], ["b"], [], ["c"]], pa.list_(pa.string()))
    (found,) = coverage_of(popularity, make_items(item_id=[1, 2, 3, 7], genres=genres), {"genre": "genres"})
    assert (found.items_covered, found.n_values) == (2 / 4, 2)
    assert (found.largest, found.largest_share) == ("b", 1.0)


def test_separators_and_prefixes_are_those_of_the_view(popularity, make_items):
    items = make_items(item_id=[1, 2, 3], genres=["a | b", "b", None], code=["851A", "851B", "220"])
    views = {
        "genre": ViewSettings.model_validate({"column": "genres", "separator": "|"}),
        "group": ViewSettings.model_validate({"column": "code", "prefix": 3}),
    }
    genre, group = coverage_of(popularity, items, views)
    assert (genre.n_values, genre.largest) == (2, "b")
    assert (group.n_values, group.largest, group.largest_share) == (2, "851", 2 / 3)


def test_numbers_are_values_too_and_ties_go_to_the_smaller(popularity, make_items):
    (found,) = coverage_of(popularity, make_items(item_id=[1, 2], year=[1999, 1998]), {"year": "year"})
    assert found.largest == 1998


def test_a_view_nobody_has_covers_nothing(popularity, make_items):
    items = make_items(item_id=[1, 2], brand=pa.array([None, None], pa.string()))
    (found,) = coverage_of(popularity, items, {"shop": "brand"})
    assert (found.items_covered, found.interactions_covered, found.n_values) == (0, 0, 0)
    assert (found.largest, found.largest_share) == (None, 0)


def test_items_that_the_table_lacks_are_counted(popularity, make_items):
    assert unknown_items(popularity, make_items(item_id=[1, 2])) == 2
    assert unknown_items(popularity, None) == 0


def test_a_missing_column_is_an_error_that_names_view_and_columns(popularity, make_items):
    with pytest.raises(DataError, match="view 'shop': the item table has no column 'brand'; it has item_id, name"):
        coverage_of(popularity, make_items(item_id=[1], name=["x"]), {"shop": "brand"})


def test_views_without_an_item_table_are_an_error(popularity):
    with pytest.raises(DataError, match=r"views are configured \(shop\), but there is no item table"):
        coverage_of(popularity, None, {"shop": "brand"})
