"""Skip-gram speed against gensim and against the memory roof, and what a full M2GRL step costs beside its skip-gram.

    python benchmarks/bench_skipgram.py [--json PATH] [--items 100000] [--sequences 100000] [--threads 2]

One generated corpus for all: sequences of 20 items that mostly stay within one of 2,000 clusters, the last item held
out. Every trainer gets the same settings (dim 64, window 5 shrunk at random, 10 negatives by count^0.5, symmetric
contexts, two threads, equal epochs) and is scored alike: mean source vector of the last five items times the target
vectors, HR@50 over the whole catalogue. gensim reads the corpus from a file, which is its fastest way.

The roof is a loop that reads and writes the very rows that a pass touches and does nothing else.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from prismrec.data.prepared import PreparedData, View
from prismrec.data.sequences import Sequences
from prismrec.data.training_data import training_data
from prismrec.data.views import mapped
from prismrec.data.vocabulary import Vocabulary
from prismrec.graphs.negatives import build_alias_table, popularity_weights
from prismrec.models.contract import EmbeddingTable
from prismrec.models.m2grl.batches import SkipGramBatch, draw_intra_batch
from prismrec.models.m2grl.config import M2GRLConfig
from prismrec.models.m2grl.cpu import learn_skip_gram
from prismrec.models.m2grl.model import M2GRL

DIM, WINDOW, NEGATIVES, POWER = 64, 5, 10, 0.5
LENGTH, N_CLUSTERS, STAY = 20, 2_000, 0.9


@dataclass(frozen=True)
class Corpus:
    """Training sequences and the item that follows each."""

    train: Sequences
    targets: NDArray[np.int64]
    n_items: int

    @property
    def counts(self) -> NDArray[np.int64]:
        """(n_items,) occurrences in training."""
        return np.bincount(self.train.values, minlength=self.n_items)


def generate(n_items: int, n_sequences: int, seed: int = 0) -> Corpus:
    """Random walks over clusters of items; indices by falling count, as a vocabulary gives them."""
    rng = np.random.default_rng(seed)
    per_cluster = n_items // N_CLUSTERS
    weights = 1.0 / np.arange(1, per_cluster + 1)
    popular = 1.0 / np.arange(1, N_CLUSTERS + 1) ** 0.5
    cluster = rng.choice(N_CLUSTERS, n_sequences, p=popular / popular.sum())
    items = np.empty((n_sequences, LENGTH), np.int64)
    for place in range(LENGTH):
        moves = rng.random(n_sequences) > STAY
        cluster[moves] = rng.choice(N_CLUSTERS, moves.sum(), p=popular / popular.sum())
        items[:, place] = cluster * per_cluster + rng.choice(per_cluster, n_sequences, p=weights / weights.sum())
    order = np.argsort(-np.bincount(items[:, :-1].ravel(), minlength=n_items), kind="stable")
    index = np.empty(n_items, np.int64)
    index[order] = np.arange(n_items)
    items = index[items]
    train = Sequences.from_lengths(items[:, :-1].ravel(), np.full(n_sequences, LENGTH - 1))
    return Corpus(train, items[:, -1], n_items)


def hit_rate(corpus: Corpus, table: EmbeddingTable, k: int = 50, n_queries: int = 2_000) -> float:
    """HR@k of the held-out items of the first sequences; ties count against the target."""
    recent = corpus.train.values.reshape(-1, LENGTH - 1)[:n_queries, -5:]
    scores = table.source[recent].mean(axis=1) @ table.target.T
    own = scores[np.arange(n_queries), corpus.targets[:n_queries]]
    return float(((scores >= own[:, None]).sum(axis=1) <= k).mean())


def config(**changes: Any) -> M2GRLConfig:
    """The settings of every skip-gram here."""
    plain = {"embedding_dim": DIM, "window": WINDOW, "negatives": NEGATIVES, "negative_power": POWER}
    return M2GRLConfig(**{**plain, "context": "symmetric", "popularity_offset": False, **changes})


def run_prismrec(corpus: Corpus, epochs: int, threads: int) -> tuple[float, EmbeddingTable]:
    """Seconds of training, after the kernels are compiled, and the vectors."""
    data = prepared(corpus, {})
    fit(data, config(), 1, threads, steps=2)
    began = time.perf_counter()
    model = fit(data, config(), epochs, threads)
    return time.perf_counter() - began, model.tables()["item"]


def run_gensim(corpus: Corpus, epochs: int, threads: int) -> tuple[float, EmbeddingTable]:
    """Seconds of training, without reading the vocabulary, and the vectors."""
    from gensim.models import Word2Vec

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "corpus.txt"
        path.write_text("\n".join(" ".join(map(str, row)) for row in corpus.train.values.reshape(-1, LENGTH - 1)))
        model = Word2Vec(
            vector_size=DIM, window=WINDOW, negative=NEGATIVES, ns_exponent=POWER, sg=1, hs=0, sample=0, min_count=1,
            workers=threads, epochs=epochs, seed=0, alpha=0.05,
        )  # fmt: skip
        model.build_vocab(corpus_file=str(path))
        began = time.perf_counter()
        model.train(corpus_file=str(path), total_words=model.corpus_total_words, total_examples=None, epochs=epochs)
        seconds = time.perf_counter() - began
    rows = np.array([model.wv.key_to_index.get(str(item), -1) for item in range(corpus.n_items)])
    known = rows >= 0
    source, target = (np.zeros((corpus.n_items, DIM), np.float32) for _ in range(2))
    source[known], target[known] = model.wv.vectors[rows[known]], model.syn1neg[rows[known]]
    return seconds, EmbeddingTable(source, target)


def run_roof(corpus: Corpus, threads: int) -> tuple[float, float]:
    """Positive pairs per second of the row-moving loop and of our kernel alone, on the same batches, in turns."""
    numba.set_num_threads(threads)
    rng = np.random.default_rng(0)
    noise = build_alias_table(popularity_weights(corpus.counts, POWER))
    rows = rng.permutation(len(corpus.train))
    batches = [
        draw_intra_batch(corpus.train, part, config(), noise, (0, i)) for i, part in enumerate(np.array_split(rows, 8))
    ]
    source = rng.normal(0, 0.1, (corpus.n_items, DIM)).astype(np.float32)
    target = np.zeros_like(source)
    moved = source.copy(), target.copy()
    memories = [np.full(corpus.n_items, 0.1, np.float32) for _ in range(2)]
    offsets = np.zeros(corpus.n_items, np.float32)
    seconds = np.zeros(2)
    for turn in range(3):  # the first compiles and warms up
        for batch in batches:
            began = time.perf_counter()
            _move_rows(*moved, *batch, threads)
            middle = time.perf_counter()
            learn_skip_gram(source, target, memories[0], memories[1], offsets, batch, 0.3)
            if turn:
                seconds += (middle - began, time.perf_counter() - middle)
    n_pairs = 2 * sum(batch.n_pairs for batch in batches)
    return n_pairs / seconds[0], n_pairs / seconds[1]


@njit(parallel=True, fastmath=True, cache=True)
def _move_rows(source, target, anchors, context_offsets, contexts, negatives, n_chunks):  # type: ignore[no-untyped-def]
    """Read and write every row of a pass, as often and in the same order as the kernel must."""
    for chunk in prange(n_chunks):
        for i in range(anchors.shape[0] * chunk // n_chunks, anchors.shape[0] * (chunk + 1) // n_chunks):
            for d in range(DIM):
                source[anchors[i], d] += np.float32(1e-6)
            for j in range(context_offsets[i], context_offsets[i + 1]):
                for d in range(DIM):
                    target[contexts[j], d] += np.float32(1e-6)
            for k in range(negatives.shape[1]):
                for d in range(DIM):
                    target[negatives[i, k], d] += np.float32(1e-6)


def prepared(corpus: Corpus, groups: dict[str, int]) -> PreparedData:
    """The corpus as training data, with one side view of so many nodes per name."""
    items = Vocabulary.from_ids(list(range(corpus.n_items)), corpus.counts)
    views = {}
    for name, n_nodes in groups.items():
        nodes = Sequences.from_lengths(np.arange(corpus.n_items) % n_nodes, np.ones(corpus.n_items, np.int64))
        sessions = mapped(corpus.train, nodes)
        counts = np.bincount(sessions.values, minlength=n_nodes)
        views[name] = View(name, Vocabulary.from_ids(list(range(n_nodes)), counts), nodes, sessions)
    users = Vocabulary.from_ids(list(range(len(corpus.train))))
    return PreparedData(items, corpus.train, users, corpus.train, views)


def fit(data: PreparedData, chosen: M2GRLConfig, epochs: int, threads: int, steps: int = 0) -> M2GRL:
    """All steps of some epochs, or the first few of one."""
    model = M2GRL(chosen, training_data(data, chosen.sequences), learning_rate=0.3, n_threads=threads)
    n = model.steps_per_epoch * epochs
    for number in range(steps or n):
        model.step(number // model.steps_per_epoch, number % model.steps_per_epoch, number / n)
    return model


def measure_step(corpus: Corpus, threads: int) -> dict[str, float]:
    """Seconds of an epoch of three intra-view tasks, and of these with two inter-view tasks."""
    data = prepared(corpus, {"category": 2_000, "shop": 5_000})
    seconds = {}
    for name, aligned in (("intra", False), ("full", True)):
        fit(data, config(alignment=aligned), 1, threads, steps=2)
        began = time.perf_counter()
        fit(data, config(alignment=aligned), 1, threads)
        seconds[name] = time.perf_counter() - began
    return {
        "intra_seconds": seconds["intra"],
        "full_seconds": seconds["full"],
        "ratio": seconds["full"] / seconds["intra"],
    }


def pairs_of(corpus: Corpus) -> int:
    """Positive pairs of one epoch."""
    noise = build_alias_table(popularity_weights(corpus.counts, POWER))
    batch: SkipGramBatch = draw_intra_batch(corpus.train, np.arange(len(corpus.train)), config(), noise, (0,))
    return batch.n_pairs


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--sequences", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    corpus = generate(options.items, options.sequences)
    n_pairs = pairs_of(corpus) * options.epochs
    rounds = []
    for _ in range(options.rounds):  # in turns, so that a busy moment of the machine meets both
        own_seconds, own = run_prismrec(corpus, options.epochs, options.threads)
        rival_seconds, rival = run_gensim(corpus, options.epochs, options.threads)
        rounds.append((own_seconds, rival_seconds))
    own_seconds, rival_seconds = np.median(rounds, axis=0).tolist()
    ratios = sorted(second / first for first, second in rounds)
    roof, kernel = run_roof(corpus, options.threads)
    result = {
        "pairs_per_second": {"prismrec": n_pairs / own_seconds, "gensim": n_pairs / rival_seconds},
        "hr_at_50": {"prismrec": hit_rate(corpus, own), "gensim": hit_rate(corpus, rival)},
        "times_gensim": ratios[len(ratios) // 2],
        "times_gensim_by_round": ratios,
        "roof_pairs_per_second": roof,
        "kernel_pairs_per_second": kernel,
        "share_of_roof": kernel / roof,
        "m2grl_step": measure_step(corpus, options.threads),
        "items": options.items, "sequences": options.sequences, "threads": options.threads, "epochs": options.epochs,
    }  # fmt: skip
    table = Table(title=f"Skip-gram, {options.items:,} items, dim {DIM}, window {WINDOW}, {NEGATIVES} negatives")
    for column in ("trainer", "M pairs/s", "HR@50", "times gensim"):
        table.add_column(column, justify="right")
    for name in ("prismrec", "gensim"):
        speed = result["pairs_per_second"][name]
        ratio = f"{result['times_gensim']:.1f}" if name == "prismrec" else "1.0"
        table.add_row(name, f"{speed / 1e6:.2f}", f"{result['hr_at_50'][name]:.4f}", ratio)
    table.add_row("kernel alone", f"{kernel / 1e6:.2f}", "", "")
    table.add_row("roof: moving the rows", f"{roof / 1e6:.2f}", "", "")
    console = Console()
    console.print(table)
    console.print(
        f"kernel: {kernel / roof:.0%} of the roof; full M2GRL step: {result['m2grl_step']['ratio']:.2f} x its skip-gram"
    )
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
