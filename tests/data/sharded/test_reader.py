"""Any number of readers, whatever the number of shards: their shares make up the whole, and are about equal."""

import json
import random
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from prismrec.data.preparation import prepare
from prismrec.data.prepared import load_prepared, save_prepared
from prismrec.data.sharded import is_sharded, open_prepared, read_shards, read_whole
from prismrec.data.sharded.layout import MANIFEST, describe, read_manifest
from prismrec.errors import ArtifactError, ConfigError

N_SHARDS = 3


def random_log():
    """Users between 1 and 400 clicks: a few have most of them."""
    dice = random.Random(1)
    return [(user, dice.randrange(80), minute) for user in range(60) for minute in range(400 // (user + 1) + 1)]


@pytest.fixture(scope="module")
def folder(shard, log, side, tmp_path_factory):
    place = tmp_path_factory.mktemp("read") / "p"
    items = side(
        item_id=list(range(80)), kind=[f"k{n % 9}" for n in range(80)], tags=[["x", "y"][: n % 3] for n in range(80)]
    )
    shard(place, log(random_log()), items, {"kind": "kind", "tags": "tags"}, shards=N_SHARDS)
    return place


@pytest.fixture
def copy(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize("size", [2, N_SHARDS, 5, 16])
def test_shares_are_those_of_the_whole(folder, size):
    whole = read_shards(folder, 0, 1)
    for rank in range(size):
        own, expected = read_shards(folder, rank, size), whole.share(rank, size)
        for view in whole.view_names:
            assert own.sequences[view].to_lists() == expected.sequences[view].to_lists()
            assert own.counts[view].tolist() == whole.counts[view].tolist()
        for view, edges in expected.edges.items():
            assert [part.tolist() for part in own.edges[view]] == [part.tolist() for part in edges]


def test_shares_have_about_equal_clicks(folder):
    whole = read_shards(folder, 0, 1)
    longest = whole.sequences["item"].lengths.max()
    clicks = [len(read_shards(folder, rank, 4).sequences["item"].values) for rank in range(4)]
    assert sum(clicks) == len(whole.sequences["item"].values)
    assert max(clicks) - min(clicks) <= 2 * longest


def test_more_readers_than_rows_read_nothing_twice(shard, log, tmp_path):
    shard(tmp_path / "p", log(), shards=2)
    rows = [row for rank in range(9) for row in read_shards(tmp_path / "p", rank, 9).sequences["item"].to_lists()]
    assert sorted(rows) == [[0, 1, 0], [2, 0], [3, 0]]


def test_a_row_group_is_cut_between_readers(copy):
    """Row groups of ten rows: most ranks begin and end within one."""
    for path in (copy / "sequences" / "item").glob("*.parquet"):
        pq.write_table(pq.read_table(path), path, row_group_size=10)
    rewrite_manifest(copy)
    whole = read_shards(copy, 0, 1)
    for rank in range(7):
        own = read_shards(copy, rank, 7).sequences["item"]
        assert own.to_lists() == whole.share(rank, 7).sequences["item"].to_lists()


def test_neighbouring_rows_are_a_fair_sample_of_users(shard, log, tmp_path):
    """Users are numbered by falling activity; a run of rows must hold active and idle ones alike."""
    shard(tmp_path / "p", log(random_log()), sequences="histories", shards=2)
    users = pq.read_table(tmp_path / "p" / "sequences" / "item" / "part-00000.parquet")["user_index"].to_numpy()
    assert len(users) == 30
    assert abs(np.median(users) - 29.5) < 6


def test_views_of_item_nodes_can_be_chosen(folder):
    assert set(read_shards(folder, 0, 2).item_nodes) == {"kind", "tags"}
    assert set(read_shards(folder, 0, 2, item_nodes=["kind"]).item_nodes) == {"kind"}
    assert len(read_shards(folder, 0, 2).item_nodes["tags"]) == 80


def test_no_such_rank(folder):
    with pytest.raises(ConfigError, match="reader 3 of 3: ranks count from 0"):
        read_shards(folder, 3, 3)


def test_the_wrong_kind_of_rows_is_refused(folder):
    with pytest.raises(ConfigError, match=r"holds sessions, but model\.sequences is 'histories'"):
        read_shards(folder, 0, 1, kind="histories")
    with pytest.raises(ConfigError, match=r"holds sessions, but model\.sequences is 'histories'"):
        open_prepared(folder, "histories")


def test_either_kind_of_folder_is_opened(folder, log, tmp_path, same_data):
    assert is_sharded(folder)
    assert open_prepared(folder, "sessions").view_names == ("item", "kind", "tags")
    data = prepare(log())
    save_prepared(data, tmp_path / "whole")
    assert not is_sharded(tmp_path / "whole")
    same_data(open_prepared(tmp_path / "whole"), data)


def test_each_reader_names_what_it_cannot_read(folder, log, tmp_path):
    with pytest.raises(ArtifactError, match=r"holds sharded training data: open it with prismrec\.data\.sharded"):
        load_prepared(folder)
    save_prepared(prepare(log()), tmp_path / "whole")
    with pytest.raises(ArtifactError, match="holds no sharded training data"):
        read_whole(tmp_path / "whole")
    with pytest.raises(ArtifactError, match=r"it has no manifest\.json; run `prismrec prepare --shards`, again where"):
        read_shards(tmp_path, 0, 1)


@pytest.mark.parametrize("name", ["sequences/item/part-00001.parquet", "vocabulary/kind/part-00000.parquet"])
def test_a_missing_shard_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(ArtifactError, match=rf"{name} is missing \(No such file"):
        read_shards(copy, 0, 1)


def test_a_shard_cut_short_is_named(copy):
    path = copy / "sequences" / "kind" / "part-00002.parquet"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ArtifactError, match=r"sequences/kind/part-00002\.parquet is damaged: it has [\d,]+ bytes"):
        read_shards(copy, 0, 1)


def test_a_changed_byte_is_found_when_checksums_are_asked_for(copy):
    path = copy / "edges" / "kind" / "part-00000.parquet"
    content = bytearray(path.read_bytes())
    content[40] ^= 255
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"edges/kind/part-00000\.parquet is damaged: its checksum"):
        read_whole(copy, checksums=True)


def test_a_file_that_is_no_parquet_is_named(copy):
    path = copy / "sequences" / "item" / "part-00000.parquet"
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(ArtifactError, match=r"cannot read .*item/part-00000\.parquet"):
        read_shards(copy, 0, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: {**m, "sharded_version": 99}, "has version 99 of the layout, this PrismRec .* reads 1"),
        (lambda m: {k: v for k, v in m.items() if k != "nodes"}, "is damaged: 1 of its fields"),
        (lambda m: {**m, "files": {"a": 3}}, "is damaged: 1 of its fields"),
    ],
)
def test_a_damaged_manifest_is_named(copy, change, message):
    path = copy / MANIFEST
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(ArtifactError, match=message):
        read_manifest(copy)


def test_a_manifest_that_is_no_json_is_named(copy):
    (copy / MANIFEST).write_text("{")
    assert not is_sharded(copy)
    with pytest.raises(ArtifactError, match=r"manifest\.json is damaged"):
        read_manifest(copy)


def test_the_manifest_counts_rows_and_values_of_every_file(folder):
    manifest = read_manifest(folder, checksums=True)
    assert manifest.shards == N_SHARDS
    for name, file in manifest.files.items():
        rows = pq.read_table(folder / name)
        assert file.rows == rows.num_rows
        if name.startswith("sequences/"):
            assert file.values == len(rows["items"].combine_chunks().flatten())
    assert sum(manifest.files[name].rows for name in manifest.parts("vocabulary", "item")) == manifest.nodes["item"]
    assert manifest.report["prepared"]["sessions"] == len(read_whole(folder).sessions)


def rewrite_manifest(folder):
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).unlink()
    manifest["files"] = {name: file.model_dump() for name, file in describe(folder).items()}
    (folder / MANIFEST).write_text(json.dumps(manifest))
