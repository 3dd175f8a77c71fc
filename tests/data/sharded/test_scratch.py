"""Arrays in nameless files: what is put in comes out, nothing is left behind, and no room is an error."""

import os
import uuid

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.sharded.scratch import Scratch
from prismrec.errors import ArtifactError


def test_arrays_are_zeros_in_files_without_a_name(tmp_path):
    scratch = Scratch(tmp_path)
    array = scratch.array(5, np.int32)
    assert array.tolist() == [0] * 5
    array[2] = 7
    assert array.tolist() == [0, 0, 7, 0, 0]
    assert len(scratch.array(0, np.int64)) == 0
    assert list(tmp_path.iterdir()) == []


def test_arrays_where_the_system_cannot_reserve_room(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate")
    array = Scratch(tmp_path).array(5, np.int32)
    array[4] = 7
    assert array.tolist() == [0, 0, 0, 0, 7]


@given(st.lists(st.lists(st.text(max_size=5)), max_size=4))
def test_text_in_chunks(chunks):
    arrays = [pa.array(chunk, pa.string()) for chunk in chunks]
    n = sum(map(len, chunks))
    ids = Scratch().ids(n, pa.string(), arrays)
    assert ids.type == pa.string()
    assert ids.to_pylist() == [text for chunk in chunks for text in chunk]


def test_slices_of_text_start_where_they_start():
    whole = pa.array(["zero", "one", "two", "three"])
    ids = Scratch().ids(3, pa.string(), [whole[1:3], whole[3:]])
    assert ids.to_pylist() == ["one", "two", "three"]
    assert ids.equals(pa.array(["one", "two", "three"]))


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64()])
def test_integers_in_chunks(kind):
    whole = pa.array([1, 2, 3, 2**63 - 1], kind)
    assert Scratch().ids(3, kind, [whole[1:2], whole[2:]]).equals(whole[1:])


def test_uuids_in_chunks():
    ids = [uuid.UUID(int=n) for n in (1, 2**100, 3)]
    stored = pa.array([i.bytes for i in ids], pa.uuid())
    found = Scratch().ids(2, pa.uuid(), [stored[1:2], stored[2:]])
    assert found.type == pa.binary(16)
    assert found.to_pylist() == [i.bytes for i in ids[1:]]


def test_tables_of_batches():
    schema = pa.schema({"n": pa.int64(), "text": pa.string()})
    batches = [pa.record_batch([[1, None], ["a", "b"]], schema=schema), pa.record_batch([[3], [None]], schema=schema)]
    assert Scratch().table(schema, batches).to_pydict() == {"n": [1, None, 3], "text": ["a", "b", None]}
    assert Scratch().table(schema, []).num_rows == 0


def test_no_room_is_named(tmp_path):
    with pytest.raises(ArtifactError, match=rf"cannot keep what is read in {tmp_path}/absent"):
        Scratch(tmp_path / "absent").array(3, np.int32)
    with pytest.raises(ArtifactError, match="cannot keep what is read"):
        Scratch(tmp_path).array(1 << 55, np.int64)
