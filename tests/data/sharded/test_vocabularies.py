"""The order of a vocabulary on the engine: known ids first, then by falling count, ties by id."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from prismrec.data import engine
from prismrec.data.sharded.stages import Stage
from prismrec.data.sharded.vocabularies import (
    counted,
    digest_of,
    distinct_count_of,
    indexed,
    ranked,
    unclicked_in,
    whole_number,
    write_base,
)
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import DataError


def rows(table):
    """As `write_dataset` orders them: (id, count)."""
    ordered = engine.arrow(table.order_by(["order", "id"]))
    return list(zip(ordered["id"].to_pylist(), ordered["count"].to_pylist(), strict=True))


@pytest.fixture
def counts(connection):
    def make(**counts):
        return engine.register(connection, pa.table({"id": list(counts), "n": list(counts.values())}))

    return make


def test_by_falling_count_and_ties_by_id(counts):
    assert rows(ranked(counts(b=2, a=2, c=5))) == [("c", 5), ("a", 2), ("b", 2)]


def test_unclicked_ids_come_last(counts, connection):
    more = engine.register(connection, pa.table({"id": ["z", "y"]}))
    assert rows(ranked(counts(b=1), more)) == [("b", 1), ("y", 0), ("z", 0)]


def test_known_ids_keep_their_place_whatever_their_count(counts, connection):
    base = engine.register(connection, pa.table({"id": ["q", "a"], "base_index": [0, 1]}))
    assert rows(ranked(counts(b=9, a=2, c=5), None, base)) == [("q", 0), ("a", 2), ("b", 9), ("c", 5)]


@settings(max_examples=20, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    now=st.dictionaries(st.text("abé€😀Z", max_size=3), st.integers(1, 4), max_size=8),
    before=st.lists(st.text("abé€😀Z", max_size=3), unique=True, max_size=8),
)
def test_any_order_is_that_of_the_vocabulary_in_memory(connection, now, before):
    ids = sorted(now, key=lambda i: (-now[i], i.encode()))
    text = pa.string()
    expected = Vocabulary.from_ids(pa.array(before, text)).extended(
        Vocabulary.from_ids(pa.array(ids, text), [now[i] for i in ids])
    )
    table = pa.table({"id": pa.array(list(now), text), "n": pa.array(list(now.values()), pa.int64())})
    older = pa.table({"id": pa.array(before, text), "base_index": pa.array(range(len(before)), pa.int64())})
    found = rows(ranked(engine.register(connection, table), None, engine.register(connection, older)))
    assert found == list(zip(expected.ids.to_pylist(), expected.counts.tolist(), strict=True))


def test_indices_are_places_over_all_files(counts, connection, tmp_path):
    engine.write_dataset(ranked(counts(b=2, a=2, c=5, d=1)), tmp_path, 3, ("order", "id"))
    stage = Stage("vocabulary/item", tmp_path, "", 4, {})
    found = engine.arrow(indexed(stage, connection, "item").order_by("item"))
    assert found.to_pydict() == {"id": ["c", "a", "b", "d"], "count": [5, 2, 2, 1], "item": [0, 1, 2, 3]}
    assert found.schema.field("item").type == pa.int32()


def test_more_ids_than_an_index_can_say_are_refused(connection, tmp_path):
    with pytest.raises(
        DataError, match=r"vocabulary/item: 2,147,483,648 ids, but an index of 32 bits .* sessions\.min_item"
    ):
        indexed(Stage("vocabulary/item", tmp_path, "", 1 << 31, {}), connection, "item")


def test_counts_and_differences_of_tables(connection):
    log = engine.register(connection, pa.table({"item_id": ["a", "b", "a"]}))
    found = engine.arrow(distinct_count_of(log, "item_id").order_by("id"))
    assert found.to_pydict() == {"id": ["a", "b"], "n": [2, 1]}
    items = engine.register(connection, pa.table({"item_id": ["c", "b", "d"]}))
    fresh = unclicked_in(items, log.select(id="item_id"))
    assert sorted(engine.arrow(fresh)["id"].to_pylist()) == ["c", "d"]
    occurring = engine.register(connection, pa.table({"id": ["a", "b"], "count": [3, 0]}))
    assert counted(occurring) == {"occurring": 1}
    assert counted(occurring.limit(0)) == {"occurring": 0}


def test_sums_are_written_as_integers(connection, tmp_path):
    table = engine.register(connection, pa.table({"n": pa.array([2**60, 2**60 + 1], pa.int64())}))
    total = table.aggregate(n=table.n.sum())
    engine.write_dataset(total.mutate(n=whole_number(total.n)), tmp_path, 1)
    written = pq.read_table(tmp_path / "part-00000.parquet")["n"]
    assert written.type == pa.int64()
    assert written.to_pylist() == [2**61 + 1]


def test_an_older_vocabulary_on_disk(connection, tmp_path, monkeypatch):
    monkeypatch.setattr("prismrec.data.sharded.vocabularies._IDS_AT_ONCE", 2)
    vocabulary = Vocabulary.from_ids(["c", "a", "b"])
    write_base(vocabulary, tmp_path / "part-00000.parquet", for_spark=False)
    found = pq.read_table(tmp_path / "part-00000.parquet")
    assert found.to_pydict() == {"id": ["c", "a", "b"], "base_index": [0, 1, 2]}
    write_base(Vocabulary.from_ids([]), tmp_path / "part-00001.parquet", for_spark=False)
    assert pq.read_table(tmp_path / "part-00001.parquet").num_rows == 0


def test_digests_tell_order_and_type_apart():
    ids = [["a", "b"], ["b", "a"], [1, 2], ["a"], []]
    assert len({digest_of(Vocabulary.from_ids(each)) for each in ids}) == len(ids)
    assert digest_of(Vocabulary.from_ids(["a"], [1])) == digest_of(Vocabulary.from_ids(["a"], [7])), (
        "counts are not kept"
    )
