"""How much the tags of Last.FM give away: held-out plays found by tags alone, with each user's own tags and without.

    python benchmarks/bench_tag_leak.py [--folder FOLDER] [--json PATH]

FOLDER holds the files of HetRec 2011 Last.FM. A fifth of each user's artists is held out at random. A recommender that
knows tags alone ranks all other artists by the product of their tags (rare ones count more) with those of the artists
that are left to the user. Users tag what they listen to: where recall falls once the tags that the user gave are taken
away, with everyone else's left, the tags had told of the held-out plays.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

LASTFM = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "lastfm-hetrec"
K = 10
RULES = ((1, 20), (1, 10**6), (2, 20), (2, 10**6), (3, 20))
"""(users who must have given a tag, tags that an artist keeps); (2, 20) is that of the catalog."""


class Tags:
    """Who gave which artist which tag, under one rule; artists and tags are counted through."""

    def __init__(self, rows: NDArray[np.int64], n_artists: int, n_users_of_tag: int, n_kept: int) -> None:
        """`rows` is (n, 3): user, artist, tag."""
        self._rule = n_users_of_tag, n_kept
        self._counts: dict[int, Counter[int]] = defaultdict(Counter)
        self._own: dict[int, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
        for user, artist, tag in rows.tolist():
            self._counts[artist][tag] += 1
            self._own[user][artist].add(tag)
        kept = {artist: self._kept(counts) for artist, counts in self._counts.items()}
        n_artists_of_tag = np.bincount([t for tags in kept.values() for t in tags], minlength=rows[:, 2].max() + 1)
        self._idf = np.log((1 + n_artists) / (1 + n_artists_of_tag))
        self.n_edges = int(n_artists_of_tag.sum())
        self.vectors = self._matrix(kept, n_artists)

    def without(self, user: int) -> sp.csr_array:
        """(n_artists, n_tags): the artists' vectors had this user never tagged anything."""
        changed = {artist: self._kept(self._counts[artist] - Counter(tags)) for artist, tags in self._own[user].items()}
        stay = np.ones(self.vectors.shape[0])
        stay[list(changed)] = 0.0
        return sp.csr_array(sp.diags_array(stay) @ self.vectors + self._matrix(changed, len(stay)))

    def _kept(self, counts: Mapping[int, int]) -> list[int]:
        least, most = self._rule
        return sorted((t for t in counts if counts[t] >= least), key=lambda tag: (-counts[tag], tag))[:most]

    def _matrix(self, kept: Mapping[int, Iterable[int]], n_artists: int) -> sp.csr_array:
        """Rows of unit length."""
        pairs = [(artist, tag) for artist, tags in kept.items() for tag in tags]
        artists, tags = np.array(pairs, np.int64).reshape(-1, 2).T
        matrix = sp.csr_array((self._idf[tags], (artists, tags)), shape=(n_artists, len(self._idf)))
        norms = np.sqrt(matrix.multiply(matrix).sum(axis=1))
        return sp.csr_array(sp.diags_array(1 / np.maximum(norms, 1e-12)) @ matrix)


def recall(vectors: sp.csr_array, left: NDArray[np.int64], held: NDArray[np.int64]) -> float:
    """The share of the held-out artists, of K at most, among the K best that the user is not known to play."""
    scores = vectors @ np.asarray(vectors[left].sum(axis=0)).ravel()
    scores[left] = -1.0
    return float(np.isin(held, np.argpartition(-scores, K)[:K]).sum() / min(K, len(held)))


def measure(folder: Path, seed: int = 0) -> list[dict[str, float]]:
    """Recall under every rule, over all users of whom something is held out."""
    plays = np.loadtxt(folder / "user_artists.dat", np.int64, skiprows=1)[:, :2]
    rows = np.loadtxt(folder / "user_taggedartists.dat", np.int64, skiprows=1)[:, :3]
    artists = np.unique(plays[:, 1])
    rows = rows[np.isin(rows[:, 1], artists)]
    rows[:, 1] = np.searchsorted(artists, rows[:, 1])
    rng, parts = np.random.default_rng(seed), {}
    for user in np.unique(plays[:, 0]).tolist():
        own = rng.permutation(np.searchsorted(artists, plays[plays[:, 0] == user, 1]))
        if len(own) >= 5:
            parts[user] = own[len(own) // 5 :], own[: len(own) // 5]
    found = []
    for least, most in RULES:
        tags = Tags(rows, len(artists), least, most)
        given = [recall(tags.vectors, *part) for part in parts.values()]
        taken = [recall(tags.without(user), *part) for user, part in parts.items()]
        found.append(
            {
                "users_of_tag": least, "tags_kept": most, "pairs": tags.n_edges, "users": len(parts),
                "recall": float(np.mean(given)), "recall_without_own_tags": float(np.mean(taken)),
            }
        )  # fmt: skip
    return found


def main() -> None:
    """Print one table; write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=LASTFM, help="the files of HetRec 2011 Last.FM")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    found = measure(arguments.folder)
    table = Table("tag counts from", "tags kept", "artist-tag pairs", f"recall@{K}", "without own tags", "leak")
    for row in found:
        leak = row["recall"] / row["recall_without_own_tags"] - 1
        kept = "all" if row["tags_kept"] >= 10**6 else f"{row['tags_kept']}"
        table.add_row(
            f"{row['users_of_tag']} or more users", kept, f"{row['pairs']:,}", f"{row['recall']:.4f}",
            f"{row['recall_without_own_tags']:.4f}", f"{leak:+.1%}",
        )  # fmt: skip
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
