"""The map of the items: blended item vectors in two dimensions, items that answer alike close together.

    x_i = [sqrt(|w_v| / sum |w|) s_v(i) / |s_v(i)|, v = 1..V]      x_i . x_j = the weighted mean cosine of the views

with w the bundle's own view weights. Principal components give a rough map at once; t-SNE (van der Maaten and Hinton
2008), started from it, gives one whose neighbourhoods can be trusted, in seconds to minutes. On either only nearness
means something: directions, and distances between far groups, do not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prismrec.data.schema import ITEM_VIEW
from prismrec.errors import MissingExtraError
from prismrec.retrieval.blend import MultiViewScorer
from prismrec.retrieval.bundle import Bundle

_COMPONENTS = 50
"""How many principal components t-SNE looks at: what is beyond them is mostly noise, and costs time."""

_PERPLEXITY = 30.0


def most_clicked(bundle: Bundle, n: int) -> NDArray[np.int64]:
    """Indices of the n items with the most clicks, the most clicked first; equal ones by index."""
    return np.argsort(-bundle.items.counts, kind="stable")[:n].astype(np.int64)


def blended_vectors(bundle: Bundle, items: NDArray[np.int64]) -> NDArray[np.float32]:
    """(len(items), D) float32: the vectors of the views with weight, weighted as the bundle's own queries weigh them.

    Where the bundle weighs no view, and where its model encodes queries, the item view stands alone.
    """
    contents = bundle.contents
    settings = contents.query.model_copy(update={"similarity": "cosine"})
    weights = {view: abs(weight) for view, weight in settings.view_weights.items() if weight} or {ITEM_VIEW: 1.0}
    scorer = MultiViewScorer(contents.vectors, contents.item_nodes, bundle.items.counts, settings)
    total = sum(weights.values())
    parts = [np.sqrt(weight / total) * scorer.item_vectors(view).source[items] for view, weight in weights.items()]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def principal_positions(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 2) float32: the first two principal components, within -1..1; the same vectors, the same map."""
    return _framed(_principal(vectors, 2)) if len(vectors) else np.zeros((0, 2), np.float32)


def neighbour_positions(vectors: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """(n, 2) float32: t-SNE from the principal components, within -1..1; the same vectors and seed, the same map.

    With fewer than five items there are no neighbourhoods to keep, and the principal components stand.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    if len(vectors) < 5:
        return principal_positions(vectors)
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise MissingExtraError("the map of the items needs scikit-learn: pip install 'prismrec[serve]'") from error
    reduced = _principal(vectors, _COMPONENTS)
    model = TSNE(
        init="pca",
        perplexity=min(_PERPLEXITY, (len(vectors) - 1) / 3),
        random_state=seed,
        n_jobs=1,
        learning_rate="auto",
    )
    return _framed(model.fit_transform(reduced))


def _principal(vectors: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """(rows, n) float32: the n first principal components, each turned so that its largest entry is positive."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    values, axes = np.linalg.eigh(centred.T @ centred)
    found = centred @ axes[:, np.argsort(-values)[:n]]
    if found.shape[1] < n:
        found = np.pad(found, ((0, 0), (0, n - found.shape[1])))
    largest = found[np.abs(found).argmax(axis=0), np.arange(n)]
    turned: NDArray[np.float32] = (found * np.where(largest < 0, -1, 1)).astype(np.float32)
    return turned


def _framed(positions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Centred, and scaled alike in both directions until the farthest point touches the frame."""
    low, high = positions.min(axis=0), positions.max(axis=0)
    centred = positions - (low + high) / 2
    scale = float(np.abs(centred).max())
    framed: NDArray[np.float32] = (centred / (scale or 1.0)).astype(np.float32)
    return framed


__all__ = ["blended_vectors", "most_clicked", "neighbour_positions", "principal_positions"]
