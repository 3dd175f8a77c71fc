"""Conditions on views and columns: which items meet them, and new items alike."""

import datetime as dt
import threading
import uuid
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError, DataError
from prismrec.retrieval.filters import item_filter as filters
from prismrec.retrieval.filters.item_filter import ItemFilter
from prismrec.retrieval.request import Condition, NewItem

NORTH, SOUTH = uuid.UUID(int=1), uuid.UUID(int=2)
DAY = dt.datetime(2024, 3, 31, tzinfo=dt.UTC)

TABLE = pa.table({
    "item_id": pa.array([2**60, 2**60 + 1, 7, 8, 9]),
    "name": ["apple", None, "Äpfel", "bread", ""],
    "price": pa.array([1.0, 2.5, None, float("nan"), 4.0]),
    "small": pa.array([0.1, 0.2, None, 0.3, 0.4], pa.float32()),
    "cost": pa.array([Decimal("1.10"), Decimal("2.20"), None, Decimal("3.30"), Decimal("1.10")], pa.decimal128(9, 2)),
    "stock": pa.array([3, None, 2**53 + 1, 2**53, -1], pa.int64()),
    "code": pa.array([0, 2**64 - 1, None, 5, 6], pa.uint64()),
    "fresh": [True, False, None, True, False],
    "since": pa.array([dt.date(2024, 3, 30), dt.date(2024, 3, 31), None, dt.date(1960, 1, 1), dt.date(2024, 4, 1)]),
    "added": pa.array([DAY, DAY + dt.timedelta(hours=23, minutes=59), None, DAY + dt.timedelta(days=1),
                       dt.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC)], pa.timestamp("us", "UTC")),
    "tags": pa.array([["a", "b"], [], None, ["b", None], ["c"]]),
    "sizes": pa.array([[1, 9], [5], None, [], [10]]),
    "maker": pa.array(["x", "y", None, "x", "z"]).dictionary_encode(),
    "both": [10, 20, 30, 40, 50],
    "blob": pa.array([{"a": 1}] * 5),
    "nothing": pa.nulls(5),
})  # fmt: skip
NODES = {
    "category": Sequences.from_lists([[0], [1, 2], [], [2], [0, 2]]),
    "year": Sequences.from_lists([[0], [1], [2], [], [1]]),
    "shop": Sequences.from_lists([[0], [1], [0], [], [1]]),
    "both": Sequences.from_lists([[0], [0], [1], [1], []]),
}
VOCABULARIES = {
    "category": Vocabulary.from_ids(["cheese", "fruit", "bakery"]),
    "year": Vocabulary.from_ids([1999, 2005, 2010]),
    "shop": Vocabulary.from_ids([NORTH, SOUTH]),
    "both": Vocabulary.from_ids(["low", "high"]),
}


@pytest.fixture
def items() -> ItemFilter:
    return ItemFilter(NODES, VOCABULARIES, TABLE)


def met(items: ItemFilter, name: str, **condition) -> list[int]:
    return np.flatnonzero(np.asarray(items.mask({name: Condition(**condition)}))).tolist()


# ---- views ----


def test_any_of_asks_for_at_least_one_node(items):
    assert met(items, "category", any_of=["cheese"]) == [0, 4]
    assert met(items, "category", any_of=["fruit", "cheese"]) == [0, 1, 4]


def test_none_of_asks_for_no_such_node_and_takes_items_without_nodes(items):
    assert met(items, "category", none_of=["bakery"]) == [0, 2]


def test_no_value_at_all_is_met_by_nobody_and_no_condition_by_everybody(items):
    assert met(items, "category", any_of=[]) == []
    assert met(items, "category") == [0, 1, 2, 3, 4]
    assert items.mask({}) is None


def test_everything_in_a_condition_must_hold(items):
    assert met(items, "category", any_of=["bakery"], none_of=["cheese"]) == [1, 3]


