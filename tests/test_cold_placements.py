"""Ways of placing new items: each against its definition, on invented vectors."""

import numpy as np
import pytest

from prismrec.cold_placements import PLACED, PlacedSettings, Placer, placed_targets
from prismrec.data.schema import ITEM_VIEW
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.models.contract import EmbeddingTable
from prismrec.retrieval.blend import MultiViewScorer, QuerySettings
from prismrec.retrieval.bundle_files import BundleContents
from prismrec.retrieval.cold_start import ColdStart, ColdStartSettings

DIM, N_ITEMS = 3, 30
NEW = {"category": Sequences.from_lists([[0], [1, 2], [-1]]), "shop": Sequences.from_lists([[1], [], [0]])}
QUERY = QuerySettings(view_weights={"item": 1.0, "category": 0.5, "shop": 0.25}, repeat_weight=2.0)


@pytest.fixture(scope="module")
def contents():
    rng = np.random.default_rng(0)
    sizes = {"item": N_ITEMS, "category": 3, "shop": 2}
    counts = {"item": [0 if i == 4 else 1 + i for i in range(N_ITEMS)], "category": [1] * 3, "shop": [1] * 2}
    return BundleContents(
        vectors={v: EmbeddingTable(*rng.normal(size=(2, n, DIM)).astype(np.float32)) for v, n in sizes.items()},
        vocabularies={v: Vocabulary.from_ids(range(n), counts[v]) for v, n in sizes.items()},
        item_nodes={
            "category": Sequences.from_lists([[i % 3] for i in range(N_ITEMS)]),
            "shop": Sequences.from_lists([[i % 2] if i else [] for i in range(N_ITEMS)]),
        },
        alignment={v: rng.normal(size=(2, DIM, DIM)).astype(np.float32) for v in ("category", "shop")},
        query=QUERY,
    )


def targets(name, contents, **cold):
    settings = PlacedSettings(query=QUERY, cold_start=ColdStartSettings(**cold))
    return placed_targets(name, contents, NEW, settings)


def warm_items(view_rows, node):
    return [i for i in range(N_ITEMS) if i != 4 and node in view_rows[i]]


def test_m2grl_places_by_cold_start(contents):
    expected = ColdStart.of(contents, ColdStartSettings(lean=0.5)).place(NEW)[1]
    np.testing.assert_array_equal(targets("m2grl", contents, lean=0.5), expected)


def test_the_category_mean_is_that_of_the_warm_items_of_each_node(contents):
    vectors = contents.vectors[ITEM_VIEW].target
    means = {
        (view, node): vectors[warm_items(contents.item_nodes[view], node)].mean(axis=0)
        for view, nodes in NEW.items()
        for node in range(len(contents.vectors[view].target))
    }
    everything = vectors[[i for i in range(N_ITEMS) if i != 4]].mean(axis=0)
    got = targets("category_mean", contents)[:, :DIM]
    np.testing.assert_allclose(got[0], (means["category", 0] + means["shop", 1]) / 2, rtol=1e-5)
    several = (means["category", 1] + means["category", 2]) / 2
    np.testing.assert_allclose(got[1], (several + everything) / 2, rtol=1e-5)
    np.testing.assert_allclose(got[2], (everything + means["shop", 0]) / 2, rtol=1e-5)


def test_ridge_is_least_squares_with_a_penalty_on_the_slopes(contents):
    warm = [i for i in range(N_ITEMS) if i != 4]

    def means(view, rows):
        table = contents.vectors[view].target
        return np.array([table[row[row >= 0]].mean(axis=0) if (row >= 0).any() else np.zeros(DIM) for row in rows])

    known = np.hstack([means(v, contents.item_nodes[v]) for v in NEW])[warm]
    new = np.hstack([means(v, NEW[v]) for v in NEW])
    learned = contents.vectors[ITEM_VIEW].target[warm]
    x, y = known - known.mean(axis=0), learned - learned.mean(axis=0)
    penalty = 0.3 * np.trace(x.T @ x) / x.shape[1]
    stacked = np.vstack([x, np.sqrt(penalty) * np.eye(2 * DIM)])
    slopes = np.linalg.lstsq(stacked, np.vstack([y, np.zeros((2 * DIM, DIM))]), rcond=None)[0]
    expected = learned.mean(axis=0) + (new - known.mean(axis=0)) @ slopes
    np.testing.assert_allclose(targets("ridge", contents, regularisation=0.3)[:, :DIM], expected, atol=1e-4)


def test_the_parts_of_cold_start_stand_alone(contents):
    alone = targets("alignment_alone", contents)
    np.testing.assert_array_equal(alone, targets("m2grl", contents, shrinkage=1e9))
    weighed = targets("neighbours_alone", contents, view_weights={"shop": 3.0})
    np.testing.assert_array_equal(weighed, targets("neighbours_alone", contents))
    assert not np.allclose(alone, weighed)


def test_without_side_information_all_new_items_tie(contents):
    got = targets("no_side_information", contents)
    assert not got[:, :-1].any()
    assert len(set(got[:, -1].tolist())) == 1


def test_all_but_that_one_share_side_vectors_and_prior(contents):
    whole = targets("m2grl", contents)
    for name in set(PLACED) - {"no_side_information"}:
        np.testing.assert_array_equal(targets(name, contents)[:, DIM:], whole[:, DIM:])


@pytest.mark.parametrize("name", PLACED)
def test_for_cosine_item_vectors_have_length_one_or_none(contents, name):
    settings = PlacedSettings(query=QUERY.model_copy(update={"similarity": "cosine"}))
    norms = np.linalg.norm(placed_targets(name, contents, NEW, settings)[:, :DIM], axis=1)
    np.testing.assert_allclose(norms, 0 if name == "no_side_information" else 1, rtol=1e-5)


def test_warm_items_score_as_ever_and_new_ones_by_the_same_query(contents):
    histories = Sequences.from_lists([[3, 7], [0]])
    scorer = Placer("m2grl", contents, NEW).with_settings(PlacedSettings(query=QUERY))
    known = MultiViewScorer(contents.vectors, contents.item_nodes, contents.vocabularies[ITEM_VIEW].counts, QUERY)
    scores = scorer.score(histories)
    np.testing.assert_array_equal(scores[:, :N_ITEMS], known.score(histories))
    np.testing.assert_allclose(scores[:, N_ITEMS:], known.query(histories) @ targets("m2grl", contents).T, rtol=1e-5)
    np.testing.assert_array_equal(scores[:, N_ITEMS:], scorer.score_new(histories))


def test_only_new_settings_of_the_placement_place_again(contents, monkeypatch):
    placed = []

    def watched(*given):
        placed.append(given)
        return np.zeros((3, 3 * DIM + 1), np.float32)

    monkeypatch.setattr("prismrec.cold_placements.placed_targets", watched)
    placer, settings = Placer("m2grl", contents, NEW), PlacedSettings(query=QUERY)
    placer.with_settings(settings)
    placer.with_settings(settings.model_copy(update={"query": QUERY.model_copy(update={"recency_decay": 0.1})}))
    assert len(placed) == 1
    placer.with_settings(settings.model_copy(update={"cold_start": ColdStartSettings(shrinkage=9)}))
    assert len(placed) == 2
