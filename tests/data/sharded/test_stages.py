"""A stage is written once, appears whole, and is kept only where it was made of the same parts."""

import fcntl
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prismrec.data import engine
from prismrec.data.reading import connect
from prismrec.data.sharded.stages import MARKER, Stages, identity_of, only_one_at
from prismrec.errors import ArtifactError, DataError


def writes(rows, **counts):
    def write(place):
        pq.write_table(pa.table({"n": pa.array(rows, pa.int64())}), place / "part-00000.parquet")
        return counts

    return write


def refuses(place):
    raise AssertionError("this stage was whole")


@pytest.fixture
def told():
    return []


@pytest.fixture
def stages(tmp_path, told):
    return Stages(tmp_path / "stages", told.append)


def test_a_stage_knows_its_rows_counts_and_table(stages):
    stage = stages.run("log/clean", {"gap": 30}, writes([5, 6], read=9))
    assert (stage.name, stage.rows, dict(stage.counts)) == ("log/clean", 2, {"read": 9})
    backend = connect(threads=1)
    assert sorted(engine.arrow(stage.table(backend))["n"].to_pylist()) == [5, 6]
    assert sorted(engine.arrow(stage.numbered(backend, "at")).to_pylist(), key=str) == [
        {"n": 5, "at": 0},
        {"n": 6, "at": 1},
    ]


def test_the_same_parts_keep_it(stages, told):
    first = stages.run("a", {"x": 1}, writes([1]))
    assert stages.run("a", {"x": 1}, refuses) == first
    assert told[0].startswith("a: 1 rows, ")
    assert told[1] == "a: 1 rows, kept from the earlier run"


def test_other_parts_write_it_again(stages):
    first = stages.run("a", {"x": 1}, writes([1]))
    second = stages.run("a", {"x": 2}, writes([1, 2]))
    assert second.rows == 2
    assert second.identity != first.identity


def test_a_write_that_fails_leaves_nothing(stages, tmp_path):
    def fails(place):
        writes([1])(place)
        raise DataError("no such column")

    with pytest.raises(DataError, match="no such column"):
        stages.run("a", {}, fails)
    assert list((tmp_path / "stages").rglob("*")) == []


def test_a_write_that_fails_leaves_the_stage_before_it(stages):
    stages.run("a", {"x": 1}, writes([1]))

    def fails(place):
        raise DataError("no such column")

    with pytest.raises(DataError):
        stages.run("a", {"x": 2}, fails)
    assert stages.run("a", {"x": 1}, refuses).rows == 1


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"identity": 1}', "marker without files"])
def test_a_damaged_marker_is_no_marker(stages, text):
    stage = stages.run("a", {}, writes([1]))
    marker = stage.folder / MARKER
    if text == "marker without files":
        known = json.loads(marker.read_text())
        del known["files"]
        text = json.dumps(known)
    marker.write_text(text)
    assert stages.run("a", {}, writes([1, 2])).rows == 2


def test_a_missing_file_is_written_again(stages):
    stage = stages.run("a", {}, writes([1]))
    (stage.folder / "part-00000.parquet").unlink()
    assert stages.run("a", {}, writes([1, 2, 3])).rows == 3


def test_identities_depend_on_name_and_parts_alone():
    assert identity_of("a", {"x": 1, "y": 2}) == identity_of("a", {"y": 2, "x": 1})
    others: list[tuple[str, dict[str, object]]] = [("a", {"x": 1}), ("b", {"x": 1}), ("a", {"x": "1"}), ("a", {})]
    assert len({identity_of(name, parts) for name, parts in others}) == 4


def test_the_lock_goes_with_its_block(tmp_path):
    with (
        only_one_at(tmp_path),
        pytest.raises(ArtifactError, match="another process prepares data in"),
        only_one_at(tmp_path),
    ):
        pass
    with only_one_at(tmp_path):
        pass


def test_a_lock_on_a_folder_that_another_process_just_removed_is_none(tmp_path, monkeypatch):
    def removed_in_between(lock, operation):
        (tmp_path / "p.stages").rmdir()

    monkeypatch.setattr(fcntl, "flock", removed_in_between)
    with pytest.raises(ArtifactError, match="another process prepares data in"), only_one_at(tmp_path / "p.stages"):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ArtifactError, match=r"cannot keep stages in .*file/p\.stages: Not a directory"),
        only_one_at(tmp_path / "file" / "p.stages"),
    ):
        pass
