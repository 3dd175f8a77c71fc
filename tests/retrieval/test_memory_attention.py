"""Weights of the memory by ids, against the encoder itself; files and picture read back."""

import sys

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError, DataError, MissingExtraError, UnknownIdError
from prismrec.models.sequential.configs import MAGNNConfig, MAGNNParts, MAGNNWindows
from prismrec.models.sequential.ma_gnn import MAGNN
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.memory_attention import (
    item_memory_attention,
    plot_memory_attention,
    user_memory_attention,
    weight_matrix,
    write_memory_attention,
)

ITEMS = [f"i{number}" for number in range(8)]
USERS = ["ann", "bob"]
HISTORIES = {"ann": ["i0", "i1", "i2", "i3"], "zoe": ["i5", "never", "i4", "i6"]}
N_SLOTS = 3


def trained(make, path, **parts):
    """A bundle of an MA-GNN as it begins, with a memory that tells its readers apart."""
    config = MAGNNConfig(
        embedding_dim=4, memory_slots=N_SLOTS, windows=MAGNNWindows(near=1, far=3), parts=MAGNNParts(**parts)
    )
    histories = Sequences.from_lists([[0, 1, 2, 3], [4, 5, 6, 7]])
    items, users = Vocabulary.from_ids(ITEMS, range(8, 0, -1)), Vocabulary.from_ids(USERS)
    model = MAGNN(config, PreparedData(items, histories, users, histories), seed=0, device="cpu")
    model.network.memory_keys.data *= 100
    contents = make(
        vectors={"item": model.table()}, vocabularies={"item": items}, item_nodes={}, alignment={}, item_columns=None,
        query=QuerySettings(popularity_weight=0.0), encoder=model.stored(), users=users,
    )  # fmt: skip
    return Bundle.write(path, contents), model.encoder()


@pytest.fixture
def shop(tmp_path, make):
    return trained(make, tmp_path / "shop")


def test_weights_are_those_of_the_encoder_for_known_and_unknown_users(shop):
    bundle, encoder = shop
    weights, ids = weight_matrix(user_memory_attention(bundle, HISTORIES))
    indices = Sequences.from_lists([[0, 1, 2, 3], [5, 4, 6]])
    assert ids == ["ann", "zoe"]
    np.testing.assert_array_equal(weights, encoder.memory_attention(indices, np.array([0, -1])))
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)
    assert np.abs(weights[0] - weights[1]).max() > 1e-3


def test_the_table_has_a_row_per_id_and_slot(shop):
    table = user_memory_attention(shop[0], HISTORIES)
    assert table.column_names == ["id", "slot", "weight"]
    assert table["id"].to_pylist() == ["ann"] * N_SLOTS + ["zoe"] * N_SLOTS
    assert table["slot"].to_pylist() == [0, 1, 2, 0, 1, 2]
    assert table["weight"].type == pa.float32()


def test_an_item_reads_what_a_user_of_it_alone_would(shop):
    bundle, _ = shop
    of_item, ids = weight_matrix(item_memory_attention(bundle, ["i5", "i2"]))
    of_users, _ = weight_matrix(user_memory_attention(bundle, {"new": ["i5", "i0"], "other": ["i2", "i7"]}))
    assert ids == ["i5", "i2"]
    np.testing.assert_array_equal(of_item, of_users)  # the last |L| = 1 items are not read


@pytest.mark.parametrize(("name", "read"), [("w.csv", pa_csv.read_csv), ("w.parquet", pq.read_table)])
def test_weights_are_written_and_read_back(shop, tmp_path, name, read):
    table = user_memory_attention(shop[0], HISTORIES)
    write_memory_attention(table, tmp_path / name)
    back = read(tmp_path / name)
    assert back["id"].to_pylist() == table["id"].to_pylist()
    np.testing.assert_allclose(back["weight"].to_numpy(), table["weight"].to_numpy(), rtol=1e-6)


def test_other_files_are_refused(shop, tmp_path):
    with pytest.raises(ConfigError, match=r"a \.csv or \.parquet file, not to 'w\.xlsx'"):
        write_memory_attention(user_memory_attention(shop[0], HISTORIES), tmp_path / "w.xlsx")


def test_the_picture_names_who_reads(shop, tmp_path):
    pytest.importorskip("matplotlib")
    plot_memory_attention(user_memory_attention(shop[0], HISTORIES), tmp_path / "w.svg", names={"ann": "Ann of Kent"})
    drawn = (tmp_path / "w.svg").read_text()
    assert "Ann of Kent" in drawn
    assert "zoe" in drawn
    assert "slot of the memory" in drawn


def test_a_picture_without_matplotlib_names_the_extra(shop, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'prismrec\[bench\]'"):
        plot_memory_attention(user_memory_attention(shop[0], HISTORIES), tmp_path / "w.png")


def test_nobody_and_unknown_items_are_refused(shop):
    with pytest.raises(DataError, match="memory attention was asked for nobody"):
        user_memory_attention(shop[0], {})
    with pytest.raises(UnknownIdError, match="unknown id 'nothing'"):
        item_memory_attention(shop[0], ["nothing"])


@pytest.mark.parametrize("parts", [{"memory": False}, {"interests": "short"}])
def test_a_model_without_memory_is_refused(make, tmp_path, parts):
    bundle, _ = trained(make, tmp_path / "bare", **parts)
    with pytest.raises(ConfigError, match="was trained without memory"):
        user_memory_attention(bundle, HISTORIES)


def test_other_models_are_refused(bundle, tmp_path, make_encoded):
    with pytest.raises(ConfigError, match="holds M2GRL, which has no memory"):
        item_memory_attention(bundle, [2**60])
    encoded = Bundle.write(tmp_path / "mf", make_encoded())
    with pytest.raises(ConfigError, match="holds mf, which has no memory"):
        user_memory_attention(encoded, {"ann": [2**60]})
