"""Ids as a stream: laid down in files, the vocabulary is the one that is made in memory, byte for byte."""

import uuid
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data import blocks, id_batches
from prismrec.data.id_batches import from_parquet, spooled
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import DataError

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
KINDS = [st.integers(-(2**63), 2**63 - 1), st.integers(2**63, 2**64 - 1), TEXT, st.uuids()]
ID_LISTS = st.one_of([st.lists(kind, unique=True, min_size=1, max_size=30) for kind in KINDS])


def cut(ids, places):
    """The ids and their counts (index + 1) in batches that end at these places; some are empty."""
    ends = [0, *sorted(place % (len(ids) + 1) for place in places), len(ids)]
    return [(ids[a:b], np.arange(a + 1, b + 1)) for a, b in pairwise(ends)]


@given(ID_LISTS, st.lists(st.integers(0, 100), max_size=4), st.integers(1, 100))
def test_streamed_and_made_in_memory_are_the_same_bytes(tmp_path_factory, ids, places, block_bytes):
    folder = tmp_path_factory.mktemp("v")
    Vocabulary.from_ids(ids, range(1, len(ids) + 1)).save(folder / "memory.arrow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", block_bytes)
        streamed = Vocabulary.write_stream(folder / "stream.arrow", cut(ids, places))
    assert (folder / "stream.arrow").read_bytes() == (folder / "memory.arrow").read_bytes()
    assert streamed.ids_of(range(len(ids))) == ids
    assert [streamed.find(i) for i in ids] == list(range(len(ids)))
    assert sorted(path.name for path in folder.iterdir()) == ["memory.arrow", "stream.arrow"]


def test_what_is_streamed_is_memory_mapped(tmp_path):
    ids = pa.array([f"sku-{i:012d}" for i in range(50_000)])
    before = pa.total_allocated_bytes()
    streamed = Vocabulary.write_stream(tmp_path / "v.arrow", [(ids, np.ones(len(ids), np.int64))])
    assert pa.total_allocated_bytes() - before < 10_000, "the ids alone are a million bytes"
    assert streamed.ids.equals(ids)
    assert not streamed.counts.flags.owndata


def test_slices_of_arrow_arrays_are_streamed_by_their_own_rows(tmp_path):
    for whole in (pa.array(["x", "aa", "", "dä", "y"]), pa.array([9, 4, 3, 2, 9]), pa.array(["p", "q", "r", "s"] * 2)):
        rows = whole[1:4]
        streamed = Vocabulary.write_stream(tmp_path / "v.arrow", [(rows[:2], [1, 2]), (rows[2:], [3])])
        assert streamed.ids.to_pylist() == rows.to_pylist()


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.int32(), pa.uint64()])
def test_types_are_those_of_a_vocabulary_made_in_memory(tmp_path, kind):
    ids = pa.array([3, 1, 2]).cast(kind)
    streamed = Vocabulary.write_stream(tmp_path / "v.arrow", [(ids, [1, 1, 1])])
    assert streamed.ids.type == Vocabulary.from_ids(ids).ids.type


def test_text_beyond_32_bit_offsets_gets_64_bit_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(id_batches, "_MOST_TEXT", 5)
    short = Vocabulary.write_stream(tmp_path / "short.arrow", [(["abc", "de"], [1, 1])])
    long = Vocabulary.write_stream(tmp_path / "long.arrow", [(["abc", "def"], [1, 1])])
    assert (short.ids.type, long.ids.type) == (pa.string(), pa.large_string())
    assert (long.ids.to_pylist(), long.find("def")) == (["abc", "def"], 1)


def test_a_stream_of_nothing_is_an_empty_vocabulary(tmp_path):
    no_ids: list[str] = []
    for n_batches in (0, 1, 2):
        batches = [(no_ids, np.zeros(0, np.int64))] * n_batches
        streamed = Vocabulary.write_stream(tmp_path / "v.arrow", batches)
        assert (len(streamed), streamed.find("a")) == (0, -1)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([(["a"], [1]), (["b", "a"], [1, 1])], "id 'a' appears more than once in the vocabulary"),
        ([([uuid.UUID(int=1)], [1])] * 2, "id UUID.'00000000-.*01'. appears more than once"),
        ([(["a"], [1]), (["b", None], [1, 1])], "cannot hold a missing id .the first is that of index 2"),
        ([(["a"], [1]), (["b"], [1, 2])], "1 ids but 2 counts from index 1 on"),
        ([(["a"], [1]), ([7], [1])], "ids changed their type at index 1: string before, int64 now"),
        ([([1.5], [1])], "ids of type double are not supported"),
    ],
)
def test_bad_streams_are_refused_and_leave_nothing(tmp_path, batches, message):
    with pytest.raises(DataError, match=message):
        Vocabulary.write_stream(tmp_path / "v.arrow", batches)
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.integers(0, 40), min_size=1, max_size=40), st.integers(1, 400))
def test_a_repeat_is_found_however_far_apart_and_wherever_blocks_end(ids, block_bytes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", block_bytes)
        if len(set(ids)) == len(ids):
            assert len(Vocabulary.from_ids(ids)) == len(ids)
            return
        with pytest.raises(DataError, match="more than once") as caught:
            Vocabulary.from_ids(ids)
    named = int(str(caught.value).split()[1])
    assert ids.count(named) > 1


def test_parquet_files_are_read_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.setattr(id_batches, "_ROWS", 2)
    for name, ids in (("part-00000", ["e", "c", "d"]), ("part-00001", []), ("part-00002", ["a"])):
        table = {
            "index": range(len(ids)),
            "id": pa.array(ids, pa.string()),
            "count": pa.array([7] * len(ids), pa.int64()),
        }
        pq.write_table(pa.table(table), tmp_path / f"{name}.parquet")
    files = sorted(tmp_path.glob("*.parquet"))
    assert [ids.to_pylist() for ids, _ in from_parquet(files)] == [["e", "c"], ["d"], ["a"]]
    vocabulary = Vocabulary.write_stream(tmp_path / "v.arrow", from_parquet(files))
    assert (vocabulary.ids.to_pylist(), vocabulary.counts.tolist()) == (["e", "c", "d", "a"], [7, 7, 7, 7])


def test_files_that_cannot_be_read_are_named(tmp_path):
    pq.write_table(pa.table({"id": [1]}), tmp_path / "short.parquet")
    (tmp_path / "text.parquet").write_text("no parquet")
    for name in ("short", "text", "missing"):
        with pytest.raises(DataError, match=f"cannot read ids from .*{name}.parquet, columns 'id' and 'count'"):
            list(from_parquet([tmp_path / f"{name}.parquet"]))


def test_spooled_arrays_stay_when_their_files_are_gone(tmp_path):
    ids, counts = spooled(tmp_path, [(["a", "bc"], [1, 2]), (["d"], [3])])
    for path in tmp_path.iterdir():
        path.unlink()
    assert (ids.to_pylist(), counts.tolist()) == (["a", "bc", "d"], [1, 2, 3])
