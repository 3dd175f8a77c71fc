"""Which engine prepares the data, and what it may use: the sections `[duckdb]` and `[spark]`.

Both engines give equal results, so none of this is part of what a bundle is made of.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from prismrec.config import Section

EngineName = Literal["duckdb", "spark"]


class DuckDBSettings(Section):
    """What DuckDB may use of this machine."""

    memory_limit: str = Field(
        default="", description="what DuckDB may hold before it spills to disk, such as 2GB; empty = its own default"
    )
    threads: int = Field(default=0, ge=0, description="worker threads; 0 = all cores")


class SparkSettings(Section):
    """Where Spark runs and what it may use."""

    master: str = Field(default="local[*]", description="master address: local[N], spark://host:7077, yarn, k8s://...")
    memory: str = Field(
        default="4g",
        pattern=r"^[1-9][0-9]*[kmgtKMGT]$",
        description="memory of the driver and of each executor, such as 4g",
    )
    work_folder: str = Field(
        default="",
        description="folder for what lies between two stages, on a disk that every executor sees under this path; "
        "empty = the temporary folder of this machine, for a local master",
    )
    settings: dict[str, str] = Field(default_factory=dict, description="further settings of Spark, spark.* = text")

    @field_validator("settings")
    @classmethod
    def _spark_keys(cls, settings: dict[str, str]) -> dict[str, str]:
        """A key that is not Spark's would be ignored by Spark without a word."""
        for key in settings:
            if not key.startswith("spark."):
                raise ValueError(f"{key!r} is no setting of Spark: its settings begin with 'spark.'")
        return settings

    @property
    def is_local(self) -> bool:
        """Whether driver and executors are one process on this machine."""
        return self.master.startswith("local")


__all__ = ["DuckDBSettings", "EngineName", "SparkSettings"]
