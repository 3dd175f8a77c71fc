"""What one process or machine holds, by hand and against the arrays of a real model."""

import numpy as np
import pytest

from prismrec.data.sequences import Sequences
from prismrec.data.training_data import TrainingData, edges_of
from prismrec.models.m2grl.config import M2GRLConfig
from prismrec.models.m2grl.model import M2GRL
from prismrec.models.m2grl.sharding import ShardingSettings
from prismrec.sizing import rates
from prismrec.sizing.job import Job
from prismrec.sizing.layout import EIGHT_GPUS, LAPTOP, MANY_GPUS, Layout
from prismrec.sizing.shares import (
    ANCHORS_PER_UPDATE,
    device_bytes,
    examples_share,
    exchange_share,
    is_staged,
    preparation_disk_bytes,
    prepared_bytes,
    program_bytes,
    replicated_bytes,
    sequences_share,
    table_share,
    training_machine_bytes,
    training_process_bytes,
)
from prismrec.sizing.storage import model_bytes, sequence_bytes

JOB = Job(clicks=5_700, items=100, views={"shop": 10}, dim=8, sequence_length=5.7, users=50, id_bytes=12)


def test_tables_are_dealt_out_evenly():
    assert table_share(JOB, 4) == model_bytes({"item": 100, "shop": 10}, 8) / 4


def test_every_process_knows_twenty_bytes_of_every_node():
    assert replicated_bytes(JOB) == 20 * 110


def test_sequences_of_both_views_by_hand():
    assert sequences_share(JOB, 2) == 2 * (4 * 5_700 + 8 * 1_001) / 2


def test_examples_are_sequences_edges_and_orders():
    orders = 8 * (2 * 1_000 + 2 * 100)
    assert examples_share(JOB, 1) == sequences_share(JOB, 1) + 8 * 100 + orders


def test_examples_are_as_large_as_the_arrays_of_a_real_model():
    rng = np.random.default_rng(0)
    lengths = 5 + (np.arange(1_000) % 10 < 7)  # 5.7 on average
    items = Sequences.from_lengths(rng.integers(0, 100, 5_700), lengths)
    nodes = Sequences.from_lengths(rng.integers(0, 10, 100), np.ones(100, np.int64))
    data = TrainingData(
        n_nodes={"item": 100, "shop": 10},
        sequences={"item": items, "shop": Sequences(items.values % 10, items.offsets)},
        counts={"item": np.bincount(items.values, minlength=100), "shop": np.full(10, 5)},
        edges={"shop": edges_of(nodes)},
        item_nodes={"shop": nodes},
    )
    model = M2GRL(M2GRLConfig(embedding_dim=8), data, n_threads=1)
    model.step(0, 0, 0.0)
    found = sum(s.values.nbytes + s.offsets.nbytes for s in data.sequences.values())
    found += sum(array.nbytes for array in data.edges["shop"]) + sum(o.nbytes for o in model._orders[1].values())
    assert examples_share(JOB, 1) == pytest.approx(found, rel=0.01)


def test_one_process_exchanges_nothing():
    assert exchange_share(JOB, 1) == 0


def test_buffers_of_an_update_by_hand():
    # a sequence length of 2 and a window of 1: every anchor has one context
    job = JOB.model_copy(update={"sequence_length": 2.0, "window": 1, "negatives": 4})
    assert exchange_share(job, 2) == ANCHORS_PER_UPDATE / 2 * 6 * (3 * 4 * 8 + 16)


def test_an_update_has_as_many_anchors_as_the_settings_say():
    assert ShardingSettings().anchors_per_update == ANCHORS_PER_UPDATE


def test_a_device_knows_twelve_bytes_of_a_node_and_has_its_edges_and_orders():
    assert device_bytes(JOB, 2) == 12 * 110 + (8 * 100 + 4 * (2 * 1_000 + 2 * 100)) / 2


def test_without_devices_a_machine_holds_its_processes():
    layout = Layout(processes=3)
    assert training_machine_bytes(JOB, layout) == 3 * training_process_bytes(JOB, layout)
    alone = table_share(JOB, 1) + replicated_bytes(JOB) + examples_share(JOB, 1) + rates.PROGRAM.value
    assert training_process_bytes(JOB, LAPTOP) == alone


def test_with_devices_a_machine_holds_sequences_and_the_devices_hold_the_rows():
    assert training_machine_bytes(JOB, EIGHT_GPUS) == 8 * (
        replicated_bytes(JOB) + sequences_share(JOB, 8) + rates.TORCH_PROGRAM.value
    )
    rows = table_share(JOB, 8) + exchange_share(JOB, 8)
    assert training_process_bytes(JOB, EIGHT_GPUS) == rows + device_bytes(JOB, 8)


def test_a_billion_items_on_eight_devices_by_hand():
    job = Job(clicks=57 * 10**9, items=10**9, dim=64)
    rows = (2 * 10**9 * 64 * 4 + 8 * 10**9) / 8
    orders = 4 * job.n_sequences / 8
    assert training_process_bytes(job, EIGHT_GPUS) == pytest.approx(rows + 12e9 + orders, rel=0.001)


def test_whole_prepared_data_by_hand():
    by_hand = 2 * sequence_bytes(5_700, 1_000) + sequence_bytes(5_700, 50) + sequence_bytes(100, 100)
    assert prepared_bytes(JOB) == by_hand + 28 * (100 + 10 + 50)


def test_stages_add_the_log_twice_and_the_rows_that_are_shuffled():
    assert preparation_disk_bytes(JOB) == prepared_bytes(JOB) + (20 + 36) * 5_700


def test_long_logs_and_several_readers_are_prepared_in_stages():
    long = JOB.model_copy(update={"clicks": 100_000_001})
    assert [is_staged(JOB, LAPTOP), is_staged(long, LAPTOP), is_staged(JOB, MANY_GPUS)] == [False, True, True]


def test_several_processes_and_devices_load_torch():
    layouts = (LAPTOP, Layout(processes=2), Layout(machines=2), EIGHT_GPUS)
    assert [program_bytes(layout) / 1e9 for layout in layouts] == [0.26, 0.62, 0.62, 0.62]
