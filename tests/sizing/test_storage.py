"""Bytes of everything kept: by hand, and against the files and arrays of a small real model."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.prepared import PreparedData, View, save_prepared
from prismrec.data.sequences import Sequences
from prismrec.data.training_data import training_data
from prismrec.data.views import mapped
from prismrec.data.vocabulary import Vocabulary
from prismrec.models.contract import EmbeddingTable
from prismrec.models.m2grl.config import M2GRLConfig
from prismrec.models.m2grl.model import M2GRL
from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.bundle_files import BundleContents
from prismrec.sizing.job import Job
from prismrec.sizing.shares import prepared_bytes
from prismrec.sizing.storage import (
    accumulator_bytes,
    alignment_bytes,
    bundle_bytes,
    codes_bytes,
    edge_bytes,
    exchange_bytes,
    matrices_bytes,
    model_bytes,
    noise_bytes,
    order_bytes,
    sequence_bytes,
    table_bytes,
    vectors_bytes,
    vocabulary_bytes,
)

DIM, N_ITEMS, N_SHOPS, N_CLICKS, LENGTH = 16, 60_000, 300, 400_000, 8


@pytest.fixture(scope="module")
def data():
    """Prepared data with text ids of 8 letters, one shop per item, sequences of equal length."""
    rng = np.random.default_rng(0)
    items = (N_ITEMS * rng.random(N_CLICKS) ** 2).astype(np.int32)
    sessions = Sequences.from_lengths(items, np.full(N_CLICKS // LENGTH, LENGTH))
    shops = Sequences.from_lengths(rng.integers(0, N_SHOPS, N_ITEMS).astype(np.int32), np.ones(N_ITEMS, np.int64))
    names = Vocabulary(pa.array([f"i{n:07d}" for n in range(N_ITEMS)]), np.bincount(items, minlength=N_ITEMS))
    nodes = Vocabulary(pa.array([f"s{n:07d}" for n in range(N_SHOPS)]), np.ones(N_SHOPS, np.int64))
    users = Vocabulary(pa.array([f"u{n:07d}" for n in range(N_CLICKS // LENGTH)]), np.full(N_CLICKS // LENGTH, LENGTH))
    return PreparedData(names, sessions, users, sessions, {"shop": View("shop", nodes, shops, mapped(sessions, shops))})


@pytest.fixture(scope="module")
def model(data):
    config = M2GRLConfig(embedding_dim=DIM)
    return M2GRL(config, training_data(data, "sessions"), n_threads=1)


@pytest.fixture(scope="module")
def job():
    return Job(
        clicks=N_CLICKS, items=N_ITEMS, users=N_CLICKS // LENGTH, views={"shop": N_SHOPS}, dim=DIM,
        sequence_length=LENGTH, id_bytes=12,
    )  # fmt: skip


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# ---- by hand ----


def test_sequences_take_four_bytes_a_value_and_eight_a_row():
    assert sequence_bytes(100, 10) == 400 + 88
    assert sequence_bytes(0, 0) == 8


def test_sixty_four_numbers_of_a_billion_items_take_512_gigabytes():
    assert table_bytes(10**9, 64) == 512 * 10**9
    assert table_bytes(10**9, 64, "bf16") == table_bytes(10**9, 64, "fp16") == 256 * 10**9


def test_accumulators_take_a_number_per_row_and_side_and_twice_that_where_aligned():
    assert accumulator_bytes(10, aligned=False) == 80
    assert accumulator_bytes(10, aligned=True) == 160


def test_model_of_two_views_by_hand():
    by_hand = 2 * 4 * 8 * (100 + 10) + 8 * 100 + 16 * 10
    assert model_bytes({"item": 100, "shop": 10}, 8) == by_hand
    assert model_bytes({"item": 100, "shop": 10}, 8, alignment=False) == by_hand - 8 * 10


def test_small_things_by_hand():
    assert vocabulary_bytes(10, 12) == 280
    assert noise_bytes(10) == 200
    assert order_bytes(10) == edge_bytes(10) == 80
    assert alignment_bytes(2, 3) == 2 * 2 * 4 * 10
    assert exchange_bytes(10, 64) == 10 * (3 * 256 + 16)
    assert vectors_bytes({"item": 100, "shop": 10}, 8) == 110 * 64
    assert matrices_bytes(100, 2, 8) == 100 * 4 * 33


def test_codes_take_half_a_byte_a_number_and_small_catalogues_have_none():
    assert codes_bytes(10**6, 3, 64) == 10**6 * (194 // 2 + 8)
    assert codes_bytes(10**6, 1, 9) == 10**6 * (12 // 2 + 8)
    assert codes_bytes(49_999, 3, 64) == 0


# ---- against reality ----


def test_model_is_as_large_as_its_arrays(model):
    found = sum(array.nbytes for array in model.state().values())
    counted = model_bytes({"item": N_ITEMS, "shop": N_SHOPS}, DIM) + alignment_bytes(1, DIM)
    assert found == counted + model.state()["log_variances"].nbytes


def test_noise_is_as_large_as_what_every_process_knows(data, model):
    known = training_data(data, "sessions").counts["item"].nbytes
    known += sum(array.nbytes for array in model._sampler._noise["item"]) + model._offsets["item"].nbytes
    assert known == noise_bytes(N_ITEMS)


def test_orders_are_as_large_as_the_permutations_of_an_epoch(data, model):
    model.step(0, 0, 0.0)
    orders = model._orders[1]
    assert orders["item"].nbytes == order_bytes(len(data.sessions))
    assert orders["item-shop"].nbytes == 2 * order_bytes(N_ITEMS)


def test_edges_are_as_large_as_their_arrays(data):
    edges = training_data(data, "sessions").edges["shop"]
    assert edges.items.nbytes + edges.nodes.nbytes == edge_bytes(N_ITEMS)


def test_vocabulary_is_as_large_as_its_file(data, tmp_path):
    data.items.save(tmp_path / "items.arrow")
    assert (tmp_path / "items.arrow").stat().st_size == pytest.approx(vocabulary_bytes(N_ITEMS, 8 + 4), rel=0.01)


def test_prepared_data_are_as_large_as_their_folder(data, job, tmp_path):
    save_prepared(data, tmp_path / "prepared")
    assert size(tmp_path / "prepared") == pytest.approx(prepared_bytes(job), rel=0.03)


def test_bundle_is_as_large_as_its_folder(data, model, tmp_path):
    contents = BundleContents(
        vectors=model.tables(),
        vocabularies={view: data.nodes(view) for view in data.view_names},
        item_nodes={"shop": data.views["shop"].item_nodes},
    )
    Bundle.write(tmp_path / "bundle", contents)
    counted = bundle_bytes({"item": N_ITEMS, "shop": N_SHOPS}, DIM, 12)
    assert size(tmp_path / "bundle") == pytest.approx(counted, rel=0.02)
    codes = (tmp_path / "bundle" / "index" / "items.faiss").stat().st_size
    assert codes == pytest.approx(codes_bytes(N_ITEMS, 2, DIM), rel=0.02)


def test_bundle_of_few_items_has_no_codes(tmp_path):
    rng = np.random.default_rng(0)
    n = 2_000
    table = EmbeddingTable(*(rng.normal(size=(n, 64)).astype(np.float32) for _ in range(2)))
    vocabulary = Vocabulary(pa.array(np.arange(n)), np.ones(n, np.int64))
    Bundle.write(tmp_path / "bundle", BundleContents(vectors={"item": table}, vocabularies={"item": vocabulary}))
    assert size(tmp_path / "bundle") == pytest.approx(bundle_bytes({"item": n}, 64, 8), rel=0.02)


@given(st.integers(1, 10**9), st.integers(1, 5), st.integers(2, 512))
def test_half_the_numbers_never_take_more(n_items, n_views, dim):
    nodes = {"item": n_items} | {f"view {place}": 1 for place in range(1, n_views)}
    assert bundle_bytes(nodes, dim, 12) <= bundle_bytes(nodes, 2 * dim, 12)
    assert model_bytes(nodes, dim, "bf16") < model_bytes(nodes, dim)
