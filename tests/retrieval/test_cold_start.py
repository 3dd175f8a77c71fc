"""New items among trained ones: the solve against least squares, calibration on planted vectors, every fallback."""

import numpy as np
import pytest

from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import DataError
from prismrec.models.contract import EmbeddingTable
from prismrec.retrieval.blend import popularity_prior
from prismrec.retrieval.bundle_files import BundleContents
from prismrec.retrieval.cold_start import ColdStart, ColdStartSettings, _drawn
from prismrec.retrieval.node_effects import NodeEffects

DIM, N_ITEMS = 4, 60
SETTINGS = ColdStartSettings(regularisation=0.5, view_weights={"shop": 2.0})
NEW = {"category": Sequences.from_lists([[0, 2], [1], [], []]), "shop": Sequences.from_lists([[3], [], [1], []])}
ROWS = {
    "category": [[i % 3] if i % 7 else [i % 3, (i + 1) % 3] for i in range(N_ITEMS)],
    "shop": [[i % 4] for i in range(N_ITEMS)],
}
COUNTS = np.array([1 + (i * 7) % 40 for i in range(N_ITEMS)])


def solved(alignment, tables, nodes, side, settings=SETTINGS):
    """The regularised solve of one item by `lstsq` on the stacked system; None without a node."""
    grams = {v: settings.view_weights.get(v, 1.0) * a[side].T @ a[side] for v, a in alignment.items()}
    penalty = settings.regularisation * sum(np.trace(gram) for gram in grams.values()) / DIM
    rows, right = [np.sqrt(penalty) * np.eye(DIM)], [np.zeros(DIM)]
    for view, own in nodes.items():
        if view in alignment and len(own):
            centre = tables[view][side][own].mean(axis=0)
            root = np.sqrt(settings.view_weights.get(view, 1.0))
            rows.append(root * alignment[view][side])
            right.append(root * alignment[view][side] @ centre)
    if len(rows) == 1:
        return None
    return np.linalg.lstsq(np.vstack(rows), np.concatenate(right), rcond=None)[0]


def planted(seed=0, noise=0.0, aligned=("category", "shop"), counts=COUNTS, gain=3.0):
    """Contents whose item vectors are `gain` times the solution, moved by 0.5, and noise."""
    rng = np.random.default_rng(seed)
    tables = {"category": rng.normal(size=(2, 3, DIM)), "shop": rng.normal(size=(2, 4, DIM))}
    alignment = {view: rng.normal(size=(2, DIM, DIM)) for view in aligned}
    items = rng.normal(0, noise, (2, N_ITEMS, DIM)) if noise else np.zeros((2, N_ITEMS, DIM))
    for side in (0, 1):
        for item in range(N_ITEMS):
            found = solved(alignment, tables, {view: rows[item] for view, rows in ROWS.items()}, side)
            items[side, item] += 0.5 + (0 if found is None else gain * found)
    sizes = {"item": N_ITEMS, "category": 3, "shop": 4}
    vocabularies = {v: Vocabulary.from_ids(range(n), counts if v == "item" else [1] * n) for v, n in sizes.items()}
    return BundleContents(
        vectors={v: EmbeddingTable(*t.astype(np.float32)) for v, t in {"item": items, **tables}.items()},
        vocabularies=vocabularies,
        item_nodes={view: Sequences.from_lists(rows) for view, rows in ROWS.items()},
        alignment={view: a.astype(np.float32) for view, a in alignment.items()},
    )


def plain(contents):
    return {view: (np.asarray(t.source, float), np.asarray(t.target, float)) for view, t in contents.vectors.items()}


def rows_of(nodes, item):
    return {view: rows[item].tolist() for view, rows in nodes.items()}