def test_an_id_that_no_node_has_matches_nothing(items):
    assert met(items, "category", any_of=["chease"]) == []
    assert met(items, "category", none_of=["chease"]) == [0, 1, 2, 3, 4]
    assert met(items, "year", any_of=[2**70, -1]) == []


def test_integer_ids_have_a_range(items):
    assert met(items, "year", min=2000) == [1, 2, 4]
    assert met(items, "year", min=1999, max=2005.5) == [0, 1, 4]


def test_uuids_are_given_as_text(items):
    assert met(items, "shop", any_of=[str(NORTH)]) == [0, 2]
    assert met(items, "shop", any_of=[NORTH.hex.upper()]) == [0, 2]


def test_a_view_wins_over_a_column_of_its_name(items):
    assert met(items, "both", any_of=["high"]) == [2, 3]
    with pytest.raises(ConfigError, match="view 'both' is string: expected text, got 20"):
        met(items, "both", any_of=[20])


# ---- columns ----


def test_numbers_lie_between_both_ends(items):
    assert met(items, "price", min=1, max=2.5) == [0, 1]
    assert met(items, "price", min=2.5) == [1, 4]
    assert met(items, "price", max=1.0) == [0]
    assert met(items, "price", any_of=[4, 2.5]) == [1, 4]


def test_missing_and_nan_meet_none_of_alone(items):
    assert met(items, "price", none_of=[1]) == [1, 2, 3, 4]
    assert met(items, "price", min=-1e300, max=10**400) == [0, 1, 4]


def test_numbers_are_those_of_the_column(items):
    assert met(items, "small", any_of=[0.1]) == [0]
    assert met(items, "small", max=0.2) == [0, 1]
    assert met(items, "cost", any_of=[1.1]) == [0, 4]
    assert met(items, "cost", min=2.2) == [1, 3]


def test_large_integers_keep_their_digits(items):
    assert met(items, "stock", any_of=[2**53 + 1]) == [2]
    assert met(items, "stock", min=2**53 + 1) == [2]
    assert met(items, "item_id", any_of=[2**60 + 1]) == [1]
    assert met(items, "code", any_of=[2**64 - 1]) == [1]
    assert met(items, "code", min=2**63) == [1]


def test_integers_compare_with_fractions_exactly(items):
    assert met(items, "stock", any_of=[3.0]) == [0]
    assert met(items, "stock", any_of=[2.5]) == []
    assert met(items, "stock", min=-1.5, max=3.5) == [0, 4]
    assert met(items, "stock", min=2.5, max=2.9) == []


def test_bounds_beyond_what_a_column_can_hold(items):
    everything = [0, 2, 3, 4]
    assert met(items, "stock", min=-(10**30)) == met(items, "stock", max=10**30) == everything
    assert met(items, "stock", min=10**30) == met(items, "stock", max=-(10**30)) == []
    assert met(items, "code", min=-5) == [0, 1, 3, 4]
    assert met(items, "code", max=-1) == []


def test_text_compares_as_a_whole_and_in_the_order_of_its_letters(items):
    assert met(items, "name", any_of=["apple", "Apple"]) == [0]
    assert met(items, "name", none_of=["apple"]) == [1, 2, 3, 4]
    assert met(items, "name", any_of=[""]) == [4]
    assert met(items, "name", min="b", max="c") == [3]


def test_truth_values_are_no_numbers(items):
    assert met(items, "fresh", any_of=[True]) == [0, 3]
    with pytest.raises(ConfigError, match="column 'fresh' is bool: expected true or false, got 1"):
        met(items, "fresh", any_of=[1])
    with pytest.raises(ConfigError, match="column 'fresh' is bool, which has no order: use any_of or none_of"):
        met(items, "fresh", min=0)


def test_days_are_compared_with_iso_text(items):
    assert met(items, "since", any_of=["2024-03-31"]) == [1]
    assert met(items, "since", min="2024-03-30T12:00") == [1, 4]
    assert met(items, "since", max="2024-03-31T00:00") == [0, 1, 3]
    assert met(items, "since", any_of=["2024-03-31T12:00"]) == []


