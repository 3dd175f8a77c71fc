"""Rounding at random: to a neighbour always, right on average, and the same coin for the same place and number."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from prismrec.models.m2grl.row_storage import BYTES_OF, dtype_of, mixed, rounded, storage_of, stored  # noqa: E402
from prismrec.models.m2grl.torch_device import TorchDevice  # noqa: E402

CPU = TorchDevice("cpu")


def rounded_rows(values, storage, rows=None, memory=None):
    n = len(values)
    rows = torch.arange(n) if rows is None else rows
    memory = torch.ones(n) if memory is None else memory
    return rounded(values, rows, memory, storage, CPU)


def neighbours(values, storage):
    """The numbers of the type nearest to each value, and those next to these, away from zero and towards it."""
    nearest = values.to(dtype_of(storage, CPU))
    bits = nearest.view(torch.int16)
    away, toward = (bits + 1).view(nearest.dtype).float(), (bits - 1).view(nearest.dtype).float()
    return torch.stack([nearest.float(), away, toward])


@pytest.mark.parametrize("storage", ["fp16", "bf16"])
def test_every_number_becomes_one_of_its_two_neighbours(storage):
    values = torch.tensor(np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32))
    found = rounded_rows(values, storage)
    assert found.dtype == dtype_of(storage, CPU)
    near = neighbours(values, storage)
    assert (found.float() == near).any(0).all()
    lower, upper = near.where(near <= values, -9).amax(0), near.where(near >= values, 9).amin(0)
    assert ((found.float() == lower) | (found.float() == upper)).all()
    assert 0.2 < (found.float() != values.to(found.dtype).float()).float().mean() < 0.3  # a quarter, on average


@pytest.mark.parametrize(("storage", "spacing"), [("fp16", 2**-10), ("bf16", 2**-7)])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_number_between_two_is_right_on_average(storage, spacing, share, sign):
    values = torch.full((4000, 4), sign * (1 + share * spacing))
    found = rounded_rows(values, storage).float()
    assert set(found.unique().tolist()) <= {sign, sign * (1 + spacing)}
    went_away = (found != sign).float().mean().item()
    assert went_away == pytest.approx(share, abs=4 * (share * (1 - share) / 16_000) ** 0.5 + 1e-3)


@pytest.mark.parametrize("storage", ["fp16", "bf16"])
def test_numbers_that_the_type_holds_stay(storage):
    values = torch.tensor([[0.0, -0.0, 1.0, -2.5], [2**-14, 2**-20, 96.0, -(2**-8)]])
    assert torch.equal(rounded_rows(values, storage).float(), values)


def test_small_numbers_of_float16_go_to_the_nearest():
    values = torch.tensor([[2**-24 * 0.4, 2**-24 * 0.6, -(2**-24) * 1.4, 2**-15 + 2**-24 * 0.4]])
    expected = [0.0, 2**-24, -(2**-24), 2**-15]
    assert rounded_rows(values, "fp16")[0].tolist() == expected


def test_coins_depend_on_row_column_accumulator_and_number():
    values = torch.full((1000, 8), 1.001)
    first = rounded_rows(values, "bf16")
    assert torch.equal(first, rounded_rows(values, "bf16"))
    assert (first != first[0]).any()  # rows differ
    assert (first.T[0] != first.T).any()  # columns differ
    for other in (
        rounded_rows(values, "bf16", rows=torch.arange(1000) + 5000),
        rounded_rows(values, "bf16", memory=torch.full((1000,), 1.0000001)),
        rounded_rows(torch.full((1000, 8), 1.0010005), "bf16"),
    ):
        assert 0.05 < (other != first).float().mean() < 0.4


def test_32_bits_stay_as_they_are():
    values = torch.tensor([[1.0000001]])
    assert rounded_rows(values, "fp32") is values


def test_beginnings_are_rounded_to_the_nearest():
    values = torch.tensor([1 + 0.4 * 2**-7, 1 + 0.6 * 2**-7])
    assert stored(values, "bf16", CPU).tolist() == [1.0, 1 + 2**-7]


def test_rows_beyond_four_billion_numbers_have_coins_too():
    values = torch.full((2, 8), 1.001)
    far = rounded_rows(values, "bf16", rows=torch.tensor([2**40, 2**40 + 1]))
    assert torch.isfinite(far.float()).all()


def test_hash_is_that_of_unsigned_32_bits():
    """The lowbias32 hash, computed in Python."""

    def slow(x):
        x &= 0xFFFFFFFF
        x = ((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
        x = ((x ^ (x >> 15)) * 0x846CA68B) & 0xFFFFFFFF
        return x ^ (x >> 16)

    numbers = [0, 1, -(2**31), 2**31 - 1, 123456789, -1, 65536]
    found = mixed(torch.tensor(numbers, dtype=torch.int32))
    assert [x % 2**32 for x in found.tolist()] == [slow(x) for x in numbers]


@pytest.mark.parametrize("storage", ["fp32", "fp16", "bf16"])
def test_names_go_there_and_back(storage):
    table = torch.zeros(1, dtype=dtype_of(storage, CPU))
    assert storage_of(table) == storage
    assert table.element_size() == BYTES_OF[storage]
