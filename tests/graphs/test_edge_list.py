import uuid
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prismrec.errors import ConfigError, DataError
from prismrec.graphs.edge_list import EdgeListSettings, read_edge_list

JD = Path(__file__).parents[2] / ".." / "shared" / "data" / "jd-item-graph" / "graph.csv"
NAMED = EdgeListSettings(source="a", target="b", weight="w")


def edges(found):
    """The graph as {(source id, target id): weight}."""
    rows = np.repeat(np.arange(found.graph.n_nodes), np.diff(found.graph.indptr))
    ids = found.nodes.ids_of(rows), found.nodes.ids_of(found.graph.indices)
    return dict(zip(zip(*ids, strict=True), found.graph.weights.tolist(), strict=True))


def write(path, text):
    path.write_text(text, newline="")
    return path


# ---- text without a header ----


def test_lines_of_source_target_weight_become_a_graph(tmp_path):
    found = read_edge_list(write(tmp_path / "e.txt", "7 8 2\n8 9 0.5\n7 8 1\n"))
    assert edges(found) == {(7, 8): 3.0, (8, 9): 0.5}
    assert found.quarantined is None
    assert found.notes["rows"] == 3


@pytest.mark.parametrize("text", ["7\t8\t2\n", "7,8,2\r\n", "7;8;2", "  7   8  2  \n", "# a comment\n\n7, 8, 2\n"])
def test_separators_comments_and_line_ends_do_not_matter(tmp_path, text):
    assert edges(read_edge_list(write(tmp_path / "e.txt", text))) == {(7, 8): 2.0}


def test_without_a_weight_every_edge_weighs_one(tmp_path):
    assert edges(read_edge_list(write(tmp_path / "e.txt", "7 8\n8 7\n"))) == {(7, 8): 1.0, (8, 7): 1.0}


def test_ids_that_are_not_all_whole_numbers_stay_text(tmp_path):
    assert edges(read_edge_list(write(tmp_path / "e.txt", "007 8\n8 é\n"))) == {("007", "8"): 1.0, ("8", "é"): 1.0}


def test_long_integer_ids_keep_every_digit(tmp_path):
    found = read_edge_list(write(tmp_path / "e.txt", "1234567890123456789 1234567890123456788\n"))
    assert edges(found) == {(1234567890123456789, 1234567890123456788): 1.0}


def test_nodes_come_by_falling_degree_then_by_id(tmp_path):
    found = read_edge_list(write(tmp_path / "e.txt", "5 9\n5 4\n5 3\n4 9\n"))
    assert found.nodes.ids.to_pylist() == [5, 4, 9, 3]
    assert found.nodes.counts.tolist() == [3, 2, 2, 1]


def test_symmetric_adds_every_reverse(tmp_path):
    found = read_edge_list(write(tmp_path / "e.txt", "1 2 2\n2 1 1\n2 3 5\n"), EdgeListSettings(symmetric=True))
    assert edges(found) == {(1, 2): 3.0, (2, 1): 3.0, (2, 3): 5.0, (3, 2): 5.0}


def test_edges_from_a_node_to_itself_are_left_out_and_counted(tmp_path):
    found = read_edge_list(write(tmp_path / "e.txt", "1 2\n2 2\n4 4\n"))
    assert edges(found) == {(1, 2): 1.0}
    assert found.notes["self_loops"] == 2
    assert found.nodes.ids.to_pylist() == [1, 2]


def test_bad_lines_are_set_aside_with_reason_and_line_number(tmp_path):
    text = "# head\n1 2 1\n\n3\n4 5 x\n6 7 -1\n8 9 1 1\n6 7 nan\n" + "1 2 1\n" * 10
    path = write(tmp_path / "e.txt", text)
    found = read_edge_list(path, EdgeListSettings(max_bad_share=0.5))
    bad = sorted((row["source_row"], row["reason"], row["file"]) for row in found.quarantined.to_pyarrow().to_pylist())
    shape = "expected source, target and perhaps a weight"
    assert bad == [
        (4, shape, str(path)),
        (5, "unparsable weight", str(path)),
        (6, "weight not above 0", str(path)),
        (7, shape, str(path)),
        (8, "unparsable weight", str(path)),
    ]
    assert edges(found) == {(1, 2): 11.0}
    assert found.notes["bad_rows"] == 5
    assert found.notes["rows"] == 16


