"""Parameters as arrays: copies both ways, nothing shared with the network."""

import numpy as np
import torch

from prismrec.models.neural.arrays import arrays_of, copied, fill


def test_a_network_that_is_filled_says_what_the_other_said():
    one, other = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    fill(other, arrays_of(one))
    assert torch.equal(other(torch.ones(4, 3)), one(torch.ones(4, 3)))


def test_arrays_stay_when_the_network_goes_on_and_the_network_when_they_change():
    one = torch.nn.Linear(3, 2)
    arrays = arrays_of(one)
    before = {name: array.copy() for name, array in arrays.items()}
    with torch.no_grad():
        one.weight.add_(1.0)
    assert all(np.array_equal(arrays[name], before[name]) for name in before)
    fill(one, arrays)
    arrays["weight"][:] = 7.0
    assert np.array_equal(copied(one.weight), before["weight"])


def test_arrays_that_cannot_be_written_to_are_taken(tmp_path):
    one = torch.nn.Linear(3, 2)
    for name, array in arrays_of(one).items():
        np.save(tmp_path / f"{name}.npy", array)
    mapped = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("weight", "bias")}
    other = torch.nn.Linear(3, 2)
    fill(other, mapped)
    with torch.no_grad():
        other.weight.zero_()
    assert np.array_equal(mapped["weight"], copied(one.weight))


def test_half_precision_is_kept_as_float32():
    array = copied(torch.tensor([0.5, 1.25], dtype=torch.bfloat16))
    assert array.dtype == np.float32
    assert array.tolist() == [0.5, 1.25]
