"""Weights and lists as they are typed."""

import pyarrow as pa
import pytest
import typer

from prismrec.cli.options import filters_of, names_of, quotas_of, weights_of
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError
from prismrec.retrieval.filters.item_filter import ItemFilter
from prismrec.retrieval.request import Condition


def test_weights_are_view_and_number():
    assert weights_of(["item=1", "shop=-0.2", "a=b=3e-1"]) == {"item": 1.0, "shop": -0.2, "a=b": 0.3}


def test_no_weights_leave_the_bundle_its_own():
    assert weights_of(None) is None
    assert weights_of([]) is None


@pytest.mark.parametrize("text", ["item", "item=", "=1", "item=much", ""])
def test_a_wrong_weight_says_what_is_expected(text):
    with pytest.raises(typer.BadParameter, match="expected VIEW=NUMBER, such as category"):
        weights_of([text])


def test_names_are_separated_by_commas():
    assert names_of("m2grl, ease,,item_knn ") == ("m2grl", "ease", "item_knn")
    assert names_of("") == ()


def test_quotas_are_view_and_whole_number():
    assert quotas_of(["shop=3", "category=1"]) == {"shop": 3, "category": 1}
    assert quotas_of(None) == {}


@pytest.mark.parametrize("text", ["shop", "shop=", "=3", "shop=-1", "shop=1.5"])
def test_a_wrong_quota_says_what_is_expected(text):
    with pytest.raises(typer.BadParameter, match="expected VIEW=NUMBER, such as shop=3"):
        quotas_of([text])


@pytest.fixture(scope="module")
def item_filter():
    columns = pa.table({"price": [1.5, 2.5], "stock": [3, 4], "sale": [True, False], "name": ["a", "7"]})
    nodes = {"shop": Sequences.from_lists([[0], [1]])}
    return ItemFilter(nodes, {"shop": Vocabulary.from_ids([69, 70])}, columns)


def test_conditions_are_read_as_the_view_or_column_has_its_values(item_filter):
    texts = ["price<=9.99", "price>=1", "shop=69", "shop=70", "name!=7", "sale=true", "stock=4"]
    assert filters_of(texts, item_filter).where == {
        "price": Condition(min=1, max=9.99),
        "shop": Condition(any_of=(69, 70)),
        "name": Condition(none_of=("7",)),
        "sale": Condition(any_of=(True,)),
        "stock": Condition(any_of=(4,)),
    }
    assert filters_of(None, item_filter).where == {}


def test_a_wrong_condition_says_what_is_expected(item_filter):
    with pytest.raises(typer.BadParameter, match="expected NAME=VALUE, such as category=TEA, got 'price'"):
        filters_of(["price"], item_filter)
    with pytest.raises(ConfigError, match="column 'price': 'cheap' is not a value of type double"):
        filters_of(["price<=cheap"], item_filter)
    with pytest.raises(ConfigError, match="column 'sale': 'maybe' is not a value of type bool"):
        filters_of(["sale=maybe"], item_filter)
    with pytest.raises(ConfigError, match="prise"):
        filters_of(["prise=1"], item_filter)
