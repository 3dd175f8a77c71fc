"""Candidates through faiss: the best are among them, masks hold, files are mapped, and damage is named."""

import sys
import threading
from pathlib import Path

import faiss
import numpy as np
import pytest

from prismrec.data import blocks
from prismrec.errors import ArtifactError
from prismrec.retrieval.index import approximate
from prismrec.retrieval.index.approximate import ApproximateIndex, ApproximateKind, index_bytes, one_thread
from prismrec.retrieval.index.settings import IndexSettings

KINDS: tuple[ApproximateKind, ...] = ("scan", "ivf", "hnsw")
SETTINGS = IndexSettings(n_lists=16, n_probes=16)

every_kind = pytest.mark.parametrize("kind", KINDS)


def skewed(n=3000, dim=21, seed=0):
    """Vectors beside a prior whose few high values decide, as popularity does."""
    rng = np.random.default_rng(seed)
    targets = rng.normal(size=(n, dim)).astype(np.float32)
    targets[:, -1] = rng.exponential(size=n) ** 2
    return targets


@pytest.fixture(scope="module")
def targets():
    return skewed()


@pytest.fixture(scope="module")
def indexes(targets):
    return {kind: ApproximateIndex.build(targets, kind, SETTINGS) for kind in KINDS}


def queries_like(targets, n=40, seed=1):
    return np.random.default_rng(seed).normal(size=(n, targets.shape[1])).astype(np.float32)


def share_found(candidates, queries, targets, k=10):
    best = np.argsort(-(queries @ targets.T), axis=1)[:, :k]
    return np.mean([len(set(a) & set(b)) / k for a, b in zip(best.tolist(), candidates.tolist(), strict=True)])


@every_kind
def test_the_best_are_among_the_candidates(indexes, targets, kind):
    queries = queries_like(targets)
    candidates = indexes[kind].candidates(queries, 60)
    assert candidates.shape == (40, 60)
    assert share_found(candidates, queries, targets) > 0.9


def test_a_scan_finds_the_best_whatever_is_weighed(indexes, targets):
    only_prior = np.zeros((1, 21), np.float32)
    only_prior[:, -1] = 1
    one_view = queries_like(targets)
    one_view[:, 7:] = 0
    for queries in (only_prior, one_view, -one_view):
        assert share_found(indexes["scan"].candidates(queries, 60), queries, targets) > 0.97


def test_a_scan_tells_priors_apart_that_share_one_of_sixteen_levels():
    """Of 3000 priors in equal steps 188 share the highest of 16 levels: one column of codes would draw lots."""
    targets = skewed()
    targets[:, -1] = np.random.default_rng(5).permutation(3000) / 1000
    query = np.zeros((1, 21), np.float32)
    query[:, -1] = 1
    found = ApproximateIndex.build(targets, "scan", SETTINGS).candidates(query, 40)
    assert share_found(found, query, targets) == 1


@every_kind
def test_only_allowed_items_are_candidates(indexes, targets, kind):
    queries = queries_like(targets)
    for share in (0.5, 0.1):
        allowed = np.random.default_rng(2).random(len(targets)) < share
        candidates = indexes[kind].candidates(queries, 20, allowed)
        assert allowed[candidates[candidates >= 0]].all()
        assert (candidates >= 0).sum() > 0.9 * candidates.size


def test_lists_are_searched_the_further_the_fewer_are_allowed(targets):
    """One probe of 16 lists sees 1 in 16 items; where every fourth may be answered, it looks into four."""
    index = ApproximateIndex.build(targets, "ivf", IndexSettings(n_lists=16, n_probes=1))
    allowed = np.arange(len(targets)) % 4 == 0
    plain = (index.candidates(queries_like(targets), 3000) >= 0).sum(axis=1).mean()
    filtered = (index.candidates(queries_like(targets), 3000, allowed) >= 0).sum(axis=1).mean()
    assert filtered == pytest.approx(plain, rel=0.4)


@pytest.mark.parametrize("kind", ["scan", "ivf"])
def test_equal_vectors_give_equal_bytes(tmp_path, targets, kind):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        ApproximateIndex.build(targets, kind, SETTINGS).save(tmp_path / name)
    assert (tmp_path / "one" / "items.faiss").read_bytes() == (tmp_path / "two" / "items.faiss").read_bytes()


@every_kind
def test_saved_and_loaded_answer_alike(tmp_path, indexes, targets, kind):
    indexes[kind].save(tmp_path)
    loaded = ApproximateIndex.load(tmp_path, kind, SETTINGS, targets.shape)
    for allowed in (None, np.arange(len(targets)) % 3 > 0):
        expected = indexes[kind].candidates(queries_like(targets), 30, allowed)
        np.testing.assert_array_equal(loaded.candidates(queries_like(targets), 30, allowed), expected)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is mapped")
@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_a_loaded_index_is_mapped_and_not_copied(tmp_path, indexes, targets, kind):
    indexes[kind].save(tmp_path)
    loaded = ApproximateIndex.load(tmp_path, kind, SETTINGS, targets.shape)
    assert str(tmp_path / "items.faiss") in Path("/proc/self/maps").read_text()
    assert loaded.faiss_index.ntotal == len(targets)


