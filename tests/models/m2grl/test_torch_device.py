"""One device of torch: tensors on it, sums by row, and no fallback that is not said."""

import importlib.util
import os

import numpy as np
import pytest

from prismrec.errors import ConfigError, MissingExtraError, ResourceError

torch = pytest.importorskip("torch")
from prismrec.models.m2grl.torch_device import TorchDevice  # noqa: E402

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")),
]


@pytest.fixture(params=DEVICES)
def device(request):
    return TorchDevice(request.param)


@pytest.fixture
def pretended_cuda(monkeypatch):
    """A machine whose torch says that it has a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3_000_000_000, 140_000_000_000))


@pytest.fixture
def without_triton(monkeypatch):
    original = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "triton" else original(name))


def test_arrays_are_copied_and_tensors_of_the_device_are_not(device):
    array = np.arange(3, dtype=np.int32)
    tensor = device.tensor(array)
    array[0] = 9
    assert tensor.tolist() == [0, 1, 2]
    assert tensor.dtype == torch.int32
    assert tensor.device.type == device.device.type
    assert device.tensor(tensor) is tensor


def test_arrays_that_are_sent_arrive_whole(device):
    array = np.arange(1000, dtype=np.int64)
    array.flags.writeable = False  # as a memory map is
    assert device.sent(array).tolist() == list(range(1000))


def test_range_and_zeros(device):
    assert device.range(3).tolist() == [0, 1, 2]
    assert device.range(3).dtype == torch.int64
    assert device.zeros(2, 1).tolist() == [[0.0], [0.0]]
    assert device.zeros(dtype=torch.float64).dtype == torch.float64


def test_rows_are_added_also_where_one_occurs_twice(device):
    table = device.zeros(3, 2)
    values = device.tensor(np.array([[1, 2], [3, 4], [5, 6]], np.float32))
    device.add_rows(table, device.tensor(np.array([2, 0, 2])), values)
    assert table.tolist() == [[3, 4], [0, 0], [6, 8]]


def test_weighted_sums_are_those_of_a_loop(device):
    rng = np.random.default_rng(0)
    rows, weights = rng.standard_normal((5, 3)), rng.standard_normal(7)
    places, starts = rng.integers(0, 5, 7), [0, 2, 2, 6]
    expected = [
        sum((weights[i] * rows[places[i]] for i in range(begin, end)), np.zeros(3))
        for begin, end in zip(starts, [*starts[1:], 7], strict=True)
    ]
    given = (device.tensor(a) for a in (rows.astype(np.float32), weights.astype(np.float32), places, np.array(starts)))
    np.testing.assert_allclose(device.weighted_sums(*given).cpu(), expected, rtol=1e-5, atol=1e-6)


def test_weighted_sums_without_weights_without_sums_and_without_rows(device):
    rows = device.tensor(np.array([[1.0, 2.0], [3.0, 4.0]], np.float32))
    assert device.weighted_sums(rows, None, device.range(2), device.range(1)).tolist() == [[4.0, 6.0]]
    assert device.weighted_sums(rows, None, device.range(0), device.range(0)).shape == (0, 2)
    assert (
        device.weighted_sums(rows, None, device.range(0), device.zeros(2, dtype=torch.int64)).tolist() == [[0, 0]] * 2
    )
    assert device.weighted_sums(device.zeros(4, 0), None, device.range(4), device.range(1)).shape == (1, 0)


def test_reproducible_is_a_setting_that_goes(device):
    exact = TorchDevice(device.device.type, deterministic=True)
    with exact.reproducible():
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    with device.reproducible():
        assert not torch.are_deterministic_algorithms_enabled()


def test_unknown_device_is_refused():
    with pytest.raises(ConfigError, match=r"training\.device must be cpu or cuda, got 'tpu'"):
        TorchDevice("tpu")


def test_cuda_without_a_device_is_an_error_and_no_fallback(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("cuda", "cuda:1"):
        with pytest.raises(ConfigError, match=r'training\.device = "cuda", but torch finds no CUDA device'):
            TorchDevice(name)


def test_the_cpu_computes_with_torch_and_says_so():
    device = TorchDevice("cpu")
    assert not device.has_triton
    assert device.note == "computing on cpu with torch"
    assert device.free_bytes() is None
    device.require_room(10**18, "tables", "no advice")  # main memory is the business of pre-flight


def test_cuda_computes_with_triton_where_it_is_installed(pretended_cuda):
    pytest.importorskip("triton")
    device = TorchDevice("cuda")
    assert device.has_triton
    assert device.note == "computing on NVIDIA H200 with Triton kernels"
    assert not TorchDevice("cuda", kernels="torch").has_triton


def test_cuda_without_triton_says_what_is_missing(pretended_cuda, without_triton):
    device = TorchDevice("cuda")
    assert not device.has_triton
    assert device.note.startswith("computing on NVIDIA H200 with torch: Triton is not installed (pip install triton)")


def test_triton_that_is_asked_for_and_missing_is_an_error(pretended_cuda, without_triton):
    with pytest.raises(MissingExtraError, match=r'kernels = "triton" needs Triton.*pip install triton'):
        TorchDevice("cuda", kernels="triton")


def test_triton_on_a_cpu_needs_its_interpreter(monkeypatch):
    pytest.importorskip("triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ConfigError, match=r"only in its interpreter \(TRITON_INTERPRET=1\)"):
        TorchDevice("cpu", kernels="triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert TorchDevice("cpu", kernels="triton").has_triton


def test_deterministic_cuda_gives_cublas_the_workspace_that_it_asks_for(pretended_cuda, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "to be removed")  # so that what follows is undone
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    TorchDevice("cuda")
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    TorchDevice("cuda", deterministic=True)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_numbered_device_becomes_the_current_one(pretended_cuda, monkeypatch):
    chosen: list[object] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    TorchDevice("cuda:1")
    TorchDevice("cuda")
    assert chosen == [torch.device("cuda:1")]


def test_what_does_not_fit_is_refused_with_both_figures_and_advice(pretended_cuda):
    device = TorchDevice("cuda")
    device.require_room(3_000_000_000, "the tables", "buy a larger one")
    with pytest.raises(
        ResourceError, match=r"the tables take 51\.20 GB, and NVIDIA H200 has 3\.00 GB free: buy a larger"
    ):
        device.require_room(51_200_000_000, "the tables", "buy a larger one")
