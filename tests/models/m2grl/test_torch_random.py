"""Random numbers in torch against those that the compiled sampler draws one after the other."""

import numpy as np
import pytest

from prismrec.graphs.negatives import SLOT_STRIDE, after, next_below, next_random, next_unit, random_states

torch = pytest.importorskip("torch")
from prismrec.models.m2grl.torch_device import TorchDevice  # noqa: E402
from prismrec.models.m2grl.torch_random import (  # noqa: E402
    advanced,
    below,
    low_unit,
    next_bits,
    shifted,
    slot_states,
    unit,
)

CPU = TorchDevice("cpu")
STREAM = (7, 1, 2)


def drawn(n, draw):
    """n numbers of slot 1, one after the other."""
    states = random_states(*STREAM, n_slots=3)
    return [draw(states, SLOT_STRIDE) for _ in range(n)]


def at_once(n):
    """The bits of the same n numbers, side by side."""
    states = slot_states(STREAM, 3, CPU)
    assert states.shape == (3,)
    return next_bits(advanced(states[1], CPU.range(n)))


def test_bits_are_those_of_splitmix64():
    assert at_once(200).numpy().view(np.uint64).tolist() == [int(bits) for bits in drawn(200, next_random)]


def test_first_number_of_a_known_state():
    # seed 0 of splitmix64, as published with the generator
    assert next_bits(torch.tensor([0])).numpy().view(np.uint64).tolist() == [0xE220A8397B1DCDAF]


@pytest.mark.parametrize("n", [1, 2, 7, 100_000, 2**31 - 1])
def test_numbers_below_n_are_those_of_the_compiled_sampler(n):
    assert below(at_once(100), n).tolist() == drawn(100, lambda states, slot: next_below(states, slot, n))


def test_units_are_those_of_the_compiled_sampler():
    assert unit(at_once(100)).tolist() == drawn(100, next_unit)


def test_low_unit_takes_the_lowest_24_bits():
    bits = torch.tensor([0, 1, 0xFFFFFF, 0x1000000, -1])
    assert low_unit(bits).tolist() == [0.0, 2**-24, 1 - 2**-24, 0.0, 1 - 2**-24]


def test_shift_brings_zeros_in():
    assert shifted(torch.tensor([-1, 8]), 3).tolist() == [2**61 - 1, 1]


def test_state_after_some_draws_is_the_state_that_drawing_leaves():
    states = random_states(*STREAM, n_slots=1)
    begin = states[0]
    for _ in range(5):
        next_random(states, 0)
    assert after(begin, 5) == states[0]
    assert advanced(slot_states(STREAM, 1, CPU), 5).numpy().view(np.uint64)[0] == states[0]