@every_kind
def test_files_that_are_no_such_index_are_named(tmp_path, indexes, targets, kind):
    with pytest.raises(ArtifactError, match=r"items.faiss is damaged: faiss cannot read it \(.*No such file"):
        ApproximateIndex.load(tmp_path, kind, SETTINGS, targets.shape)
    indexes[kind].save(tmp_path)
    good = (tmp_path / "items.faiss").read_bytes()
    for bad in (b"", b"not an index of faiss", good[: len(good) // 2], good[:40]):
        (tmp_path / "items.faiss").write_bytes(bad)
        with pytest.raises(ArtifactError, match=r"items.faiss is damaged: faiss cannot read it \(.+\)"):
            ApproximateIndex.load(tmp_path, kind, SETTINGS, targets.shape)


def test_an_index_of_another_kind_or_shape_is_refused(tmp_path, indexes):
    indexes["ivf"].save(tmp_path)
    with pytest.raises(ArtifactError, match="holds IndexIVFScalarQuantizer instead of an index of kind 'scan'"):
        ApproximateIndex.load(tmp_path, "scan", SETTINGS, (3000, 21))
    with pytest.raises(ArtifactError, match="holds 3000 vectors of 32 numbers instead of 2999 of 32"):
        ApproximateIndex.load(tmp_path, "ivf", SETTINGS, (2999, 21))
    with pytest.raises(ArtifactError, match="holds 3000 vectors of 32 numbers instead of 3000 of 48"):
        ApproximateIndex.load(tmp_path, "ivf", SETTINGS, (3000, 33))


def test_one_thread_is_the_calling_threads_own_affair():
    seen = []
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(3)
    with one_thread():
        assert faiss.omp_get_max_threads() == 1
        other = threading.Thread(target=lambda: seen.append(faiss.omp_get_max_threads()))
        other.start()
        other.join()
    assert faiss.omp_get_max_threads() == 3
    with pytest.raises(ZeroDivisionError), one_thread():
        raise ZeroDivisionError
    assert faiss.omp_get_max_threads() == 3
    faiss.omp_set_num_threads(before)
    assert seen == [before], "a new thread begins with what the process began with"


@every_kind
@pytest.mark.parametrize("n_items", [1, 2, 15, 40, 300])
def test_tiny_catalogues_are_indexed_without_a_word(kind, n_items, capfd):
    targets = skewed(n_items, 9)
    candidates = ApproximateIndex.build(targets, kind, IndexSettings()).candidates(targets[:1], n_items)
    found = candidates[candidates >= 0].tolist()
    assert len(set(found)) == len(found)
    assert n_items == 1 or len(found) >= n_items / 2
    assert capfd.readouterr() == ("", "")


def test_threads_share_an_index(indexes, targets):
    queries = queries_like(targets, 8)
    expected = indexes["scan"].candidates(queries, 30)
    answers = {}

    def ask(number):
        answers[number] = [indexes["scan"].candidates(queries, 30) for _ in range(20)]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((answer == expected).all() for number in range(4) for answer in answers[number])


def test_building_in_blocks_changes_nothing(monkeypatch, targets, indexes):
    monkeypatch.setattr("prismrec.retrieval.index.approximate._BLOCK", 700)
    again = ApproximateIndex.build(targets, "scan", SETTINGS)
    queries = queries_like(targets)
    np.testing.assert_array_equal(again.candidates(queries, 30), indexes["scan"].candidates(queries, 30))


@pytest.mark.parametrize("kind", ["scan", "ivf"])
def test_codes_do_not_depend_on_how_many_rows_are_added_at_a_time(targets, indexes, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 20_000)
    ApproximateIndex.build(targets, kind, SETTINGS).save(tmp_path)
    in_small_blocks = (tmp_path / "items.faiss").read_bytes()
    indexes[kind].save(tmp_path)
    assert in_small_blocks == (tmp_path / "items.faiss").read_bytes()


@every_kind
@pytest.mark.parametrize("dim", [21, 64, 129])
def test_the_size_of_an_index_is_known_beforehand(tmp_path, kind, dim):
    n = 20_000
    ApproximateIndex.build(skewed(n, dim), kind, SETTINGS).save(tmp_path)
    size, expected = (tmp_path / "items.faiss").stat().st_size, index_bytes(kind, n, dim, SETTINGS)
    assert expected <= size < 1.06 * expected


def test_lists_of_a_very_large_catalogue_are_learnt_from_a_bounded_sample(targets, monkeypatch):
    monkeypatch.setattr(approximate, "_SAMPLE", 100)
    monkeypatch.setattr(approximate, "_LARGEST_SAMPLE", 500)
    seen = []

    def padded(rows):
        seen.append(len(rows))
        return approximate._widened(rows, 32)

    monkeypatch.setattr(approximate, "_padded", padded)
    ApproximateIndex.build(targets, "ivf", SETTINGS)
    assert seen[0] == 500, "16 lists of 64 rows each would be 1024"
