"""The map: which items, which vectors, positions that mean something and do not change."""

import numpy as np
import pytest

from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.models.contract import EmbeddingTable
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.bundle import Bundle, BundleContents
from prismrec.serving.page.projection import blended_vectors, most_clicked, neighbour_positions, principal_positions


@pytest.fixture
def make_bundle(tmp_path):
    def make(weights, counts=(3, 9, 9, 1)) -> Bundle:
        rng = np.random.default_rng(5)
        n = len(counts)
        contents = BundleContents(
            vectors={
                "item": EmbeddingTable(*rng.normal(size=(2, n, 6)).astype(np.float32)),
                "shop": EmbeddingTable(*rng.normal(size=(2, 2, 3)).astype(np.float32)),
            },
            vocabularies={"item": Vocabulary.from_ids(list(range(n)), counts), "shop": Vocabulary.from_ids(["a", "b"])},
            item_nodes={"shop": Sequences.from_lists([[i % 2] for i in range(n - 1)] + [[]])},
            query=QuerySettings(view_weights=weights),
        )
        return Bundle.write(tmp_path / f"bundle-{len(list(tmp_path.iterdir()))}", contents)

    return make


def groups(n_each: int = 30, n_groups: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Vectors about centres that lie far from each other."""
    rng = np.random.default_rng(0)
    centres = 6 * np.eye(n_groups, 12)
    label = np.repeat(np.arange(n_groups), n_each)
    return (centres[label] + rng.normal(size=(len(label), 12))).astype(np.float32), label


def test_most_clicked_come_first_and_equal_ones_by_index(make_bundle):
    assert most_clicked(make_bundle({"item": 1.0}), 3).tolist() == [1, 2, 0]
    assert most_clicked(make_bundle({"item": 1.0}), 99).tolist() == [1, 2, 0, 3]


def test_products_of_blended_vectors_are_the_weighted_mean_of_the_cosines(make_bundle):
    bundle = make_bundle({"item": 3.0, "shop": -1.0})
    vectors = blended_vectors(bundle, np.array([0, 2]))
    item, shop = (bundle.contents.vectors[view].source for view in ("item", "shop"))

    def cosine(a, b):
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    expected = 0.75 * cosine(item[0], item[2]) + 0.25 * cosine(shop[0], shop[0])
    assert vectors[0] @ vectors[1] == pytest.approx(expected, abs=1e-6)


def test_views_without_weight_play_no_part_and_none_at_all_means_the_items(make_bundle):
    assert blended_vectors(make_bundle({"item": 1.0, "shop": 0.0}), np.arange(4)).shape == (4, 6)
    alone = blended_vectors(make_bundle({"shop": 0.0}), np.arange(4))
    assert np.array_equal(alone, blended_vectors(make_bundle({"item": 2.0}), np.arange(4)))


def test_principal_positions_are_those_of_the_singular_vectors():
    vectors, _ = groups()
    found = principal_positions(vectors)
    left, values, _ = np.linalg.svd(vectors.astype(float) - vectors.mean(axis=0), full_matrices=False)
    expected = left[:, :2] * values[:2]
    for axis in (0, 1):
        assert abs(np.corrcoef(found[:, axis], expected[:, axis])[0, 1]) > 0.999
    assert np.array_equal(found, principal_positions(vectors))


@pytest.mark.parametrize("place", [principal_positions, lambda vectors: neighbour_positions(vectors, 1)])
def test_map_is_framed_and_centred(place):
    found = place(groups()[0])
    assert found.shape == (120, 2)
    assert found.dtype == np.float32
    assert np.abs(found).max() == pytest.approx(1, abs=1e-6)
    assert np.allclose(found.max(axis=0), -found.min(axis=0), atol=1e-5)


def test_nearest_points_of_the_better_map_are_of_the_same_group():
    vectors, label = groups()
    found = neighbour_positions(vectors, seed=3)
    distances = np.linalg.norm(found[:, None] - found[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (label[distances.argmin(axis=1)] == label).mean() > 0.95


def test_same_seed_gives_the_same_map():
    vectors, _ = groups(10)
    assert np.array_equal(neighbour_positions(vectors, 7), neighbour_positions(vectors, 7))


@pytest.mark.parametrize("n", [0, 1, 2, 4, 7])
def test_few_items_have_a_map_too(n):
    vectors = np.random.default_rng(1).normal(size=(n, 3)).astype(np.float32)
    found = neighbour_positions(vectors, 0)
    assert found.shape == (n, 2)
    assert np.isfinite(found).all()


def test_one_dimension_lies_on_a_line():
    found = principal_positions(np.array([[0.0], [1.0], [3.0]], np.float32))
    assert found[:, 1].tolist() == [0, 0, 0]
    assert found[:, 0].tolist() == pytest.approx([-1, -1 / 3, 1])