def test_a_day_stands_for_all_times_in_it(items):
    assert met(items, "added", any_of=["2024-03-31"]) == [0, 1]
    assert met(items, "added", max="2024-03-31") == [0, 1, 4]
    assert met(items, "added", max="2024-03-31T00:00:00") == [0, 4]
    assert met(items, "added", min="2024-03-31", max="2024-04-01") == [0, 1, 3]
    assert met(items, "added", max="1969-12-31") == [4]


def test_times_name_their_zone_or_are_utc(items):
    assert met(items, "added", any_of=["2024-03-31T02:00+02:00"]) == [0]
    assert met(items, "added", any_of=["2024-03-31T00:00:00Z"]) == [0]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_every_unit_with_and_without_a_zone(unit):
    moments = [dt.datetime(2024, 3, 31, 12), dt.datetime(1950, 1, 1), None]
    for zone in (None, "Europe/Berlin"):
        table = pa.table({"at": pa.array(moments, pa.timestamp(unit, zone))})
        items = ItemFilter({}, {}, table)
        assert met(items, "at", any_of=["2024-03-31T12:00"]) == [0]
        assert met(items, "at", min="2024-03-31T12:00:00.000001") == []
        assert met(items, "at", max="1950-01-01") == [1]


def test_lists_meet_with_one_of_their_values(items):
    assert met(items, "tags", any_of=["b"]) == [0, 3]
    assert met(items, "tags", none_of=["b"]) == [1, 2, 4]
    assert met(items, "sizes", min=8, max=9) == [0]
    assert met(items, "sizes", min=2, max=8) == [1]


@pytest.mark.parametrize("kind", [pa.large_list(pa.int64()), pa.list_(pa.int64(), 2)])
def test_lists_of_every_kind(kind):
    table = pa.table({"pair": pa.array([[1, 2], None, [3, None], [2, 2]], kind)})
    items = ItemFilter({}, {}, pa.concat_tables([table, table]))
    assert met(items, "pair", any_of=[2]) == [0, 3, 4, 7]
    assert met(items, "pair", none_of=[2]) == [1, 2, 5, 6]


def test_encoded_and_empty_columns(items):
    assert met(items, "maker", any_of=["x"]) == [0, 3]
    assert met(items, "nothing", any_of=["x"]) == []
    assert met(items, "nothing", none_of=["x"]) == [0, 1, 2, 3, 4]


def test_conditions_are_joined(items):
    where = {"price": Condition(min=1), "category": Condition(any_of=["cheese"]), "fresh": Condition(any_of=[False])}
    assert np.flatnonzero(np.asarray(items.mask(where))).tolist() == [4]


# ---- what is refused ----


def test_unknown_name_tells_the_nearest(items):
    with pytest.raises(ConfigError, match=r"filter on 'pricee': .* did you mean 'price'"):
        met(items, "pricee", min=1)
    with pytest.raises(ConfigError, match="there are item_id, name, price"):
        met(items, "????????", min=1)
    with pytest.raises(ConfigError, match="there are none"):
        met(ItemFilter({}, {}, None), "price", min=1)


@pytest.mark.parametrize(
    ("name", "condition", "told"),
    [
        ("price", {"min": "cheap"}, "column 'price' is double: expected a number, got 'cheap'"),
        ("price", {"any_of": [True]}, "column 'price' is double: expected a number, got True"),
        ("stock", {"none_of": ["3"]}, "column 'stock' is int64: expected a number, got '3'"),
        ("name", {"any_of": [5]}, "column 'name' is string: expected text, got 5"),
        ("name", {"any_of": ["\ud800"]}, "column 'name' is string: expected text"),
        ("added", {"min": 1711843200}, "column 'added' is timestamp.*: expected an ISO date or time such as"),
        ("added", {"max": "yesterday"}, "expected an ISO date or time .* got 'yesterday'"),
        ("since", {"any_of": ["2024-02-30"]}, "column 'since' is date32.*got '2024-02-30'"),
        ("tags", {"any_of": [1]}, "column 'tags' is string: expected text, got 1"),
        ("year", {"any_of": ["1999"]}, "view 'year' is int64: expected a number, got '1999'"),
        ("shop", {"any_of": ["north"]}, "view 'shop' is UUID: expected a UUID, got 'north'"),
        ("shop", {"min": "a"}, "view 'shop' is UUID, which has no order"),
        ("blob", {"any_of": ["a"]}, "column 'blob': values of type struct<a: int64> cannot be compared; there are"),
    ],
)  # fmt: skip
def test_values_of_another_type_are_refused(items, name, condition, told):
    with pytest.raises(ConfigError, match=told):
        met(items, name, **condition)


