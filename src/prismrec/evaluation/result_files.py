"""Results of one recommender as one Parquet file: a row per query, what holds for all of them beside it as JSON.

Comparisons are paired, query by query: what was measured on one day is compared with what is measured on another only
through these rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from prismrec.errors import ArtifactError
from prismrec.evaluation.protocols import Results
from prismrec.files import whole_file

_TOLD = b"prismrec"
_OF_ALL = ("totals", "counts", "n_items", "exclude_seen", "score_seconds", "rank_seconds")
_VALUE, _SLICE, _CLUSTER = "value:", "slice:", "cluster"


def write_results(path: Path, results: Results, told: Mapping[str, Any]) -> None:
    """Write results, whole or not at all.

    Args:
        path: of the file; one that is there is replaced.
        results: what was measured.
        told: JSON values to keep with them.
    """
    columns: dict[str, Any] = {_CLUSTER: results.clusters}
    columns |= {f"{_VALUE}{name}": values for name, values in results.values.items()}
    columns |= {f"{_SLICE}{name}": mask for name, mask in results.slices.items()}
    of_all = {name: getattr(results, name) for name in _OF_ALL}
    table = pa.table(columns).replace_schema_metadata({_TOLD: json.dumps({"results": of_all, "told": dict(told)})})
    with whole_file(path) as place:
        pq.write_table(table, place, compression="zstd")


def read_results(path: Path) -> tuple[Results, dict[str, Any]]:
    """What `write_results` wrote: the results, and what was told with them.

    Raises:
        ArtifactError: the file is damaged, or is something else.
    """
    try:
        table = pq.read_table(path)
        document = json.loads((table.schema.metadata or {})[_TOLD])
        results = Results(
            values=_columns(table, _VALUE),
            slices=_columns(table, _SLICE),
            clusters=table[_CLUSTER].combine_chunks(),
            **document["results"],
        )
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{path} does not hold results of an evaluation: {error}; remove it") from error
    return results, document["told"]


def _columns(table: pa.Table, prefix: str) -> dict[str, Any]:
    names = [name for name in table.column_names if name.startswith(prefix)]
    return {name.removeprefix(prefix): table[name].to_numpy() for name in names}


__all__ = ["read_results", "write_results"]
