"""Why a worker ended early, told through files: its exit code tells torchrun only whether to start it again.

An error that would come again (a setting, the data) is no reason to start again, and neither is a signal that asked
training to stop: such a worker ends like one that is done, and leaves a note.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from prismrec import errors
from prismrec.errors import CrewError, PrismRecError

_KINDS: dict[str, type[PrismRecError]] = {
    kind.__name__: kind
    for kind in (
        errors.ArtifactError, errors.ConfigError, errors.CrewError, errors.DataError, errors.MissingExtraError,
        errors.NotFittedError, errors.ResourceError, errors.TrainingError, errors.UnknownIdError,
    )
}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """The early end of a worker.

    Attributes:
        kind: the class of the error; "TrainingInterrupted" for a signal.
        signal_number: which signal; 0 where it was none.
    """

    rank: int
    kind: str
    message: str
    signal_number: int = 0

    def write(self, folder: Path) -> None:
        """Leave it for the launcher."""
        _file_of(folder, self.rank).write_text(json.dumps(asdict(self)))

    def error(self) -> PrismRecError:
        """The error again."""
        return _KINDS.get(self.kind, CrewError)(self.message)


def forget_outcome(folder: Path, rank: int) -> None:
    """A worker that is started again has not ended: what it left before no longer holds."""
    _file_of(folder, rank).unlink(missing_ok=True)


def read_outcomes(folder: Path) -> list[Outcome]:
    """All outcomes, those that tell the cause first: an error, a signal, and last those who only lost the others."""
    found = [Outcome(**json.loads(path.read_text())) for path in sorted(folder.glob("outcome-*.json"))]
    return sorted(found, key=lambda outcome: (outcome.kind == "CrewError", outcome.signal_number, outcome.rank))


def _file_of(folder: Path, rank: int) -> Path:
    return folder / f"outcome-{rank}.json"


__all__ = ["Outcome", "forget_outcome", "read_outcomes"]
