"""Results on disk: the same rows and totals come back, and what is no such file is told apart."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prismrec.errors import ArtifactError
from prismrec.evaluation.protocols import EvaluationSettings, Results
from prismrec.evaluation.result_files import read_results, write_results
from prismrec.evaluation.tables import Experiment, compare, to_json

N = 300


def results(seed, clusters=None):
    rng = np.random.default_rng(seed)
    return Results(
        values={"HR@10": rng.integers(0, 2, N).astype(float), "AUC": rng.random(N)},
        totals={"coverage@10": rng.random(), "gini@10": rng.random()},
        clusters=pa.array([f"u{n // 2}" for n in range(N)]) if clusters is None else clusters,
        slices={"all": np.ones(N, np.bool_), "rare": rng.random(N) < 0.2},
        counts={"queries": N, "targets": N, "unknown_targets": 3, "seen_targets": 0, "empty_truths": 1},
        n_items=500,
        exclude_seen=True,
        score_seconds=0.1 + 0.2,
        rank_seconds=1e-9,
    )


def test_results_come_back_bit_for_bit(tmp_path):
    before = results(1)
    write_results(tmp_path / "mf.parquet", before, {"validation": 0.25, "chosen": {"decay": 1}})
    after, told = read_results(tmp_path / "mf.parquet")
    assert told == {"validation": 0.25, "chosen": {"decay": 1}}
    for name in ("values", "slices"):
        left, right = getattr(before, name), getattr(after, name)
        assert list(left) == list(right)
        for key, column in left.items():
            assert column.dtype == right[key].dtype
            np.testing.assert_array_equal(column, right[key])
    assert after.clusters.equals(before.clusters)
    for name in ("totals", "counts", "n_items", "exclude_seen", "score_seconds", "rank_seconds"):
        assert getattr(after, name) == getattr(before, name), name


@pytest.mark.parametrize(
    "ids", [pa.array(range(N), pa.int64()), pa.array([b"%016d" % n for n in range(N)], pa.binary(16))]
)
def test_ids_of_users_keep_their_type(tmp_path, ids):
    write_results(tmp_path / "mf.parquet", results(1, ids), {})
    assert read_results(tmp_path / "mf.parquet")[0].clusters.equals(ids)


def test_what_is_kept_is_compared_with_what_is_not(tmp_path):
    write_results(tmp_path / "knn.parquet", results(1), {})
    kept = read_results(tmp_path / "knn.parquet")[0]
    experiment, settings = Experiment("shop", "next_item", ("knn",)), EvaluationSettings(n_resamples=200)
    mixed, fresh = (compare({"knn": knn, "mf": results(2)}, experiment, settings) for knn in (kept, results(1)))
    assert to_json(mixed) == to_json(fresh)


@pytest.mark.parametrize("content", [b"", b"no parquet", None])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    path = tmp_path / "mf.parquet"
    if content is None:
        pq.write_table(pa.table({"cluster": [1]}), path)
    else:
        path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"mf\.parquet does not hold results of an evaluation: .*; remove it"):
        read_results(path)
