"""TorchRec is imported without a word, and what a device cannot do is said before anything is built."""

import subprocess
import sys

import pytest

pytest.importorskip("torchrec", reason='needs pip install "prismrec[cluster]"', exc_type=ImportError)

from torchrec.distributed import comm_ops

from prismrec.errors import ConfigError, MissingExtraError
from prismrec.models.m2grl import torchrec_collection
from prismrec.models.m2grl.sharding import ShardingSettings
from prismrec.models.m2grl.torch_device import TorchDevice
from prismrec.models.m2grl.torchrec_collection import import_torchrec, sharded_collection, summed_gradients

ROWS = {"item.source": 4}


def test_import_says_nothing_even_where_warnings_are_errors():
    code = "from prismrec.models.m2grl.torchrec_collection import import_torchrec; import_torchrec()"
    ran = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_missing_torchrec_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchrec", None)
    with pytest.raises(MissingExtraError, match=r'pip install "prismrec\[cluster\]"'):
        import_torchrec()


@pytest.mark.parametrize("placement", ["host", "cached"])
def test_rows_in_main_memory_for_a_gpu_need_a_gpu(placement):
    with pytest.raises(ConfigError, match=rf'placement = "{placement}" needs training.device = "cuda"'):
        sharded_collection(ROWS, 8, 1, TorchDevice(), ShardingSettings(placement=placement))


def test_bf16_on_the_cpu_is_refused():
    with pytest.raises(
        ConfigError, match=r'storage = "bf16" needs training.device = "cuda": FBGEMM on the CPU has fp32'
    ):
        sharded_collection(ROWS, 8, 1, TorchDevice(), ShardingSettings(storage="bf16"))


def test_length_of_vectors_is_a_multiple_of_four():
    with pytest.raises(ConfigError, match=r"model\.embedding_dim must be a multiple of 4 .*, got 6"):
        sharded_collection(ROWS, 6, 1, TorchDevice(), ShardingSettings())


def test_rows_lie_on_the_gpus_that_their_machine_has(monkeypatch):
    """Of 4 processes on 2 machines the third has the first GPU of its machine."""
    asked = {}

    class Planned(Exception):
        pass

    def plan(*_, **arguments):
        asked.update(arguments)
        raise Planned

    monkeypatch.setattr("torchrec.distributed.sharding_plan.construct_module_sharding_plan", plan)
    with pytest.raises(Planned):
        sharded_collection(ROWS, 8, 4, TorchDevice(), ShardingSettings(), n_here=2)
    assert (asked["local_size"], asked["world_size"]) == (2, 4)


def test_gradients_are_summed_for_a_while_only():
    assert comm_ops.get_gradient_division()
    with summed_gradients():
        assert not comm_ops.get_gradient_division()
    assert comm_ops.get_gradient_division()


def test_only_the_one_needless_warning_of_torch_is_dropped():
    import logging

    def record(text):
        return logging.LogRecord("torch.fx", logging.WARNING, "", 0, text, (), None)

    assert not torchrec_collection._is_worth_saying(record("is_fx_tracing will return true for both"))
    assert torchrec_collection._is_worth_saying(record("something else"))