# ---- masks are kept ----


def test_masks_are_read_only_and_the_same_object_again(items):
    where = {"price": Condition(min=1), "fresh": Condition(any_of=[True])}
    mask = items.mask(where)
    assert items.mask(dict(reversed(where.items()))) is mask
    with pytest.raises(ValueError, match="read-only"):
        mask[0] = False


def test_equal_looking_values_are_different_questions(items):
    assert met(items, "fresh", any_of=[True]) == [0, 3]
    with pytest.raises(ConfigError, match="expected true or false, got 1"):
        met(items, "fresh", any_of=[1])


def test_a_refused_condition_is_refused_again(items):
    for _ in range(2):
        with pytest.raises(ConfigError):
            met(items, "price", min="cheap")


@pytest.mark.parametrize(("bound", "value"), [("CACHED_MASKS", 3), ("CACHED_BYTES", 3 * 5 + 4)])
def test_no_more_masks_are_kept_than_allowed(monkeypatch, bound, value):
    monkeypatch.setattr(filters, bound, value)
    small = ItemFilter(NODES, VOCABULARIES, TABLE)
    first = small.mask({"price": Condition(min=0)})
    kept = small.mask({"price": Condition(min=1)})
    for low in (2, 3, 4, 5):
        small.mask({"price": Condition(min=low)})
        assert small.mask({"price": Condition(min=1)}) is kept
    assert small.mask({"price": Condition(min=0)}) is not first


def test_threads_may_share_a_filter():
    small = ItemFilter(NODES, VOCABULARIES, TABLE)
    wrong = []

    def ask(seed):
        rng = np.random.default_rng(seed)
        for low in rng.integers(0, 300, 200):
            where = {"price": Condition(min=int(low)), "category": Condition(none_of=["fruit"])}
            expected = [i for i, price in enumerate([1, 2.5, -1, -1, 4]) if price >= low and i != 1]
            if np.flatnonzero(np.asarray(small.mask(where))).tolist() != expected:
                wrong.append(low)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# ---- items added at run time ----


def row_as_new(index: int) -> NewItem:
    """Row of the table as a new item: what its JSON, sent back, would be."""
    row = {name: as_json(value) for name, value in TABLE.slice(index, 1).to_pylist()[0].items()}
    views = {view: [str(i) if view == "shop" else i for i in VOCABULARIES[view].ids_of(NODES[view][index])]
             for view in NODES}  # fmt: skip
    return NewItem(item_id=row["item_id"], views=views, columns={k: v for k, v in row.items() if k != "blob"})


def as_json(value):
    if isinstance(value, dt.date):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value


NEW = [row_as_new(index) for index in range(TABLE.num_rows)]
ROOTS = {
    "name": st.sampled_from(["apple", "Äpfel", "", "b", "c"]),
    "price": st.one_of(st.integers(-1, 5), st.floats(0, 5)),
    "small": st.sampled_from([0.1, 0.2, 0.25, 1]),
    "cost": st.sampled_from([1.1, 2.2, 3.3, 2]),
    "stock": st.sampled_from([-1, 3, 2**53, 2**53 + 1, 2.5, 2**80, -(2**80)]),
    "code": st.sampled_from([0, 5, 2**64 - 1, -1]),
    "item_id": st.sampled_from([2**60, 2**60 + 1, 7]),
    "since": st.sampled_from(["2024-03-30", "2024-03-31", "2024-03-31T10:00", "1960-01-01"]),
    "added": st.sampled_from(["2024-03-31", "2024-03-31T23:59", "2024-04-01", "1969-12-31"]),
    "tags": st.sampled_from(["a", "b", "c", "d"]),
    "sizes": st.integers(0, 11),
    "maker": st.sampled_from(["x", "y", "w"]),
    "category": st.sampled_from(["cheese", "fruit", "bakery", "unknown"]),
    "year": st.sampled_from([1999, 2005, 2007.5]),
}


