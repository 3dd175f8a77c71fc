"""A TorchRec collection of row-wise sharded tables that learn in the backward pass; where TorchRec is imported."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from prismrec.errors import ConfigError, MissingExtraError
from prismrec.models.m2grl.sharding import ShardingSettings
from prismrec.models.m2grl.torch_device import TorchDevice

_TINY = 1e-20
"""Added to sqrt(momentum) by FBGEMM, which knows no step without it; accumulators begin far above."""

_KERNELS = {"device": "fused", "host": "fused_uvm", "cached": "fused_uvm_caching"}
_LOUD = (r"(?s).*fbgemm_gpu", r"(?s).*Failed to import: fbgemm_gpu", r"(?s).*TypedStorage is deprecated")


def sharded_collection(
    n_rows: Mapping[str, int],
    dim: int,
    n_processes: int,
    device: TorchDevice,
    settings: ShardingSettings,
    n_here: int | None = None,
) -> Any:
    """An `EmbeddingCollection` of these tables, sharded over the default process group.

    Its features are named as the tables. The rows hold nothing yet.

    Args:
        n_here: processes on each machine, which tells whose rows lie on which GPU of it; all of them unless given.

    Raises:
        ConfigError: storage or placement that the device does not have.
        MissingExtraError: TorchRec is not installed.
    """
    _check(device, settings, dim)
    torchrec = import_torchrec()
    from fbgemm_gpu.split_embedding_configs import EmbOptimType
    from torchrec.distributed.embedding import EmbeddingCollectionSharder
    from torchrec.distributed.sharding_plan import construct_module_sharding_plan, row_wise
    from torchrec.distributed.types import ShardingEnv

    types = torchrec.modules.embedding_configs.DataType
    storage = {"fp32": types.FP32, "fp16": types.FP16, "bf16": types.BF16}[settings.storage]
    names = {table: table.replace(".", "/") for table in n_rows}  # torch wants no dots in the names of modules
    tables = [
        torchrec.EmbeddingConfig(
            name=names[t], embedding_dim=dim, num_embeddings=n, feature_names=[t], data_type=storage
        )
        for t, n in n_rows.items()
    ]
    learning = {"optimizer": EmbOptimType.EXACT_ROWWISE_ADAGRAD, "eps": _TINY, "learning_rate": 0.0}
    if settings.placement == "cached":
        learning["cache_load_factor"] = settings.cache_share
    sharder = EmbeddingCollectionSharder(fused_params=learning)
    whole = torchrec.EmbeddingCollection(tables=tables, device=device.torch.device("meta"))
    kernel = _KERNELS[settings.placement if device.is_cuda else "device"]
    plan = construct_module_sharding_plan(
        whole, {name: row_wise(compute_kernel=kernel) for name in names.values()}, sharder=sharder,
        local_size=n_here or n_processes, world_size=n_processes, device_type=device.device.type,
    )  # fmt: skip
    env = ShardingEnv.from_process_group(device.torch.distributed.group.WORLD)
    return sharder.shard(whole, plan, env, device.device)


def kernel_of(collection: Any) -> Any:
    """The FBGEMM operator that holds own rows and accumulators of all tables: alike in all, they share one."""
    (lookup,) = collection._lookups  # TorchRec has no public way to it
    (kernel,) = lookup._emb_modules
    return kernel.emb_module


@contextmanager
def summed_gradients() -> Iterator[None]:
    """Gradients of several processes add up; TorchRec divides them by the number of processes unless told not to."""
    from torchrec.distributed import comm_ops

    before = comm_ops.get_gradient_division()
    comm_ops.set_gradient_division(False)
    try:
        yield
    finally:
        comm_ops.set_gradient_division(before)


def import_torchrec() -> Any:
    """TorchRec, without the deprecation warnings that it and FBGEMM raise about each other while they are imported.

    Raises:
        MissingExtraError: it is not installed.
    """
    logging.getLogger("torch.fx._symbolic_trace").addFilter(_is_worth_saying)
    with warnings.catch_warnings():
        for message in _LOUD:
            warnings.filterwarnings("ignore", message=message)
        try:
            import torchrec
            import torchrec.distributed.embedding
        except ImportError as error:
            raise MissingExtraError('training in several processes needs: pip install "prismrec[cluster]"') from error
    return torchrec


def _is_worth_saying(record: logging.LogRecord) -> bool:
    """TorchRec asks torch whether it is being traced, and torch warns of that question in every process."""
    return "is_fx_tracing will return true" not in record.getMessage()


def _check(device: TorchDevice, settings: ShardingSettings, dim: int) -> None:
    if dim % 4:
        raise ConfigError(f"model.embedding_dim must be a multiple of 4 in several processes (FBGEMM), got {dim}")
    if device.is_cuda:
        return
    if settings.placement != "device":
        raise ConfigError(
            f'sharding.placement = "{settings.placement}" needs training.device = "cuda": without a GPU all rows are '
            'in main memory; set sharding.placement = "device"'
        )
    if settings.storage == "bf16":
        raise ConfigError(
            'sharding.storage = "bf16" needs training.device = "cuda": FBGEMM on the CPU has fp32 and fp16'
        )


__all__ = ["import_torchrec", "kernel_of", "sharded_collection", "summed_gradients"]
