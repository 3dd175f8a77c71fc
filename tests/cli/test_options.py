"""Weights and lists as they are typed."""

import pytest
import typer

from prismrec.cli.options import names_of, weights_of


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
