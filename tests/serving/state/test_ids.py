"""Ids as JSON text: every id comes back as it was, and no two become one."""

import json
import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.errors import DataError
from prismrec.serving.state.ids import LONGEST_ID, id_of, id_text

IDS = st.integers(-(2**63), 2**64 - 1) | st.text(max_size=80)


@given(IDS)
def test_every_id_comes_back_with_its_type(external_id):
    back = id_of(id_text(external_id))
    assert back == external_id
    assert type(back) is type(external_id)


@given(IDS, IDS)
def test_two_ids_have_one_text_only_if_they_are_equal(one, other):
    same = type(one) is type(other) and one == other
    assert (id_text(one) == id_text(other)) == same


@given(IDS)
def test_text_is_ascii_json_without_nul(external_id):
    text = id_text(external_id)
    assert text.isascii()
    assert "\0" not in text
    assert json.loads(text) == external_id


def test_number_and_text_stay_two_ids():
    assert [id_text(7), id_text("7"), id_text(" 7")] == ["7", '"7"', '" 7"']


def test_numpy_scalars_are_what_they_hold():
    assert id_text(np.int64(7)) == id_text(7)
    assert id_text(np.str_("7")) == id_text("7")


def test_uuid_and_its_text_are_one_id():
    one = uuid.UUID("12345678-1234-5678-1234-567812345678")
    assert id_text(one) == id_text("12345678-1234-5678-1234-567812345678")
    assert id_of(id_text(one)) == str(one)


@pytest.mark.parametrize("value", [True, 1.0, None, b"7", ("7",), np.float64(1.0), float("nan")])
def test_what_is_no_id_is_refused_with_its_value(value):
    with pytest.raises(DataError, match=r"the user id .* is no id: expected an integer, text or a UUID"):
        id_text(value, "user id")


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, 10**400])
def test_integers_beyond_64_bits_are_refused(value):
    with pytest.raises(DataError, match=r"the item id is an integer of \d+ bits: ids have 64 at most"):
        id_text(value)


def test_longest_id_passes_and_one_more_character_is_refused():
    assert len(id_text("x" * (LONGEST_ID - 2))) == LONGEST_ID
    with pytest.raises(DataError, match=f'the item id "xxx.* has {LONGEST_ID + 1} characters as JSON: {LONGEST_ID}'):
        id_text("x" * (LONGEST_ID - 1))


def test_half_a_surrogate_pair_is_refused():
    with pytest.raises(DataError, match=r'the item id "a\\ud800" is no text: it holds half of a surrogate pair'):
        id_text("a\ud800")
