"""A prepared folder comes back equal, appears whole or not at all, and damage is named."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prismrec.data.preparation import prepare
from prismrec.data.prepared import MANIFEST, load_prepared, refuse_other_content, save_prepared
from prismrec.data.reading import connect, read_interactions, read_items
from prismrec.errors import ArtifactError

DAY = 1_577_836_800


@pytest.fixture(scope="module")
def data():
    con = connect(threads=1)
    clicks = {
        "user_id": ["ann", "ann", "bob", "bob", None],
        "item_id": [10, 11, 10, 12, 10],
        "timestamp": [DAY, DAY + 5, DAY, DAY + 9, DAY],
    }
    items = {"item_id": [10, 11, 12, 12], "kind": ["ä", "b", "ä", "c"], "price": [1.5, None, 2.0, 0.0]}
    log = read_interactions(pa.table(clicks), max_bad_share=0.5, connection=con)
    return prepare(log, read_items(pa.table(items), max_bad_share=0.5, connection=con), {"kind/of": "kind"})


@pytest.fixture
def folder(data, tmp_path):
    save_prepared(data, tmp_path / "prepared")
    return tmp_path / "prepared"


def equal(one, two):
    return np.array_equal(one.values, two.values) and np.array_equal(one.offsets, two.offsets)


def test_saved_and_loaded_is_equal(data, folder):
    back = load_prepared(folder)
    assert back.items.ids.equals(data.items.ids)
    assert back.users.ids.equals(data.users.ids)
    assert back.items.counts.tolist() == data.items.counts.tolist()
    assert equal(back.sessions, data.sessions)
    assert equal(back.histories, data.histories)
    assert back.view_names == ("item", "kind/of")
    assert back.nodes("kind/of").ids.equals(data.nodes("kind/of").ids)
    assert equal(back.views["kind/of"].item_nodes, data.views["kind/of"].item_nodes)
    assert equal(back.view_sessions("kind/of"), data.view_sessions("kind/of"))
    assert back.item_columns is not None
    assert back.item_columns.equals(data.item_columns)
    assert back.report == data.report


def test_folders_written_before_there_were_views_of_users_open(data, folder):
    manifest = json.loads((folder / MANIFEST).read_text())
    assert "user_views" not in manifest, "what there is none of leaves no trace"
    back = load_prepared(folder)
    assert (back.user_views, back.user_links) == ({}, None)


@pytest.mark.parametrize("manifest", [None, "{", "[]", '{"schema_version": 2, "index": {}}'])
def test_a_folder_of_other_things_is_not_replaced(data, tmp_path, manifest):
    (tmp_path / "thesis.txt").write_text("years of work")
    if manifest is not None:
        (tmp_path / MANIFEST).write_text(manifest)
    with pytest.raises(ArtifactError, match="holds other files than prepared data and will not be replaced"):
        save_prepared(data, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_prepared_data_and_empty_folders_are_replaced(data, folder, tmp_path):
    (tmp_path / "empty").mkdir()
    refuse_other_content(tmp_path / "new")
    for place in (folder, tmp_path / "empty"):
        save_prepared(data, place)
        assert load_prepared(place).report == data.report


def test_arrays_are_memory_mapped(folder):
    data = load_prepared(folder)
    for array in (data.sessions.values, data.histories.offsets, data.view_sessions("kind/of").values):
        assert isinstance(array.base, np.memmap)
        assert not array.flags.writeable


def test_rows_set_aside_lie_beside_the_data(folder):
    interactions = pq.read_table(folder / "quarantine" / "interactions.parquet").to_pylist()
    assert [(row["reason"], row["source_row"]) for row in interactions] == [("missing user id", 5)]
    assert json.loads(interactions[0]["row"]) == {"user_id": None, "item_id": 10, "timestamp": DAY}
    items = pq.read_table(folder / "quarantine" / "items.parquet").to_pylist()
    assert [(row["reason"], row["source_row"]) for row in items] == [("duplicate item id", 4)]


def test_saving_twice_replaces_the_folder(data, folder):
    (folder / "old").write_text("x")
    save_prepared(data, folder)
    assert not (folder / "old").exists()
    assert [p.name for p in folder.parent.iterdir()] == ["prepared"]


def test_a_failed_save_leaves_the_old_folder(data, folder, monkeypatch):
    before = (folder / MANIFEST).read_bytes()
    monkeypatch.setattr("prismrec.data.prepared.sha256", lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_prepared(data, folder)
    assert (folder / MANIFEST).read_bytes() == before
    assert [p.name for p in folder.parent.iterdir()] == ["prepared"]


@pytest.mark.parametrize(
    "name",
    ["items.arrow", "sessions.values.npy", "views/0.nodes.arrow", "item_columns.parquet", "quarantine/items.parquet"],
)
def test_a_flipped_byte_is_named(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{name} is damaged"):
        load_prepared(folder)


def test_a_missing_file_is_named(folder):
    (folder / "histories.offsets.npy").unlink()
    with pytest.raises(ArtifactError, match=r"histories\.offsets\.npy is missing"):
        load_prepared(folder)


def test_a_folder_that_is_none_is_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"is not prepared data: it has no manifest\.json"):
        load_prepared(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"schema_version": 1}'])
def test_a_damaged_manifest_is_named(folder, text):
    (folder / MANIFEST).write_text(text)
    with pytest.raises(ArtifactError, match=r"manifest\.json is damaged"):
        load_prepared(folder)


def test_a_newer_version_is_refused(folder):
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "schema_version": 99}))
    with pytest.raises(ArtifactError, match="has schema version 99, this PrismRec reads 1"):
        load_prepared(folder)


def test_data_without_items_and_views_is_saved_too(tmp_path):
    log = read_interactions(pa.table({"user_id": [1, 1], "item_id": [1, 2], "timestamp": [DAY, DAY + 1]}))
    save_prepared(prepare(log), tmp_path / "p")
    back = load_prepared(tmp_path / "p")
    assert back.item_columns is None
    assert back.sessions.to_lists() == [[0, 1]]
    assert not (tmp_path / "p" / "quarantine").exists()
