import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.errors import ConfigError
from prismrec.retrieval.ranking import top_k


def test_best_first():
    assert top_k(np.array([0.1, 3.0, -2.0, 1.0], np.float32), 3).tolist() == [1, 3, 0]


def test_ties_come_in_the_order_of_their_index():
    assert top_k(np.array([1, 2, 1, 2, 1, 1], np.float32), 4).tolist() == [1, 3, 0, 2]
    assert top_k(np.zeros(5, np.float32), 2).tolist() == [0, 1]


def test_more_than_there_are_gives_all():
    assert top_k(np.array([1, 2], np.float32), 10).tolist() == [1, 0]
    assert top_k(np.zeros(0, np.float32), 3).tolist() == []


def test_minus_infinity_is_never_returned():
    assert top_k(np.array([-np.inf, 2, -np.inf], np.float32), 2).tolist() == [1]


@pytest.mark.parametrize("k", [0, -3])
def test_k_below_one_is_refused(k):
    with pytest.raises(ConfigError, match=f"at least 1, got {k}"):
        top_k(np.zeros(3, np.float32), k)


@given(st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0]), max_size=30), st.integers(1, 35))
def test_equals_a_full_stable_sort(scores, k):
    expected = [i for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i)) if scores[i] > -np.inf][:k]
    assert top_k(np.array(scores, np.float32), k).tolist() == expected
