"""How good the model is, for the page: how training went, what was measured, how clicks are spread over the items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prismrec.errors import DataError
from prismrec.serving.page.reach import concentration

CLICK_LIMITS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Where the groups of items by clicks begin."""


def training_curves(log: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The curves of a training log (`bundle.contents.training_log`), task by task.

    Returns:
        losses, weights: task -> [[epoch, value], ...], from the trace within the epochs where there is one.
        validation: [[epoch, metric], ...] of the validated epochs.
        kept_epoch: whose vectors the bundle has; None where the log does not tell.
        seconds: spent in training steps.
    """
    points = [point for record in log for point in (record.get("trace") or [record])]
    validated = [[record["epoch"], record["validation"]] for record in log if record.get("validation") is not None]
    return {
        "losses": _by_task(points, "losses"),
        "weights": _by_task(points, "task_weights"),
        "validation": validated,
        "kept_epoch": next((record["epoch"] for record in log if record.get("kept")), None),
        "n_epochs": len(log),
        "seconds": sum(record.get("seconds", 0.0) for record in log),
    }


def evaluation_document(document: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What the page shows of the JSON that `prismrec evaluate -o` writes; None where there is none.

    Raises:
        DataError: the document is not such JSON.
    """
    if not document:
        return None
    try:
        models = document["models"]
        figures = {name: model["figures"] for name, model in models.items()}
        first = next(iter(figures.values()))
        return {
            "data": document["data"],
            "protocol": document["protocol"],
            "exclude_seen": document["exclude_seen"],
            "n_items": document["n_items"],
            "n_queries": document["n_queries"],
            "confidence": document["settings"]["confidence"],
            "n_resamples": document["settings"]["n_resamples"],
            "parts": [part for part, metrics in first.items() if metrics],
            "metrics": list(next(metrics for metrics in first.values() if metrics)),
            "totals": {name: model["totals"] for name, model in models.items()},
            "figures": figures,
        }
    except (KeyError, TypeError, AttributeError, StopIteration) as error:
        raise DataError(
            f"the evaluation in the bundle is not what `prismrec evaluate -o` writes ({error!r}): measure again"
        ) from error


def long_tail(counts: NDArray[np.int64]) -> dict[str, Any]:
    """How the clicks of training are spread over the items.

    Args:
        counts: (n_items,) int64.

    Returns:
        groups: items by number of clicks: [{low, high, n_items, n_clicks}, ...]; high None is open.
        concentration: (share of items, the most clicked first, their share of the clicks).
        head_share: share of the clicks that go to the top 1 % of the items.
        half: share of the items that have half of the clicks.
    """
    n, total = len(counts), int(counts.sum())
    curve = concentration(counts)
    head = np.sort(counts)[::-1]
    shares = np.cumsum(head) / max(total, 1)
    return {
        "n_items": n,
        "n_clicks": total,
        "groups": _groups(counts),
        "concentration": curve,
        "head_share": float(shares[max(1, round(n / 100)) - 1]) if n else 0.0,
        "half": float((np.searchsorted(shares, 0.5) + 1) / n) if total else 0.0,
    }


def _groups(counts: NDArray[np.int64]) -> list[dict[str, Any]]:
    edges = [*CLICK_LIMITS, None]
    groups = []
    for low, following in zip(CLICK_LIMITS, edges[1:], strict=True):
        inside = (counts >= low) & (counts < following) if following is not None else counts >= low
        high = None if following is None else following - 1
        groups.append({"low": low, "high": high, "n_items": int(inside.sum()), "n_clicks": int(counts[inside].sum())})
    filled = [place for place, group in enumerate(groups) if group["n_items"]]
    return groups[filled[0] : filled[-1] + 1] if filled else []


def _by_task(records: Sequence[Mapping[str, Any]], field: str) -> dict[str, list[list[float]]]:
    curves: dict[str, list[list[float]]] = {}
    for record in records:
        for task, value in record.get(field, {}).items():
            curves.setdefault(task, []).append([record["epoch"], value])
    return curves


__all__ = ["CLICK_LIMITS", "evaluation_document", "long_tail", "training_curves"]
