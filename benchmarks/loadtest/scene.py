"""The stage of a soak: two bundles that share most of their items, users, and items that will change.

Catalogues are so small that every search is exact whatever the index: what must be answered is then known for sure.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from loadtest.catalogue import Shape, catalogue
from loadtest.ledger import Ledger
from loadtest.oracle import Oracle
from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.index.settings import IndexSettings
from prismrec.serving.releases.files import fingerprint_of

N_ITEMS = 3_000
N_CHANGING = 40
"""How many items of the bundles will change, and how many new ones will come and go."""

_SHAPES = [Shape(N_ITEMS, n_categories=40, n_shops=100, n_clusters=60, dim=16, seed=seed) for seed in range(2)]


@dataclass(frozen=True)
class Scene:
    """What is there before anything happens.

    Attributes:
        bundles: their folders.
        oracles: by fingerprint of a bundle.
        ledger: knows the users, and the items that will change.
        users, categories: ids; the categories are those of both bundles.
        steady: items that will not change; `common` are those of them that are in both bundles.
        changing: items that will, some of them new.
    """

    bundles: tuple[Path, Path]
    oracles: dict[str, Oracle]
    ledger: Ledger
    users: list[str]
    categories: list[str]
    steady: list[str]
    common: list[str]
    changing: list[str]

    @classmethod
    def set_up(cls, folder: Path, n_users: int) -> Scene:
        """Write the bundles "a" and "b" into a folder."""
        ids = [[f"sku/{i:05d}" for i in range(first, first + N_ITEMS)] for first in (0, N_ITEMS // 10)]
        index = IndexSettings(kind="scan", recall_floor=0)
        bundles = [
            Bundle.write(folder / name, catalogue(shape, own, index))
            for name, shape, own in zip("ab", _SHAPES, ids, strict=True)
        ]
        shared = sorted(set(ids[0]) & set(ids[1]))
        changed = shared[:: len(shared) // N_CHANGING]
        added = [f"new/{i}" for i in range(N_CHANGING)]
        users = [f"user {i}" for i in range(n_users)]
        ledger = Ledger()
        ledger.begin(users, {**dict.fromkeys(changed, 0), **dict.fromkeys(added)})
        return cls(
            bundles=(bundles[0].path, bundles[1].path),
            oracles={fingerprint_of(bundle.path): Oracle(bundle, ledger) for bundle in bundles},
            ledger=ledger,
            users=users,
            categories=[f"category {i}" for i in range(_SHAPES[0].n_categories)],
            steady=sorted({*ids[0], *ids[1]} - set(changed)),
            common=sorted(set(shared) - set(changed)),
            changing=[*changed, *added],
        )


__all__ = ["N_CHANGING", "N_ITEMS", "Scene"]
