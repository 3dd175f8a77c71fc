"""Examples per click and bytes per example: by hand, and against batches that the sampler really draws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.sequences import Sequences
from prismrec.graphs.negatives import build_alias_table
from prismrec.models.m2grl import sampler
from prismrec.models.m2grl.batches import draw_intra_batch
from prismrec.models.m2grl.config import M2GRLConfig
from prismrec.sizing.job import Job
from prismrec.sizing.traffic import (
    EDGE_PASSES,
    anchors_per_click,
    pairs_per_click,
    pairs_per_epoch,
    row_bytes,
    rows_per_epoch,
    rows_per_pair,
    travelling_bytes,
    travelling_share,
)


def test_pairs_of_a_window_of_two_by_hand():
    # q = 1/2: one step away 1/2, always in reach; two steps away 1/4, in reach of every other anchor
    assert pairs_per_click(2, 2.0, "forward") == pytest.approx(1 / 2 + 1 / 4 * 1 / 2)
    assert pairs_per_click(2, 2.0, "symmetric") == pytest.approx(2 * (1 / 2 + 1 / 8))


def test_endless_sequences_have_the_mean_reach_of_contexts():
    assert pairs_per_click(5, 1e9, "forward") == pytest.approx((1 + 2 + 3 + 4 + 5) / 5)


def test_anchors_by_hand():
    assert anchors_per_click(4.0, "forward") == 3 / 4
    assert anchors_per_click(4.0, "symmetric") == 1 - 1 / 16


@pytest.mark.parametrize("context", ["forward", "symmetric"])
@pytest.mark.parametrize(("window", "mean_length"), [(5, 5.7), (2, 3.0), (10, 20.0)])
def test_examples_per_click_are_those_of_real_batches(context, window, mean_length):
    rng = np.random.default_rng(window)
    lengths = rng.geometric(1 / mean_length, 40_000)
    sequences = Sequences.from_lengths(rng.integers(0, 500, lengths.sum()), lengths)
    config = M2GRLConfig(window=window, context=context, negatives=1)
    batch = draw_intra_batch(sequences, np.arange(len(lengths)), config, build_alias_table(np.ones(500)), (1, 2))
    n_clicks = len(sequences.values)
    assert batch.n_pairs / n_clicks == pytest.approx(pairs_per_click(window, mean_length, context), rel=0.02)
    assert len(batch.anchors) / n_clicks == pytest.approx(anchors_per_click(mean_length, context), rel=0.02)


def test_rows_per_pair_by_hand():
    assert rows_per_pair(3, 10) == 14 / 3
    assert rows_per_pair(1, 1) == 3


def test_rows_of_an_epoch_are_those_of_anchors_contexts_negatives_and_edges():
    job = Job(clicks=1000, items=100, views={"shop": 10}, window=1, negatives=4, sequence_length=2.0)
    anchors, pairs = 500, 500  # every other click has one after it; a reach of one
    assert pairs_per_epoch(job) == pairs
    assert rows_per_epoch(job) == 2 * (pairs + anchors * 5) + 100 * 2 * (2 + 2)


def test_rows_of_an_epoch_agree_with_rows_per_pair():
    job = Job(clicks=10**6, items=1000)
    m = pairs_per_epoch(job) / (job.clicks * anchors_per_click(job.sequence_length, job.context))
    assert rows_per_epoch(job) == pytest.approx(pairs_per_epoch(job) * rows_per_pair(m, job.negatives))


def test_edges_are_met_as_often_as_the_sampler_does():
    assert EDGE_PASSES == sampler.EDGE_PASSES


def test_a_row_is_read_and_written_with_its_accumulator():
    assert row_bytes(64) == 2 * 256 + 8
    assert row_bytes(64, "bf16") == 2 * 128 + 8


def test_half_of_the_rows_travel_between_two():
    assert [travelling_share(n) for n in (1, 2, 8)] == [0, 1 / 2, 7 / 8]
    assert travelling_bytes(64) == 8 + 256 + 256


@given(st.integers(1, 20), st.floats(1.5, 50))
def test_symmetric_contexts_are_twice_the_forward_ones(window, mean_length):
    forward, both = (pairs_per_click(window, mean_length, context) for context in ("forward", "symmetric"))
    assert both == 2 * forward
    assert forward <= (window + 1) / 2
