"""A run's identity: flat, complete, and compared in words."""

from hypothesis import given
from hypothesis import strategies as st

from prismrec.config import Section
from prismrec.training.identity import differences, fingerprint, identity_of

identities = st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=4)


class Inner(Section):
    alpha: float = 0.75


class Outer(Section):
    dim: int = 64
    views: tuple[str, ...] = ("category",)
    negatives: Inner = Inner()


def test_sections_become_flat_names_with_json_values():
    assert identity_of(Outer(dim=8), "m2grl") == {
        "m2grl.dim": "8",
        "m2grl.views": '["category"]',
        "m2grl.negatives.alpha": "0.75",
    }


@given(identities, identities)
def test_fingerprints_agree_exactly_where_identities_do(one, other):
    assert (fingerprint(one) == fingerprint(other)) == (one == other)


def test_fingerprint_does_not_depend_on_order():
    assert fingerprint({"a": "1", "b": "2"}) == fingerprint({"b": "2", "a": "1"})


@given(identities, identities)
def test_differences_are_empty_exactly_where_identities_are_equal(one, other):
    assert (differences(one, other) == "") == (one == other)


def test_differences_name_changed_added_and_removed_values():
    text = differences({"data": "abc", "dim": "64", "old": "1"}, {"data": "abc", "dim": "32", "new": "2"})
    assert text == "dim was 64, is 32; new was not set, is 2; old was 1, is not set"


def test_many_differences_are_counted():
    text = differences({}, {str(n): "x" for n in range(8)})
    assert text.count(" is x") == 5
    assert text.endswith("; and 3 more")