@pytest.mark.parametrize("seed", range(3))
def test_new_items_stand_where_the_alignment_asks_with_the_length_of_the_warm_ones(seed):
    contents = planted(seed)
    sources, targets = ColdStart.of(contents, SETTINGS).place(NEW)
    alignment = {view: np.asarray(a, float) for view, a in contents.alignment.items()}
    for side, block in enumerate((sources, targets)):
        for item in range(3):
            wanted = 0.5 + 3.0 * solved(alignment, plain(contents), rows_of(NEW, item), side)
            np.testing.assert_allclose(block[item, :DIM], wanted, atol=2e-4)


def test_side_views_are_the_mean_over_the_nodes_and_zero_without():
    contents = planted()
    sources, targets = ColdStart.of(contents, SETTINGS).place(NEW)
    assert sources.shape == (4, 3 * DIM)
    assert targets.shape == (4, 3 * DIM + 1)
    assert sources.dtype == targets.dtype == np.float32
    category, shop = contents.vectors["category"], contents.vectors["shop"]
    np.testing.assert_allclose(sources[0, DIM : 2 * DIM], (category.source[0] + category.source[2]) / 2, rtol=1e-6)
    np.testing.assert_allclose(targets[0, 2 * DIM : -1], shop.target[3], rtol=1e-6)
    assert not sources[1, 2 * DIM :].any()
    assert not targets[2, DIM : 2 * DIM].any()


def test_the_gain_is_the_least_squares_factor_of_the_trusted_items():
    contents = planted(noise=0.4)
    tables = plain(contents)
    alignment = {view: np.asarray(a, float) for view, a in contents.alignment.items()}
    trust = COUNTS / (COUNTS + 5)
    found = np.array([solved(alignment, tables, {v: r[i] for v, r in ROWS.items()}, 1) for i in range(N_ITEMS)])
    learned = tables["item"][1]
    x, y = (m - trust @ m / trust.sum() for m in (found, learned))
    gain = (trust[:, None] * x * y).sum() / (trust[:, None] * x * x).sum()
    alone = SETTINGS.model_copy(update={"shrinkage": 1e12})  # nothing of what nodes share
    placed = ColdStart.of(contents, alone).place(
        {view: rows.take(range(9)) for view, rows in contents.item_nodes.items()}
    )
    wanted = trust @ learned / trust.sum() + gain * x[:9]
    np.testing.assert_allclose(placed[1][:, :DIM], wanted, atol=1e-4)


def test_what_the_items_of_a_node_share_beyond_the_alignment_goes_to_new_ones_too():
    contents = planted(gain=1.0)
    shift = np.array([5.0, 0, 0, 0], np.float32)
    moved = np.array(contents.vectors["item"].target)
    moved[[3 in shops for shops in ROWS["shop"]]] += shift
    contents.vectors["item"].target[:] = moved
    plain_, never = (
        ColdStart.of(contents, SETTINGS.model_copy(update={"shrinkage": s})).place(NEW)[1][:2, :DIM]
        for s in (1.0, 1e12)
    )
    difference = plain_ - never
    assert difference[0, 0] > 2.0  # of shop 3
    assert difference[0, 0] > difference[1, 0] + 2.0  # of no shop


def test_the_prior_is_the_expected_log_count_and_not_that_of_nothing():
    counts = np.where([0 in c for c in ROWS["category"]], 400, 2)
    cold = ColdStart.of(planted(counts=counts), SETTINGS)
    nodes = {"category": Sequences.from_lists([[0], [1], []])}
    prior = cold.place(nodes)[1][:, -1]
    known = popularity_prior(counts)
    assert known.min() <= prior[1] < prior[2] < prior[0] <= known.max()
    assert prior[0] == pytest.approx(known.max(), abs=1.0)
    assert prior[2] == pytest.approx(0.0, abs=1e-6)  # the mean of all items


def test_lean_moves_new_items_up_or_down():
    contents = planted()
    levels = [ColdStart.of(contents, ColdStartSettings(lean=lean)).place(NEW)[1][:, -1] for lean in (-1.5, 0.0, 2.0)]
    np.testing.assert_allclose(levels[1] - levels[0], 1.5, atol=1e-6)
    np.testing.assert_allclose(levels[2] - levels[1], 2.0, atol=1e-6)


