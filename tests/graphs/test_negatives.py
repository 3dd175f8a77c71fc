import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit, prange
from scipy.stats import chisquare

from prismrec.data.sequences import Sequences
from prismrec.errors import DataError
from prismrec.graphs.negatives import (
    SLOT_STRIDE,
    build_alias_rows,
    build_alias_table,
    build_group_table,
    derive_seed,
    draw,
    draw_hard,
    draw_hard_into,
    draw_into,
    draw_place,
    next_below,
    next_random,
    next_unit,
    popularity_weights,
    random_states,
)

N_DRAWS = 200_000


def exact_distribution(table):
    """What an alias table draws, by summing over its slots."""
    n = len(table.probability)
    share = np.zeros(n)
    for place in range(n):
        share[place] += table.probability[place] / n
        share[table.alias[place]] += (1 - table.probability[place]) / n
    return share


def drawn(table, seed=1):
    out = np.empty(N_DRAWS, np.int32)
    draw_into(random_states(seed), 0, table, out)
    return out


def test_popularity_weights_are_counts_to_the_alpha():
    assert popularity_weights([16, 1, 0], 0.75).tolist() == [8.0, 1.0, 0.0]


def test_alpha_zero_is_uniform_over_all_nodes_unseen_included():
    assert popularity_weights([16, 1, 0], 0.0).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("counts", "alpha", "message"),
    [
        ([1, 2], -0.5, "alpha must be at least 0, got -0.5"),
        ([1, 2], float("nan"), "alpha must be at least 0, got nan"),
        ([1, -2], 0.5, "counts must be finite and at least 0, got -2.0"),
        ([1, np.inf], 0.5, "got inf"),
    ],
)
def test_popularity_weights_refuse_nonsense(counts, alpha, message):
    with pytest.raises(DataError, match=message):
        popularity_weights(counts, alpha)


def test_alias_table_of_two_nodes_is_the_one_done_by_hand():
    table = build_alias_table([1.0, 3.0])  # shares 0.5 and 1.5: slot 0 keeps half, the rest goes to node 1
    assert table.probability.tolist() == [0.5, 1.0]
    assert table.alias.tolist() == [1, 1]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40).filter(lambda w: sum(w) > 1e-3))
@settings(max_examples=150, deadline=None)
def test_alias_table_holds_exactly_the_given_distribution(weights):
    table = build_alias_table(weights)
    np.testing.assert_allclose(exact_distribution(table), np.array(weights) / sum(weights), atol=1e-6)
    assert ((table.probability >= 0) & (table.probability <= 1)).all()


def test_a_node_of_weight_zero_is_never_drawn():
    weights = np.array([0.1] * 7 + [0.0] + [0.3] * 5)
    assert (drawn(build_alias_table(weights)) != 7).all()


def test_draws_follow_the_weights():
    weights = popularity_weights(np.arange(1, 31), 0.75)
    observed = np.bincount(drawn(build_alias_table(weights)), minlength=30)
    assert chisquare(observed, weights / weights.sum() * N_DRAWS).pvalue > 0.001


def test_chi_square_would_notice_a_wrong_exponent():
    weights = popularity_weights(np.arange(1, 31), 0.75)
    wrong = popularity_weights(np.arange(1, 31), 0.7)
    observed = np.bincount(drawn(build_alias_table(wrong)), minlength=30)
    assert chisquare(observed, weights / weights.sum() * N_DRAWS).pvalue < 1e-6


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0.0, 0.0], "none of the 2 weights is positive"),
        ([], "none of the 0 weights"),
        ([1.0, -1.0], "node 1 has -1.0"),
        ([np.nan, 1.0], "node 0 has nan"),
    ],
)
def test_alias_table_refuses_weights_that_cannot_be_drawn(weights, message):
    with pytest.raises(DataError, match=message):
        build_alias_table(weights)


# ---- random numbers ----


def test_splitmix64_gives_the_published_numbers():
    @njit
    def first(state):
        return next_random(state, 0), next_random(state, 0)

    assert first(np.array([1234567], np.uint64)) == (6457827717110365317, 3203168211198807973)


def test_same_seed_same_draws_and_another_step_others():
    table = build_alias_table(np.arange(1.0, 100.0))
    outs = []
    for stream in [(7, 0, 3), (7, 0, 3), (7, 0, 4)]:
        outs.append(np.empty(500, np.int32))
        draw_into(random_states(*stream), 0, table, outs[-1])
    assert (outs[0] == outs[1]).all()
    assert (outs[0] != outs[2]).any()


def test_slots_are_independent_states_on_their_own_cache_lines():
    states = random_states(1, n_slots=4)
    assert len(states) == 4 * SLOT_STRIDE
    assert len(set(states.tolist())) == len(states)


def test_unit_numbers_fill_the_half_open_interval_and_integers_their_range():
    @njit
    def fill(state, units, integers):
        for i in range(len(units)):
            units[i] = next_unit(state, 0)
            integers[i] = next_below(state, 0, 7)

    units, integers = np.empty(N_DRAWS, np.float32), np.empty(N_DRAWS, np.int64)
    fill(random_states(3), units, integers)
    assert units.min() >= 0
    assert units.max() < 1
    assert abs(units.mean() - 0.5) < 0.004
    assert chisquare(np.bincount(integers, minlength=7)).pvalue > 0.001


