"""Training data as a folder of Parquet shards: written stage by stage on the engine, read by any number of trainers.

Reading needs no engine; `prepare_sharded` is in `sharded.preparation`.
"""

from __future__ import annotations

from prismrec.data.sharded.layout import is_sharded
from prismrec.data.sharded.reader import open_prepared, read_shards
from prismrec.data.sharded.whole import read_whole

__all__ = ["is_sharded", "open_prepared", "read_shards", "read_whole"]
