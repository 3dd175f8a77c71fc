"""Values that are not finite are found wherever they stand, and named."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.errors import TrainingError
from prismrec.training.finite import check_arrays, check_number, first_not_finite


@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    bad=st.sampled_from([np.nan, np.inf, -np.inf]),
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
    data=st.data(),
)
def test_first_bad_index_is_found(shape, bad, dtype, data):
    array = np.ones(shape, dtype)
    places = data.draw(st.lists(st.tuples(*(st.integers(0, n - 1) for n in shape)), max_size=3))
    for place in places:
        array[place] = bad
    assert first_not_finite(array) == (min(places) if places else None)


def test_largest_finite_values_pass():
    extreme = np.finfo(np.float32)
    assert first_not_finite(np.array([extreme.max, extreme.min, extreme.max], np.float32)) is None


def test_integers_and_empty_arrays_pass():
    assert first_not_finite(np.array([2**62])) is None
    assert first_not_finite(np.zeros((0, 4), np.float32)) is None


def test_arrays_without_rows_and_scalars_are_checked():
    assert first_not_finite(np.array(np.nan)) == ()
    with pytest.raises(TrainingError, match=r"array 'scale' holds inf at index \[\] after here"):
        check_arrays({"scale": np.array(np.inf)}, "here")


def test_bad_array_is_named_with_index_place_and_remedy():
    good, bad = np.zeros((2, 2)), np.zeros((3, 2))
    bad[2, 1] = np.nan
    message = r"array 'item\.source' holds nan at index \[2, 1\] after epoch 3; try a lower training\.learning_rate"
    with pytest.raises(TrainingError, match=message):
        check_arrays({"good": good, "item.source": bad}, "epoch 3")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_bad_number_is_named(value):
    with pytest.raises(TrainingError, match=r"the loss of task 'item' is -?(nan|inf) at epoch 3; try a lower"):
        check_number(value, "the loss of task 'item'", "epoch 3")


def test_finite_number_passes():
    check_number(-1e300, "a loss", "anywhere")
