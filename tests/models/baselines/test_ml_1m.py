"""The numbers that were measured elsewhere on MovieLens-1M, from these implementations."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.models.baselines import BaselinesConfig, CooccurrenceConfig, ItemKNNConfig, build_baseline

RATINGS = Path(__file__).parents[3] / ".." / "shared" / "data" / "ml-1m" / "ratings.parquet"


@pytest.fixture(scope="module")
def leave_last_out():
    """Training data without each user's last film, and that film."""
    if not RATINGS.exists():
        pytest.skip(f"MovieLens-1M is not at {RATINGS}")
    table = pq.read_table(RATINGS, columns=["user_id", "movie_id", "pos"]).sort_by(
        [("user_id", "ascending"), ("pos", "ascending")]
    )
    users, movies = (table.column(name).to_numpy() for name in ("user_id", "movie_id"))
    ids, items = np.unique(movies, return_inverse=True)
    last = np.append(users[1:] != users[:-1], True)
    histories = Sequences.from_lengths(items[~last], np.unique(users[~last], return_counts=True)[1])
    counts = np.bincount(histories.values, minlength=len(ids))
    data = PreparedData(Vocabulary.from_ids(ids, counts), histories, Vocabulary.from_ids(np.unique(users)), histories)
    return data, items[last]


def hit_rates(model, data, targets):
    """HR@10 and HR@50 over the full catalogue, seen items excluded, ties against the target."""
    scores = model.score(data.histories)
    scores[np.repeat(np.arange(len(scores)), data.histories.lengths), data.histories.values] = -np.inf
    own = scores[np.arange(len(scores)), targets]
    ranks = (scores >= own[:, None]).sum(axis=1)
    return (ranks <= 10).mean(), (ranks <= 50).mean()


@pytest.mark.parametrize(
    ("name", "config", "expected"),
    [
        ("popularity", BaselinesConfig(), (0.036, 0.140)),
        ("item_knn", BaselinesConfig(item_knn=ItemKNNConfig(neighbours=5000)), (0.153, 0.334)),
        ("cooccurrence", BaselinesConfig(), (0.253, 0.483)),
        (
            "cooccurrence",
            BaselinesConfig(cooccurrence=CooccurrenceConfig(history_length=20, recency_decay=0.8)),
            (0.266, 0.500),
        ),
    ],
)
def test_hit_rates_are_those_measured_before(leave_last_out, name, config, expected):
    data, targets = leave_last_out
    model = build_baseline(name, config).fit(data)
    np.testing.assert_allclose(hit_rates(model, data, targets), expected, atol=0.001)


def test_ease_with_a_recent_query_beats_item_knn(leave_last_out):
    data, targets = leave_last_out
    hit_rate_10, hit_rate_50 = hit_rates(build_baseline("ease", BaselinesConfig()).fit(data), data, targets)
    assert hit_rate_10 > 0.21
    assert hit_rate_50 > 0.45