@st.composite
def wheres(draw):
    names = draw(st.lists(st.sampled_from(sorted(ROOTS)), min_size=1, max_size=3, unique=True))
    where = {}
    for name in names:
        values = ROOTS[name]
        where[name] = Condition(
            any_of=draw(st.none() | st.lists(values, max_size=3)),
            none_of=draw(st.lists(values, max_size=2)),
            min=draw(st.none() | values),
            max=draw(st.none() | values),
        )
    return where


@given(wheres())
def test_a_new_item_like_a_row_matches_exactly_when_the_row_does(where):
    items = ItemFilter(NODES, VOCABULARIES, TABLE)
    np.testing.assert_array_equal(items.matches(where, NEW), items.mask(where))


@pytest.mark.parametrize("condition", [{"any_of": [str(NORTH)]}, {"none_of": [str(NORTH)]}])
def test_new_items_with_uuid_nodes(items, condition):
    where = {"shop": Condition(**condition)}
    np.testing.assert_array_equal(items.matches(where, NEW), items.mask(where))


def test_nodes_that_the_bundle_lacks_still_match(items):
    new = [NewItem(item_id=1, views={"category": "oysters"}), NewItem(item_id=2, views={"category": ["fruit"]})]
    assert items.matches({"category": Condition(any_of=["oysters"])}, new).tolist() == [True, False]
    assert items.matches({}, new).tolist() == [True, True]
    assert items.matches({"price": Condition(none_of=[1])}, new).tolist() == [True, True]
    assert items.matches({"price": Condition(min=0)}, []).tolist() == []


def test_a_filter_over_new_items_keeps_its_masks(items):
    over = items.over(NEW)
    where = {"price": Condition(min=2)}
    assert over.mask(where) is over.mask(where)
    assert over.mask(where) is not items.mask(where)
    with pytest.raises(ConfigError, match="did you mean 'price'"):
        over.mask({"prise": Condition(min=2)})


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ({"columns": {"price": "cheap"}}, "item 5: the value in column 'price' must be a number .double., got 'cheap'"),
        ({"columns": {"stock": 2.5}}, "column 'stock' must be a number .int64., got 2.5"),
        ({"columns": {"stock": 2**63}}, "column 'stock' must be a number"),
        ({"columns": {"stock": float("inf")}}, "column 'stock' must be a number"),
        ({"columns": {"fresh": 1}}, "column 'fresh' must be true or false"),
        ({"columns": {"name": 3}}, "column 'name' must be text"),
        ({"columns": {"name": ["a"]}}, "column 'name' must be text"),
        ({"columns": {"added": "soon"}}, "column 'added' must be an ISO date or time"),
        ({"columns": {"tags": "a"}}, "item 5: column 'tags' holds lists .list<.*: string>., got 'a'"),
        ({"views": {"year": "1999"}}, "view 'year' must be a number"),
        ({"views": {"shop": "north"}}, "view 'shop' must be a UUID"),
    ],
)
def test_new_items_with_values_of_another_type_are_refused(items, item, told):
    new = NewItem(item_id=5, **item)
    with pytest.raises(DataError, match=told):
        items.check([*NEW, new])
    name = next(iter(next(iter(item.values()))))
    with pytest.raises(DataError, match=told):
        items.matches({name: Condition()}, [new])


def test_rows_of_the_table_are_fine_new_items(items):
    items.check(NEW)