def test_what_an_item_is_placed_by_is_named():
    cold = ColdStart.of(planted(aligned=("category",)), ColdStartSettings())
    assert cold.basis(NEW) == ["alignment", "alignment", "neighbours", "average"]
    assert cold.basis({"category": Sequences.from_lists([[-1]])}) == ["average"]


def test_without_a_known_node_an_item_is_the_mean_of_the_warm_ones():
    contents = planted(noise=0.3)
    sources, targets = ColdStart.of(contents, SETTINGS).place({"shop": Sequences.from_lists([[-1], []])})
    trust = COUNTS / (COUNTS + 5)
    expected = trust @ np.asarray(contents.vectors["item"].source, float) / trust.sum()
    for row in sources:
        np.testing.assert_allclose(row[:DIM], expected, atol=0.1)
        assert not row[DIM:].any()
    np.testing.assert_array_equal(targets[0], targets[1])


def test_without_alignment_the_items_of_the_same_nodes_decide():
    contents = planted(aligned=())
    contents.vectors["item"].target[[0 in c for c in ROWS["category"]]] += 4
    cold = ColdStart.of(contents, ColdStartSettings())
    nodes = {"category": Sequences.from_lists([[0], [1]])}
    assert cold.basis(nodes) == ["neighbours", "neighbours"]
    targets = cold.place(nodes)[1][:, :DIM]
    assert (targets[0] > 3).all()
    assert (targets[1] < 2).all()


def test_a_bundle_without_side_views_gives_the_mean_and_needs_to_be_told_how_many():
    contents = planted()
    alone = BundleContents(
        vectors={"item": contents.vectors["item"]}, vocabularies={"item": contents.vocabularies["item"]}
    )
    cold = ColdStart.of(alone, ColdStartSettings())
    sources, targets = cold.place({}, n_items=2)
    assert sources.shape == (2, DIM)
    assert targets.shape == (2, DIM + 1)
    assert cold.basis({}, n_items=1) == ["average"]
    with pytest.raises(DataError, match="got rows for no items: say n_items"):
        cold.place({})


