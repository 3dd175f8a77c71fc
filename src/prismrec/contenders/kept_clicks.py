"""What was measured before under `click`: one file per contender and deal, as `kept` has it for rankings.

A file holds the scores of the test pairs; its name changes with all that these depend on: the settings of the
contender, the data it learned from, the pairs it was asked, and the code of PrismRec.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from prismrec.contenders.arena import FoldTrial
from prismrec.contenders.kept import KeptFiles, rows_digest, trial_of
from prismrec.data.prepared import PreparedData
from prismrec.errors import ArtifactError
from prismrec.evaluation.clicks import ClickQueries, ClickResults
from prismrec.files import whole_file
from prismrec.fitting import fingerprint_of
from prismrec.settings import Settings

_TOLD = b"prismrec"
_OF_ALL = ("scale", "threshold", "validation", "score_seconds")


class KeptClicks:
    """Results of the contenders of one deal, in a folder."""

    def __init__(
        self, folder: Path, settings: Settings, data: PreparedData, validation: ClickQueries, test: ClickQueries
    ) -> None:
        """Bind the folder, which is made when something is kept, and the deal."""
        self._test = test
        asked = {"data": fingerprint_of(data), "validation": _digest(validation), "test": _digest(test)}
        self._place = KeptFiles(folder, settings, asked)

    def find(self, name: str) -> tuple[ClickResults, FoldTrial] | None:
        """What was kept of a contender under these very settings; None where nothing was.

        Raises:
            ArtifactError: the file is damaged, or is something else.
        """
        path = self._place.of(name)
        if not path.exists():
            return None
        try:
            table = pq.read_table(path)
            document: dict[str, Any] = json.loads((table.schema.metadata or {})[_TOLD])
            trial = trial_of(document["trial"])
            results = ClickResults(self._test, table["score"].to_numpy(), **document["results"])
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{path} does not hold scores of pairs: {error}; remove it") from error
        return results, trial

    def keep(self, name: str, results: ClickResults, trial: FoldTrial) -> None:
        """Keep what was measured."""
        document = {"results": {field: getattr(results, field) for field in _OF_ALL}, "trial": asdict(trial)}
        table = pa.table({"score": results.scores}).replace_schema_metadata({_TOLD: json.dumps(document)})
        with whole_file(self._place.made(name)) as place:
            pq.write_table(table, place, compression="zstd")


def _digest(queries: ClickQueries) -> str:
    return rows_digest(queries.labels.tobytes(), queries.histories, queries.candidates)


__all__ = ["KeptClicks"]
