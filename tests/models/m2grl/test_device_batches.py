"""Batches in tensors, cut into parts: every anchor once, with its own contexts and negatives."""

import numpy as np
import pytest

from prismrec.models.m2grl.batches import SkipGramBatch
from prismrec.models.m2grl.cpu_engine import compact

torch = pytest.importorskip("torch")
from prismrec.models.m2grl.device_batches import compact_on_device, parts_of, to_device  # noqa: E402
from prismrec.models.m2grl.torch_device import TorchDevice  # noqa: E402

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")),
]


@pytest.fixture(params=DEVICES)
def device(request):
    return TorchDevice(request.param)


def a_batch(n_anchors=11, n_negatives=3, seed=0):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(0, 4, n_anchors))]).astype(np.int64)
    return SkipGramBatch(
        rng.integers(0, 50, n_anchors).astype(np.int32),
        offsets,
        rng.integers(0, 50, offsets[-1]).astype(np.int32),
        rng.integers(0, 50, (n_anchors, n_negatives)).astype(np.int32),
    )


@pytest.mark.parametrize("share", [1, 4, 11, 100])
def test_parts_hold_every_anchor_once_in_order(device, share):
    batch = a_batch()
    n_parts = -(-11 // share)
    parts = list(parts_of(to_device(batch, device), share, n_parts, device))
    assert [len(part.anchors) for part in parts] == [min(share, 11 - share * i) for i in range(n_parts)]
    assert torch.cat([part.anchors for part in parts]).tolist() == batch.anchors.tolist()
    assert torch.cat([part.contexts for part in parts]).tolist() == batch.contexts.tolist()
    assert torch.cat([part.negatives for part in parts]).tolist() == batch.negatives.tolist()
    for number, part in enumerate(parts):
        begins = batch.context_offsets[share * number : share * (number + 1) + 1]
        assert part.offsets.tolist() == (begins - begins[0]).tolist()
        assert part.n_pairs == len(part.contexts) == begins[-1] - begins[0]
        assert part.targets.tolist() == [*part.contexts.tolist(), *part.negatives.flatten().tolist()]
        assert part.targets.dtype == part.anchors.dtype == torch.int64


def test_more_parts_than_anchors_are_empty_parts(device):
    """A process with the fewest examples of its crew takes as many steps as the others."""
    parts = list(parts_of(to_device(a_batch(), device), 8, 4, device))
    assert [len(part.anchors) for part in parts] == [8, 3, 0, 0]
    assert parts[-1].targets.shape == (0,)
    assert parts[-1].offsets.tolist() == [0]
    assert parts[-1].negatives.shape == (0, 3)


def test_batch_drawn_on_the_device_is_given_back(device):
    batch = to_device(a_batch(), device)
    again = to_device(batch, device)
    assert all(one is other for one, other in zip(again, batch, strict=True))


def test_borders_of_all_parts_are_read_from_the_device_at_once(device, monkeypatch):
    reads, original = [], torch.Tensor.tolist

    def counted(tensor):
        reads.append(tensor)
        return original(tensor)

    monkeypatch.setattr(torch.Tensor, "tolist", counted)
    for name in ("item", "__int__", "__float__", "__bool__"):
        monkeypatch.setattr(torch.Tensor, name, lambda tensor: pytest.fail("the host waits for the device"))
    parts = list(parts_of(to_device(a_batch(), device), 2, 6, device))
    assert len(parts) == 6
    assert len(reads) == 1


def test_compact_on_the_device_is_that_of_the_cpu(device):
    batch = a_batch(n_anchors=40)
    used, local = compact(batch, 50)
    for given in (batch, to_device(batch, device)):
        found, places = compact_on_device(given, 50, device)
        assert found.dtype == torch.int64
        assert found.tolist() == used.tolist()
        for name in batch._fields:
            assert getattr(places, name).tolist() == getattr(local, name).tolist()
