"""What was measured before: a long comparison that ends early loses one contender, not all of them.

Each contender and fold has a file of its own, under a name that changes with all that it depends on: its settings, the
data it learned from, the queries it was asked, and the code of PrismRec.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

import prismrec
from prismrec.contenders.arena import Arena, FoldTrial, Learned, Side, varied
from prismrec.contenders.table import M2GRL, VARIANTS
from prismrec.data.sequences import Sequences
from prismrec.evaluation.protocols import Results
from prismrec.evaluation.result_files import read_results, write_results
from prismrec.fitting import fingerprint_of
from prismrec.settings import Settings
from prismrec.training.identity import WITHOUT_EFFECT, fingerprint, identity_of

ResultT = TypeVar("ResultT")


class Kept(Protocol[ResultT]):
    """Results of contenders that were measured before."""

    def find(self, name: str) -> tuple[ResultT, FoldTrial] | None:
        """Those of a contender; None where there are none."""
        ...

    def keep(self, name: str, results: ResultT, trial: FoldTrial) -> None:
        """Keep what was measured."""
        ...


class KeptResults:
    """Results of the contenders of one arena, in a folder."""

    def __init__(self, folder: Path, arena: Arena) -> None:
        """Bind the folder; it is made when something is kept."""
        self._place = KeptFiles(folder, arena.settings, _sides(arena))

    def find(self, name: str) -> tuple[Results, FoldTrial] | None:
        """What was kept of a contender under these very settings; None where nothing was.

        Raises:
            ArtifactError: the file is damaged.
        """
        path = self._place.of(name)
        if not path.exists():
            return None
        results, told = read_results(path)
        return results, trial_of(told)

    def keep(self, name: str, results: Results, trial: FoldTrial) -> None:
        """Keep what was measured."""
        write_results(self._place.made(name), results, asdict(trial))


class KeptFiles:
    """Where the results of contenders lie: under the code, the settings, and what else they depend on."""

    def __init__(self, folder: Path, settings: Settings, asked: Mapping[str, str]) -> None:
        """Bind the folder, and digests of what is learned from and asked."""
        self._folder = folder
        self._settings = settings
        self._asked = {"code": code_digest(), **asked}

    def of(self, name: str) -> Path:
        """The file of a contender, which may not be there."""
        identity = {**self._asked, **contender_identity(name, self._settings)}
        return self._folder / f"{name}-{fingerprint(identity)[:16]}.parquet"

    def made(self, name: str) -> Path:
        """The same, to be written: its folder is there."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self.of(name)


def trial_of(told: dict[str, Any]) -> FoldTrial:
    """The trial that `asdict` gave; `told` loses what it says of learning."""
    learned = told.pop("learned")
    return FoldTrial(**told, learned=learned and Learned(**learned))


@cache
def code_digest(package: Path = Path(prismrec.__file__).parent) -> str:
    """A digest of every Python file of a package: when any of them changes, everything is measured again."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def contender_identity(name: str, settings: Settings) -> dict[str, str]:
    """The settings that a contender depends on."""
    own = identity_of(settings.evaluation, "evaluation")
    if name not in VARIANTS:
        return own | identity_of(getattr(settings.baselines, name), name)
    chosen = varied(settings, VARIANTS[name])
    config = chosen.model if chosen.algorithm == M2GRL else getattr(chosen.models, chosen.algorithm)
    own |= {"algorithm": chosen.algorithm, "views": ",".join(chosen.views), "control": chosen.knowledge.control}
    own |= identity_of(config, "model") | identity_of(chosen.training, "training") | identity_of(chosen.query, "query")
    return {name: value for name, value in own.items() if name not in WITHOUT_EFFECT}


def _sides(arena: Arena) -> dict[str, str]:
    """Digests of what is learned from, and of what is asked."""
    sides = {"validation": arena.validation, "test": arena.test}
    data = {f"data.{name}": fingerprint_of(side.data) for name, side in sides.items()}
    return data | {f"queries.{name}": _queries_digest(side) for name, side in sides.items()}


def _queries_digest(side: Side) -> str:
    return rows_digest(str(side.queries.exclude_seen).encode(), side.queries.histories, side.queries.truths)


def rows_digest(beginning: bytes, *several: Sequences) -> str:
    """A digest of bytes and ragged rows."""
    digest = hashlib.sha256(beginning)
    for rows in several:
        digest.update(rows.values.tobytes())
        digest.update(rows.offsets.tobytes())
    return digest.hexdigest()


__all__ = [
    "Kept",
    "KeptFiles",
    "KeptResults",
    "ResultT",
    "code_digest",
    "contender_identity",
    "rows_digest",
    "trial_of",
]