def test_derived_seeds_differ_for_each_piece_of_work():
    @njit
    def seeds(n):
        out = np.empty(n, np.uint64)
        for i in range(n):
            out[i] = derive_seed(42, i)
        return out

    assert len(set(seeds(10_000).tolist())) == 10_000


# ---- groups ----

GROUPS = Sequences.from_lists([[0], [0], [0], [1], [], [0, 2], [2], [1]])
WEIGHTS = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 2.0, 0.0])


def hard_draws(item, seed=1):
    groups = build_group_table(GROUPS, 3, WEIGHTS)
    out = np.empty((1, N_DRAWS), np.int32)
    draw_hard_into(random_states(seed), 0, np.array([item], np.int32), groups, build_alias_table(WEIGHTS), out)
    return np.bincount(out[0], minlength=8)


def test_hard_negatives_come_from_the_items_group_by_weight():
    observed = hard_draws(0)  # group 0: items 0, 1, 2, 5 with weights 1, 2, 3, 6
    assert observed[[3, 4, 6, 7]].sum() == 0
    assert chisquare(observed[[0, 1, 2, 5]], np.array([1, 2, 3, 6]) / 12 * N_DRAWS).pvalue > 0.001


def test_an_item_of_two_groups_draws_from_each_half_of_the_time():
    observed = hard_draws(5)
    expected = 0.5 * np.array([1, 2, 3, 6, 0]) / 12 + 0.5 * np.array([0, 0, 0, 6, 2]) / 8
    assert chisquare(observed[[0, 1, 2, 5, 6]], expected * N_DRAWS).pvalue > 0.001


@pytest.mark.parametrize("item", [3, 4, 7])
def test_an_item_without_a_group_that_serves_draws_from_the_global_table(item):
    # item 4 has no group; group 1 holds only item 3, since item 7 has weight 0
    observed = hard_draws(item)
    assert observed[7] == 0
    assert chisquare(observed[:7], WEIGHTS[:7] / WEIGHTS.sum() * N_DRAWS).pvalue > 0.001


def test_has_group_tells_which_items_can_draw_hard_negatives():
    groups = build_group_table(GROUPS, 3, WEIGHTS)
    assert groups.has_group.tolist() == [True, True, True, False, False, True, True, False]


@pytest.mark.parametrize(
    ("groups", "n_groups", "weights", "message"),
    [
        ([[0], [0]], 1, [1.0], "given for 2 items, weights for 1"),
        ([[0], [3]], 3, [1.0, 1.0], r"must lie in 0\.\.2, got 0\.\.3"),
        ([[0], [-1]], 3, [1.0, 1.0], r"got -1\.\.0"),
        ([[0], [0]], 1, [1.0, -1.0], "node 1 has -1.0"),
    ],
)
def test_group_table_refuses_what_does_not_fit(groups, n_groups, weights, message):
    with pytest.raises(DataError, match=message):
        build_group_table(Sequences.from_lists(groups), n_groups, weights)


def test_no_groups_at_all_leaves_every_item_to_the_global_table():
    groups = build_group_table(Sequences.from_lists([[], []]), 0, [1.0, 1.0])
    assert not groups.has_group.any()


def test_draws_inline_into_a_parallel_kernel():
    @njit(parallel=True)
    def count(states, stride, table, groups, counts):
        for worker in prange(counts.shape[0]):
            for _ in range(20_000):
                counts[worker, draw(states, worker * stride, table.probability, table.alias)] += 1
                counts[worker, draw_hard(states, worker * stride, 6, groups, table)] += 1

    table, groups = build_alias_table(WEIGHTS), build_group_table(GROUPS, 3, WEIGHTS)
    counts = np.zeros((4, 8), np.int64)
    count(random_states(5, n_slots=4), SLOT_STRIDE, table, groups, counts)
    expected = 80_000 * (WEIGHTS / WEIGHTS.sum() + np.array([0, 0, 0, 0, 0, 0.75, 0.25, 0]))
    assert chisquare(counts.sum(0)[:7], expected[:7]).pvalue > 0.001
    assert len({tuple(row) for row in counts.tolist()}) == 4


def test_a_place_is_drawn_from_its_own_row_by_weight():
    @njit
    def fill(state, begin, end, tables, out):
        for i in range(len(out)):
            out[i] = draw_place(state, 0, begin, end, tables.probability, tables.alias)

    weights = np.array([5.0, 1.0, 3.0, 2.0, 9.0])
    tables = build_alias_rows(weights, np.array([0, 1, 1, 4, 5]))
    out = np.empty(N_DRAWS, np.int64)
    fill(random_states(2), 1, 4, tables, out)
    observed = np.bincount(out, minlength=5)
    assert observed[[0, 4]].sum() == 0
    assert chisquare(observed[1:4], np.array([1, 3, 2]) / 6 * N_DRAWS).pvalue > 0.001
