"""Whose values they are: nodes transposed, lists flattened, and what new items bring."""

import numpy as np
import pyarrow as pa
import pytest

from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import DataError
from prismrec.retrieval.filters.conditions import ValueType
from prismrec.retrieval.filters.item_values import Attribute, column_values, new_values, node_values
from prismrec.retrieval.request import NewItem

VOCABULARY = Vocabulary.from_ids(["cheese", "fruit", "bakery", "unused"])
CATEGORY = Attribute.of_view("category", VOCABULARY)
TAGS = Attribute.of_column(pa.field("tags", pa.list_(pa.string())))
PRICE = Attribute.of_column(pa.field("price", pa.float64()))


def kind(attribute: Attribute) -> ValueType:
    assert attribute.type is not None
    return attribute.type


def marked(values, *chosen):
    return np.array([value in chosen for value in values.values.to_pylist()])


def test_nodes_know_their_items():
    values = node_values(Sequences.from_lists([[2, 0], [], [1], [0]]), VOCABULARY, kind(CATEGORY))
    assert values.items_of_node.to_lists() == [[0, 3], [2], [0], []]
    assert values.n_items == 4
    assert values.items_with(marked(values, "cheese")).tolist() == [True, False, False, True]
    assert values.items_with(marked(values, "fruit", "bakery", "unused")).tolist() == [True, False, True, False]
    assert not values.items_with(marked(values)).any()


def test_lists_give_their_values_to_their_row():
    column = pa.chunked_array([pa.array([["a", "b"], None]), pa.array([[], ["b", None]], pa.list_(pa.string()))])
    values = column_values(column, TAGS, kind(TAGS))
    assert values.values.to_pylist() == ["a", "b", "b", None]
    assert values.owners.tolist() == [0, 0, 3, 3]
    assert values.items_with(marked(values, "b")).tolist() == [True, False, False, True]


def test_single_values_are_their_items():
    values = column_values(pa.chunked_array([[1.0, None], [2.0]]), PRICE, kind(PRICE))
    assert values.n_items == 3
    chosen = marked(values, 2.0)
    assert values.items_with(chosen) is chosen


def test_a_sliced_table_keeps_to_its_rows():
    column = pa.table({"tags": [["x"], ["a", "b"], ["b"]]}).slice(1)["tags"]
    values = column_values(column, TAGS, kind(TAGS))
    assert values.values.to_pylist() == ["a", "b", "b"]
    assert values.owners.tolist() == [0, 0, 1]


def test_new_items_bring_what_they_say_and_nothing_else():
    items = [
        NewItem(item_id=1, views={"category": ["cheese", "oysters"]}, columns={"price": 2, "tags": ["a"]}),
        NewItem(item_id=2),
    ]
    nodes = new_values(items, CATEGORY, kind(CATEGORY))
    assert nodes.values.to_pylist() == ["cheese", "oysters"]
    assert nodes.owners.tolist() == [0, 0]
    assert nodes.n_items == 2
    assert new_values(items, PRICE, kind(PRICE)).values.to_pylist() == [2.0, None]
    assert new_values(items, TAGS, kind(TAGS)).values.to_pylist() == ["a"]


def test_the_id_of_a_new_item_is_its_column():
    attribute = Attribute.of_column(pa.field("item_id", pa.int64()))
    assert new_values([NewItem(item_id=2**60)], attribute, kind(attribute)).values.to_pylist() == [2**60]


def test_a_value_for_a_list_and_a_list_for_a_value_are_refused():
    with pytest.raises(DataError, match=r"item 3: column 'tags' holds lists \(list<.*>\), got 'a'"):
        new_values([NewItem(item_id=3, columns={"tags": "a"})], TAGS, kind(TAGS))
    with pytest.raises(DataError, match=r"item 3: the value in column 'price' must be a number \(double\), got \[1\]"):
        new_values([NewItem(item_id=3, columns={"price": [1]})], PRICE, kind(PRICE))


def test_attributes_say_what_they_are():
    assert [str(a) for a in (CATEGORY, TAGS)] == ["view 'category'", "column 'tags'"]
    assert (CATEGORY.many, TAGS.many, PRICE.many) == (True, True, False)
    assert Attribute.of_column(pa.field("blob", pa.binary())).type is None