def test_items_without_clicks_teach_nothing():
    counts = COUNTS.copy()
    counts[:20] = 0
    contents, other = planted(noise=0.3, counts=counts), planted(noise=0.3, counts=counts)
    other.vectors["item"].source[:20] = 99
    other.vectors["item"].target[:20] = -99
    for one, two in zip(*(ColdStart.of(c, SETTINGS).place(NEW) for c in (contents, other)), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_bundle_without_a_click_still_answers():
    sources, targets = ColdStart.of(planted(counts=np.zeros(N_ITEMS, int)), SETTINGS).place(NEW)
    assert np.isfinite(sources).all()
    assert np.isfinite(targets).all()


def test_placing_is_deterministic_and_one_by_one_is_as_all_at_once():
    contents = planted(noise=0.3)
    together = ColdStart.of(contents, SETTINGS).place(NEW)
    again = ColdStart.of(contents, SETTINGS)
    np.testing.assert_array_equal(again.place(NEW)[1], together[1])
    for item in range(4):
        alone = again.place({view: rows.take([item]) for view, rows in NEW.items()})
        np.testing.assert_allclose(alone[0][0], together[0][item], atol=1e-6)
        np.testing.assert_allclose(alone[1][0], together[1][item], atol=1e-6)


def test_preferences_are_the_source_vectors_of_a_pseudo_item():
    cold = ColdStart.of(planted(noise=0.3), SETTINGS)
    np.testing.assert_array_equal(cold.preferences(NEW), cold.place(NEW)[0])


def test_for_cosine_both_sides_are_unit_source_vectors():
    cold = ColdStart.of(planted(noise=0.3), SETTINGS)
    plain_sources = cold.place(NEW)[0]
    sources, targets = cold.place(NEW, "cosine")
    np.testing.assert_array_equal(sources, targets[:, :-1])
    for columns in (slice(0, DIM), slice(DIM, 2 * DIM)):
        norms = np.linalg.norm(plain_sources[0, columns])
        np.testing.assert_allclose(sources[0, columns], plain_sources[0, columns] / norms, atol=1e-6)
    assert not sources[3, DIM:].any()  # no node: zero stays zero


def test_a_view_that_the_bundle_lacks_is_named_with_the_nearest():
    with pytest.raises(DataError, match="view 'categories', which the bundle lacks; did you mean 'category'"):
        ColdStart.of(planted(), SETTINGS).place({"categories": Sequences.from_lists([[0]])})


def test_views_must_have_a_row_per_item():
    cold = ColdStart.of(planted(), SETTINGS)
    with pytest.raises(DataError, match=r"got rows for \[1, 2\] items"):
        cold.place({"category": Sequences.from_lists([[0]]), "shop": Sequences.from_lists([[0], [1]])})
    with pytest.raises(DataError, match=r"got rows for \[1, 3\] items"):
        cold.place({"category": Sequences.from_lists([[0]])}, n_items=3)


def test_a_node_index_outside_the_bundle_is_refused():
    with pytest.raises(DataError, match=r"view 'category' must be -1 \(unknown\) or 0..2, got 3..3"):
        ColdStart.of(planted(), SETTINGS).place({"category": Sequences.from_lists([[3]])})


def test_alignment_matrices_of_another_shape_are_refused():
    contents = planted()
    odd = BundleContents(
        contents.vectors, contents.vocabularies, contents.item_nodes, {"shop": np.eye(DIM, dtype=np.float32)}
    )
    with pytest.raises(DataError, match=r"view 'shop' has shape \(4, 4\) .* expected \(2, 4, 4\)"):
        ColdStart.of(odd, ColdStartSettings())


def test_a_weight_for_a_view_without_alignment_is_refused():
    with pytest.raises(DataError, match="view 'shop' has no alignment; aligned views are category"):
        ColdStart.of(planted(aligned=("category",)), SETTINGS)


def test_items_without_clicks_do_not_lower_the_expectation():
    counts = np.where(np.arange(N_ITEMS) % 2, 50, 0)
    prior = ColdStart.of(planted(counts=counts), SETTINGS).place(NEW)[1][:, -1]
    np.testing.assert_allclose(prior, 0, atol=1e-6)  # whatever is clicked is clicked 50 times


@pytest.mark.parametrize("n", [1, 20, 59])
def test_as_many_warm_items_calibrate_as_the_settings_say(monkeypatch, n):
    looked_at = []
    fitted = NodeEffects.fitted

    def spy(values, *rest):
        looked_at.append(values)
        return fitted(values, *rest)

    monkeypatch.setattr(NodeEffects, "fitted", spy)
    contents = planted(noise=0.1)
    ColdStart.of(contents, SETTINGS.model_copy(update={"calibrated_on": n}))
    prior = popularity_prior(COUNTS).astype(np.float64)
    assert [len(values) for values in looked_at] == [n] * 3
    assert set(looked_at[2][:, 0]) <= set(prior), "the prior of those that were drawn, around the mean of all"


def test_some_of_the_warm_items_are_drawn_evenly_and_always_the_same():
    warm = np.arange(10, 70)
    drawn = np.concatenate([_drawn(warm, 6, seed) for seed in range(2000)])
    shares = np.bincount(drawn, minlength=70)[10:] / 2000
    np.testing.assert_allclose(shares, 0.1, atol=0.03)
    assert _drawn(warm, 6, 3).tolist() == sorted(set(_drawn(warm, 6, 3)))
    assert _drawn(warm, 60, 3) is warm


def test_half_of_the_warm_items_place_new_ones_nearly_as_all_do():
    contents = planted(gain=3.0)
    every = ColdStart.of(contents, SETTINGS).place(NEW)[0]
    half = ColdStart.of(contents, SETTINGS.model_copy(update={"calibrated_on": 30})).place(NEW)[0]
    np.testing.assert_allclose(half[:3, :DIM], every[:3, :DIM], atol=1e-3)  # without noise both know the truth