def test_too_many_bad_lines_are_an_error_that_names_the_first(tmp_path):
    with pytest.raises(DataError, match=r"2 of 3 rows .*max_bad_share is 5\.0%.*row 2: expected source, target"):
        read_edge_list(write(tmp_path / "e.txt", "1 2\n3\n4\n"))


# ---- named columns ----


def test_named_columns_are_read_from_csv_and_parquet_alike(tmp_path):
    table = pa.table({"w": [2.0, 1.0], "b": ["y", "z"], "a": ["x", "y"]})
    pq.write_table(table, tmp_path / "e.parquet")
    write(tmp_path / "e.csv", "w,b,a\n2.0,y,x\n1.0,z,y\n")
    for name in ("e.parquet", "e.csv"):
        assert edges(read_edge_list(tmp_path / name, NAMED)) == {("x", "y"): 2.0, ("y", "z"): 1.0}


def test_a_duckdb_table_and_an_arrow_table_are_read(tmp_path):
    with duckdb.connect(str(tmp_path / "shop.db")) as connection:
        connection.execute("CREATE TABLE edges AS SELECT 1 AS a, 2 AS b, 3 AS w")
    assert edges(read_edge_list(f"duckdb:///{tmp_path}/shop.db::edges", NAMED)) == {(1, 2): 3.0}
    assert edges(read_edge_list(pa.table({"a": [1], "b": [2], "w": [3]}), NAMED)) == {(1, 2): 3.0}


def test_uuids_come_back_as_uuids():
    one, two = uuid.UUID(int=1), uuid.UUID(int=2)
    ids = [pa.ExtensionArray.from_storage(pa.uuid(), pa.array([i.bytes], pa.binary(16))) for i in (one, two)]
    found = read_edge_list(pa.table({"a": ids[0], "b": ids[1]}), EdgeListSettings(source="a", target="b"))
    assert edges(found) == {(one, two): 1.0}


def test_missing_ends_and_weights_are_set_aside():
    table = pa.table({"a": ["x", None, "x", ""], "b": ["y", "y", "z", "y"], "w": [1.0, 1.0, None, 1.0]})
    found = read_edge_list(table, NAMED.model_copy(update={"max_bad_share": 0.9}))
    assert found.notes["bad_by_reason"] == {"missing source": 2, "unparsable weight": 1}
    assert edges(found) == {("x", "y"): 1.0}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"a": [1], "c": [2], "w": [1]}), "has no column 'b'"),
        (pa.table({"a": [1.5], "b": [2.5], "w": [1]}), "column 'a' has type float64, which is no id"),
        (pa.table({"a": [1], "b": ["2"], "w": [1]}), "different types, int64 and string"),
        (pa.table({"a": [1], "b": [1], "w": [1]}), "no edge between two nodes: 1 rows lead from a node to itself"),
        (
            pa.table({"a": pa.array([], pa.int64()), "b": pa.array([], pa.int64()), "w": pa.array([], pa.int64())}),
            "is empty",
        ),
    ],
)
def test_a_table_without_edges_is_refused(table, message):
    with pytest.raises(DataError, match=message):
        read_edge_list(table, NAMED)


def test_a_file_that_is_not_there_or_empty_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*none\.txt as lines of an edge list"):
        read_edge_list(tmp_path / "none.txt")
    with pytest.raises(DataError, match=r"cannot read .*empty\.txt as lines of an edge list"):
        read_edge_list(write(tmp_path / "empty.txt", ""))
    (tmp_path / "latin.txt").write_bytes("1 é\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"latin\.txt as lines"):
        read_edge_list(tmp_path / "latin.txt")


def test_one_named_column_is_not_enough():
    with pytest.raises(ConfigError, match="both columns or neither, got source 'a' and target ''"):
        read_edge_list("e.txt", EdgeListSettings(source="a"))
    with pytest.raises(ConfigError, match="name the source and target columns to read edges from a Table"):
        read_edge_list(pa.table({"a": [1]}))


def test_a_real_item_graph_is_read_whole():
    if not JD.exists():
        pytest.skip(f"the item graph is not at {JD}")
    found = read_edge_list(JD)
    assert found.notes["rows"] == 62_543
    assert found.notes["bad_rows"] == 0
    lines = [line.split() for line in JD.read_text().splitlines()]
    total = sum(float(weight) for source, target, weight in lines if source != target)
    assert found.graph.weights.sum() == pytest.approx(total)
    assert len(found.nodes) == len({node for a, b, _ in lines if a != b for node in (a, b)})
