"""MMR and greedy DPP against slow versions that follow the formulas, and what the quotas allow."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.sequences import Sequences
from prismrec.retrieval.diversity.greedy import dpp, mmr

FLOOR = 0.01
METHODS = {"mmr": mmr, "dpp": dpp}
FREE = Sequences.from_lists([[] for _ in range(64)])


def ask(method, relevance, vectors, level, k, slots=FREE, room=()):
    chosen = METHODS[method](
        np.asarray(relevance, np.float32), np.asarray(vectors, np.float32), np.float32(level), k,
        slots.values, slots.offsets[: len(relevance) + 1], np.array(room, np.int64),
    )  # fmt: skip
    return chosen.tolist()


def slow_mmr(relevance, vectors, level, k):
    alike = np.asarray(vectors, np.float64) @ np.asarray(vectors, np.float64).T
    chosen: list[int] = []
    while len(chosen) < k:
        gains = [
            -np.inf if i in chosen else (1 - level) * relevance[i] - level * max([0, *(alike[i, j] for j in chosen)])
            for i in range(len(relevance))
        ]
        chosen.append(int(np.argmax(gains)))
    return chosen


def slow_dpp(relevance, vectors, level, k):
    alike = np.asarray(vectors, np.float64) @ np.asarray(vectors, np.float64).T
    kernel = (1 - FLOOR) * alike
    np.fill_diagonal(kernel, 1)
    chosen: list[int] = []
    while len(chosen) < k:
        gains = []
        for i in range(len(relevance)):
            if i in chosen:
                gains.append(-np.inf)
                continue
            after, before = (np.linalg.det(kernel[np.ix_(s, s)]) if s else 1.0 for s in ([*chosen, i], chosen))
            gains.append((1 - level) * relevance[i] + level * np.log(after / before) / np.log(1 / FLOOR))
        chosen.append(int(np.argmax(gains)))
    return chosen


SLOW = {"mmr": slow_mmr, "dpp": slow_dpp}


def pool(seed, m=24, d=6):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(m, d))
    return rng.random(m).round(3), vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("level", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_lists_are_those_of_the_slow_version(method, level):
    for seed in range(20):
        relevance, vectors = pool(seed)
        assert ask(method, relevance, vectors, level, 12) == SLOW[method](relevance, vectors, level, 12), seed


@pytest.mark.parametrize("method", METHODS)
def test_rows_without_nodes_are_like_nothing(method):
    for seed in range(10):
        relevance, vectors = pool(seed)
        vectors[::3] = 0
        vectors[1::3] *= np.sqrt(0.5)  # a node in one of two views
        assert ask(method, relevance, vectors, 0.6, 12) == SLOW[method](relevance, vectors, 0.6, 12), seed


def test_mmr_by_hand():
    # After item 0, item 1 is just like it: 0.5 * 0.9 - 0.5 * 1 < 0.5 * 0.2 - 0.5 * 0.
    assert ask("mmr", [1, 0.9, 0.2], [[1, 0], [1, 0], [0, 1]], 0.5, 3) == [0, 2, 1]
    # At level 0.4, 0.6 * 0.9 - 0.4 > 0.6 * 0.2.
    assert ask("mmr", [1, 0.9, 0.2], [[1, 0], [1, 0], [0, 1]], 0.4, 3) == [0, 1, 2]


def test_dpp_by_hand():
    # Item 1 has cosine 0.8 to item 0: d^2 = 1 - (0.99 * 0.8)^2 = 0.372736, log(d^2) / log(100) = -0.2143.
    vectors = [[1, 0], [0.8, 0.6], [0, 1]]
    assert ask("dpp", [1, 0.5, 0.5 - 0.215], vectors, 0.5, 2) == [0, 1]
    assert ask("dpp", [1, 0.5, 0.5 - 0.213], vectors, 0.5, 2) == [0, 2]


@pytest.mark.parametrize("method", METHODS)
def test_equal_gains_go_to_the_first_candidate(method):
    assert ask(method, [1] * 5, np.zeros((5, 2)), 0.5, 5) == [0, 1, 2, 3, 4]
    assert ask(method, [1] * 5, [[1, 0]] * 5, 0.5, 5) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("method", METHODS)
def test_quotas_close_a_slot_and_short_lists_end(method):
    slots = Sequences.from_lists([[0], [0], [0], [1], [0, 1], []])
    relevance = [6, 5, 4, 3, 2, 1]
    vectors = np.eye(6)
    assert ask(method, relevance, vectors, 0.0, 6, slots, [2, 1]) == [0, 1, 3, 5]
    assert ask(method, relevance, vectors, 0.0, 3, slots, [1, 1]) == [0, 3, 5]


@pytest.mark.parametrize("method", METHODS)
@given(
    seed=st.integers(0, 10**6),
    level=st.floats(0, 1, width=32),
    k=st.integers(1, 20),
    rows=st.lists(st.lists(st.integers(0, 4), max_size=2, unique=True), min_size=20, max_size=20),
    quota=st.integers(1, 4),
)
def test_every_list_is_distinct_keeps_its_quotas_and_is_as_long_as_it_can_be(method, seed, level, k, rows, quota):
    relevance, vectors = pool(seed, m=20)
    chosen = ask(method, relevance, vectors, level, k, Sequences.from_lists(rows), [quota] * 5)
    assert len(set(chosen)) == len(chosen) <= k
    taken = np.bincount([slot for place in chosen for slot in rows[place]], minlength=5)
    assert taken.max() <= quota
    if len(chosen) < k:
        left = set(range(20)) - set(chosen)
        assert all(any(taken[slot] == quota for slot in rows[place]) for place in left)
