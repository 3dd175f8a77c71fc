"""Time and memory of an evaluation: every user of MovieLens-1M, the full catalogue, all metrics at 10, 20 and 50.

    python benchmarks/bench_evaluation.py [--ratings PATH] [--json PATH]

PATH is a Parquet file with user_id, movie_id, timestamp and pos (the place in the user's own order). The recommender is
one matrix product (recency-weighted history times item factors, dim 64), as every embedding model scores; its factors
are the singular vectors of "b follows a within 5 steps" counts, so that the figures mean something. The aim: split,
mapping, scoring, ranking and measuring together in under 10 s and 1 GB.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import dataclass
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import sparse
from scipy.sparse.linalg import svds

from prismrec.data import engine
from prismrec.data.schema import ITEM_ID, ROW, TIMESTAMP, USER_ID, Interactions
from prismrec.data.sequences import Sequences
from prismrec.data.splits import Split, SplitSettings, next_item
from prismrec.data.vocabulary import Vocabulary
from prismrec.evaluation.lists import Catalogue
from prismrec.evaluation.protocols import EvaluationSettings, Results, evaluate, queries_from
from prismrec.evaluation.tables import Experiment, compare, rich_table
from prismrec.models.contract import Recommender

RATINGS = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "ml-1m" / "ratings.parquet"
DIM, WINDOW, DECAY, N_CLASSES = 64, 5, 0.8, 18


@dataclass(frozen=True)
class Popularity:
    """Every query gets the same scores."""

    counts: NDArray[np.int64]

    def score(self, histories: Sequences) -> NDArray[np.float32]:
        return np.tile(self.counts.astype(np.float32), (len(histories), 1))


@dataclass(frozen=True)
class Factors:
    """A recency-weighted sum of the history's source vectors, times the target vectors."""

    source: NDArray[np.float32]
    target: NDArray[np.float32]

    def score(self, histories: Sequences) -> NDArray[np.float32]:
        age = np.repeat(histories.offsets[1:], histories.lengths) - 1 - np.arange(len(histories.values))
        weights = (np.float32(DECAY) ** np.minimum(age, 100)).astype(np.float32)
        shape = (len(histories), len(self.source))
        queries = sparse.csr_matrix((weights, histories.values, histories.offsets), shape=shape) @ self.source
        scores: NDArray[np.float32] = queries @ self.target.T
        return scores


def read(path: Path) -> Interactions:
    """The ratings as a click log in each user's own order."""
    table = pq.read_table(path).sort_by([("user_id", "ascending"), ("pos", "ascending")])
    columns = {
        USER_ID: table["user_id"],
        ITEM_ID: table["movie_id"],
        TIMESTAMP: np.asarray(table["timestamp"]) * 1_000_000,
        ROW: np.arange(1, len(table) + 1),
    }
    return Interactions(engine.register(engine.connect(), pa.table(columns)))


def vocabulary_of(split: Split) -> Vocabulary:
    """Training items by falling count."""
    table = split.train.table
    by_item = table.group_by(ITEM_ID).aggregate(n=table.count()).order_by([ibis.desc("n"), ITEM_ID])
    counts = engine.arrow(by_item)
    return Vocabulary.from_ids(counts[ITEM_ID].combine_chunks(), counts["n"].to_numpy())


def follow_factors(histories: Sequences, n_items: int) -> Factors:
    """Singular vectors of the log counts of pairs (earlier, later), divided by the square root of popularity."""
    values, owners = histories.values, np.repeat(np.arange(len(histories)), histories.lengths)
    pairs = sparse.csr_matrix((n_items, n_items), dtype=np.float64)
    for step in range(1, WINDOW + 1):
        same = owners[step:] == owners[:-step]
        places = (values[:-step][same], values[step:][same])
        pairs += sparse.coo_matrix((np.ones(same.sum()), places), shape=(n_items, n_items)).tocsr()
    later = np.sqrt(np.asarray(pairs.sum(axis=0)).ravel() + 1)
    earlier = np.sqrt(np.asarray(pairs.sum(axis=1)).ravel() + 1)
    scaled = sparse.diags(1 / earlier) @ pairs @ sparse.diags(1 / later)
    left, strength, right = svds(scaled, k=DIM, random_state=0)
    root = np.sqrt(strength)
    popular = np.sqrt(later)[:, None]
    return Factors((left * root).astype(np.float32), (right.T * root * popular).astype(np.float32))


def peak_mb() -> float:
    """Highest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def measure(path: Path) -> tuple[dict[str, float], dict[str, Results], EvaluationSettings]:
    """Seconds of each part, and the results."""
    seconds: dict[str, float] = {}
    settings = EvaluationSettings(exclude_seen=True)

    def timed(name: str, began: float) -> None:
        seconds[name] = time.perf_counter() - began

    interactions = read(path)
    began = time.perf_counter()
    split = next(next_item(interactions, SplitSettings()))
    timed("split", began)

    vocabulary = vocabulary_of(split)
    began = time.perf_counter()
    queries = queries_from(split.queries, vocabulary, settings.exclude_seen)
    timed("ids to indices", began)

    rng = np.random.default_rng(0)  # stand-in genres: as many per film as MovieLens has, 1 to 3 of 18
    genres = Sequences.from_lists([rng.choice(N_CLASSES, rng.integers(1, 4), replace=False) for _ in vocabulary.counts])
    catalogue = Catalogue(vocabulary.counts, {"genre": genres})
    factors = follow_factors(queries.histories, len(vocabulary))
    models: dict[str, Recommender] = {"popularity": Popularity(vocabulary.counts), "factors": factors}
    results = {}
    for name, model in models.items():
        began = time.perf_counter()
        results[name] = evaluate(model, queries, settings, catalogue)
        timed(f"evaluate {name}", began)
        seconds[f"evaluate {name}: of it scoring"] = results[name].score_seconds
    return seconds, results, settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ratings", type=Path, default=RATINGS)
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    seconds, results, settings = measure(arguments.ratings)
    memory = peak_mb()
    began = time.perf_counter()
    experiment = Experiment("MovieLens-1M", "next_item", baselines=("popularity",))
    comparison = compare(results, experiment, settings)
    seconds["all intervals and p-values"] = time.perf_counter() - began

    table = Table("part", "seconds", title=f"Evaluation; peak memory {memory:.0f} MB")
    for name, value in seconds.items():
        table.add_row(name, f"{value:.2f}")
    console = Console()
    console.print(table)
    console.print(rich_table(comparison))
    if arguments.json:
        figures = {"seconds": seconds, "peak_mb": memory}
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
