"""The plots of the profile page, as plotly figures. They hold numbers and our own words, never an id or a value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prismrec.data.profile.report import Bin, Curve, Gaps, Profile, Ratings, TimeSpan
from prismrec.errors import MissingExtraError

ACCENT = "#2f7fd1"
REFERENCE = "#d1702f"


def figures(profile: Profile) -> dict[str, Any]:
    """The plots that this profile has data for, by name.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    found = {
        "activity": _spread(profile.activity, "interactions of a user", "users"),
        "popularity": _spread(profile.popularity, "interactions of an item", "items"),
        "concentration": _concentration(profile.activity, profile.popularity),
        "sessions": _spread(profile.sessions.lengths, "interactions in a session", "sessions"),
    }
    if profile.gaps is not None:
        found["gaps"] = _gaps(profile.gaps)
    if profile.ratings is not None:
        found["ratings"] = _ratings(profile.ratings)
        found["quantiles"] = _quantiles(profile.ratings)
    if profile.time is not None:
        found["time"] = _time(profile.time)
    return found


def plotly_script() -> str:
    """The plotly library itself, to be put into the page.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    _plotly()
    from plotly.offline import get_plotlyjs

    script: str = get_plotlyjs()
    return script


def seconds_text(seconds: float) -> str:
    """A length of time in its largest whole unit.

    >>> seconds_text(1800), seconds_text(86400)
    ('30 min', '1 d')
    """
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds / unit:g} {name}"
    return f"{seconds:g} s"


def _plotly() -> Any:
    try:
        import plotly.graph_objects as graph
    except ImportError as error:
        raise MissingExtraError(
            "the profile page needs plotly: pip install 'prismrec[profile]' (the JSON profile works without)"
        ) from error
    return graph


def _figure(traces: Sequence[Any], x: str, y: str, **layout: Any) -> Any:
    figure = _plotly().Figure(list(traces))
    figure.update_layout(
        template="none",
        margin={"l": 60, "r": 12, "t": 12, "b": 48},
        height=300,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        xaxis={"title": {"text": x}, "automargin": True},
        yaxis={"title": {"text": y}, "automargin": True, "rangemode": "tozero"},
        showlegend=False,
        **layout,
    )
    return figure


def _bars(labels: Sequence[str], bins: Sequence[Bin], x: str, y: str) -> Any:
    bar = _plotly().Bar(x=list(labels), y=[one.count for one in bins], marker={"color": ACCENT})
    figure = _figure([bar], x, y, bargap=0.08)
    figure.update_xaxes(type="category")
    return figure


def _spread(curve: Curve, x: str, y: str) -> Any:
    labels = [f"{b.low:,}" if b.low == b.high else f"{b.low:,} to {b.high:,}" for b in curve.bins]
    return _bars(labels, curve.bins, x, y)


def _gaps(gaps: Gaps) -> Any:
    labels = [f"from {seconds_text(b.low)}" if b.low else "under 1 s" for b in gaps.bins]
    return _bars(labels, gaps.bins, "pause before the user's next interaction", "pauses")


def _concentration(activity: Curve, popularity: Curve) -> Any:
    graph = _plotly()
    traces = [
        graph.Scatter(
            x=[point[0] for point in curve.lorenz], y=[point[1] for point in curve.lorenz], name=name, mode="lines",
            line={"color": colour, "width": 2},
        )
        for name, curve, colour in (("users", activity, ACCENT), ("items", popularity, REFERENCE))
    ]  # fmt: skip
    even = graph.Scatter(x=[0, 1], y=[0, 1], name="all alike", mode="lines", line={"color": "#888", "dash": "dot"})
    figure = _figure([*traces, even], "share of the users or items, largest first", "their share of the interactions")
    figure.update_layout(showlegend=True, legend={"x": 0.98, "y": 0.05, "xanchor": "right", "yanchor": "bottom"})
    figure.update_xaxes(tickformat=".0%")
    figure.update_yaxes(tickformat=".0%")
    return figure


def _ratings(ratings: Ratings) -> Any:
    labels = [f"{b.low:g}" if b.low == b.high else f"{b.low:.4g} to {b.high:.4g}" for b in ratings.bins]
    return _bars(labels, ratings.bins, "rating", "interactions")


def _quantiles(ratings: Ratings) -> Any:
    graph = _plotly()
    normal, own = ([point[axis] for point in ratings.quantiles] for axis in (0, 1))
    points = graph.Scatter(x=normal, y=own, mode="markers", name="ratings", marker={"color": ACCENT, "size": 6})
    line = graph.Scatter(
        x=[normal[0], normal[-1]], y=[normal[0], normal[-1]], mode="lines", name="normal", line={"color": REFERENCE}
    )
    figure = _figure([line, points], "quantile of a normal distribution", "quantile of the ratings")
    figure.update_yaxes(rangemode="normal")
    return figure


def _time(span: TimeSpan) -> Any:
    line = _plotly().Bar(x=[bar[0] for bar in span.bars], y=[bar[1] for bar in span.bars], marker={"color": ACCENT})
    every = "per day" if span.bin_days == 1 else f"per {span.bin_days} days"
    return _figure([line], "date (UTC)", f"interactions {every}", bargap=0)


__all__ = ["figures", "plotly_script", "seconds_text"]
