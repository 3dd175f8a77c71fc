"""What an id is, whatever it is stored in."""

import uuid

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.ids import KEY_TYPES, UUID_TYPE, comparable, external, id_array, id_kind, one_chunk, sort_key
from prismrec.errors import DataError


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (pa.array([1, 2], pa.int8()), pa.int64()),
        (pa.array([1, 2], pa.uint32()), pa.int64()),
        (pa.array([1, 2**64 - 1], pa.uint64()), pa.uint64()),
        (pa.array(["a", "b"], pa.large_string()), pa.large_string()),
        (pa.array(["a", "b"], pa.string_view()), pa.string()),
        (pa.array(["a", "b", "a"]).dictionary_encode(), pa.string()),
        (pa.array([uuid.UUID(int=1)], pa.uuid()), UUID_TYPE),
        (pa.chunked_array([["a"], ["b"]]), pa.string()),
        (pa.array([], pa.null()), pa.string()),
    ],
)
def test_arrow_ids_of_other_widths_become_one_of_four_types(array, kind):
    assert id_array(array).type == kind
    values = [v.as_py() if hasattr(v, "as_py") else v for v in array]
    found = id_array(array).to_pylist()
    assert found == [v.bytes if isinstance(v, uuid.UUID) else v for v in values]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (pa.uint8(), "integer"),
        (pa.large_string(), "string"),
        (pa.null(), "string"),
        (UUID_TYPE, "uuid"),
        (pa.binary(15), "other"),
        (pa.float64(), "other"),
        (pa.bool_(), "other"),
    ],
)
def test_arrow_types_are_of_three_kinds_or_no_ids(kind, name):
    assert id_kind(kind) == name


def test_floats_are_refused_since_a_large_id_has_lost_digits():
    with pytest.raises(DataError, match=r"type double are not supported.*already lost digits: read the column as text"):
        id_array(pa.array([1.0]))


def test_a_value_comes_back_from_what_is_compared():
    one = uuid.UUID(int=7)
    assert (comparable(np.int16(7)), comparable(one), comparable("a")) == (7, one.bytes, "a")
    assert (external(one.bytes), external("a"), external(7)) == (one, "a", 7)
    assert [type(comparable(v)) for v in (7, "a", one)] == list(KEY_TYPES.values())


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), unique=True))
def test_keys_sort_as_arrow_sorts(texts):
    order = pc.sort_indices(pa.array(texts, pa.string())).to_pylist()
    assert order == sorted(range(len(texts)), key=lambda i: sort_key(texts[i]))


def test_one_chunk_is_the_chunk_itself_where_there_is_one():
    whole = pa.chunked_array([[1, 2]])
    assert one_chunk(whole).buffers()[1].address == whole.chunk(0).buffers()[1].address
    assert one_chunk(pa.chunked_array([[1], [2]])).to_pylist() == [1, 2]
