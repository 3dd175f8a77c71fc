"""The profile as one HTML file that needs no network: plots, tables and what each of them means."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from prismrec.data.profile.charts import figures, plotly_script, seconds_text
from prismrec.data.profile.report import DataStep, Finding, Profile, Ratings, Sessions, TopEntry, VarianceTest
from prismrec.files import whole_file

_STYLE = """
:root { color-scheme: light dark; --text: #1c2330; --soft: #5a6475; --page: #f6f7f9; --card: #fff; --line: #dfe3e9;
  --warn: #b4451f; --note: #2f6db0; --accent: #2f7fd1; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e8ee; --soft: #9aa5b4; --page: #14181e; --card: #1d232b;
  --line: #343c47; --warn: #f0956f; --note: #7fb5ee; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1100px; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; margin: 0.5rem 0; } h2 { font-size: 1.1rem; margin: 0 0 0.5rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 1rem; min-width: 0; }
.grid { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); }
.wide { grid-column: 1 / -1; } p { margin: 0 0 0.75rem; color: var(--soft); max-width: 75ch; }
dl { display: flex; flex-wrap: wrap; gap: 0.75rem 2rem; margin: 0; } dt { color: var(--soft); font-size: 0.85rem; }
dd { margin: 0; font-size: 1.2rem; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
th, td { text-align: left; padding: 0.3rem 0.75rem 0.3rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.warning { color: var(--warn); font-weight: 600; } .note { color: var(--note); }
.plot { width: 100%; min-height: 300px; }
"""

_SCRIPT = """
const specs = JSON.parse(document.getElementById("plots").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
function draw() {
  const style = getComputedStyle(document.documentElement);
  const line = style.getPropertyValue("--line").trim(), text = style.getPropertyValue("--text").trim();
  for (const [name, spec] of Object.entries(specs)) {
    const axis = old => Object.assign({}, old, { gridcolor: line, linecolor: line, zerolinecolor: line });
    const layout = Object.assign({}, spec.layout, { font: { color: text, family: "system-ui, sans-serif" },
      xaxis: axis(spec.layout.xaxis), yaxis: axis(spec.layout.yaxis) });
    Plotly.react("plot-" + name, spec.data, layout, { responsive: true, displayModeBar: false });
  }
}
draw();
dark.addEventListener("change", draw);
"""


_USERS_DIFFER = (
    "The groups scatter differently, so the same rating means more from some users than from others: centre ratings "
    "per user before comparing them."
)
_ITEMS_DIFFER = (
    "The groups scatter differently: a mean rating says more of some items than of others; ratings.max_item_deviation "
    "leaves out those on which nobody agrees."
)


def write_page(profile: Profile, path: Path, title: str = "Profile of the click log") -> None:
    """Write the page; the file appears whole or not at all.

    Every id and value of the data is text on the page, never markup.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    text = page(profile, title, plotly_script())
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def page(profile: Profile, title: str, library: str) -> str:
    """The page as text; `library` is the plotly script."""
    specs = {name: json.loads(figure.to_json()) for name, figure in figures(profile).items()}
    # "<" could end the script element from inside a string; \\u003c is the same character to JSON
    data = json.dumps(specs).replace("<", "\\u003c")
    body = "\n".join(section for section in _sections(profile) if section)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{escape(title)}</h1>\n"
        f'<div class="grid">\n{body}\n</div>\n</main>\n'
        f'<script type="application/json" id="plots">{data}</script>\n'
        f"<script>{library}</script>\n<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )


def _sections(profile: Profile) -> Iterable[str]:
    yield _summary(profile)
    yield _findings(profile.findings)
    yield _coverage(profile)
    yield _curves(profile)
    yield _times(profile)
    yield _ratings(profile.ratings)
    yield _top("Most active users", "user", profile.top_users)
    yield _top("Most popular items", "item", profile.top_items)
    yield _suspects(profile)
    yield _steps(profile.steps)


def _summary(profile: Profile) -> str:
    counts = profile.counts
    facts = [
        ("interactions", f"{counts.n_interactions:,}"),
        ("users", f"{counts.n_users:,}"),
        ("items", f"{counts.n_items:,}"),
        ("sparsity", f"{counts.sparsity:.4%}"),
        ("repeated pairs", f"{counts.repeat_share:.1%}"),
        ("sessions", f"{profile.sessions.lengths.n:,}"),
    ]
    if profile.time is not None:
        facts += [("from", profile.time.first[:10]), ("to", profile.time.last[:10])]
    facts += [(f"set aside: {reason}", f"{n:,}") for reason, n in counts.quarantined.items()]
    listed = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    text = (
        "Sparsity is the share of all user-item pairs that never met. Repeated pairs are interactions of a user with "
        "an item the user had before: where they are frequent, items already seen should stay in the recommendations."
    )
    return _section("In short", text, f"<dl>{listed}</dl>", wide=True)


def _findings(findings: Sequence[Finding]) -> str:
    text = "What could make results look better than they are, or an order look meaningful that is none."
    if not findings:
        return _section("Risks of leakage", text + " Nothing was found.", wide=True)
    rows = [(_Mark(one.level, one.level), one.message, one.advice) for one in findings]
    return _section("Risks of leakage", text, _table(("", "found", "what to do"), rows), wide=True)


def _coverage(profile: Profile) -> str:
    if not profile.coverage:
        return ""
    rows = [
        (one.view, one.column, f"{one.items_covered:.1%}", f"{one.interactions_covered:.1%}", f"{one.n_values:,}",
         "" if one.largest is None else str(one.largest), f"{one.largest_share:.1%}")
        for one in profile.coverage
    ]  # fmt: skip
    text = (
        "A view helps items with few interactions only where it knows them, and only if it tells items apart: many "
        "values, none of them dominating. Largest value: the share of the covered items that have it."
    )
    if profile.unknown_items:
        text += f" {profile.unknown_items:,} items of the log are missing from the item table."
    head = ("view", "column", "items covered", "interactions covered", "values", "largest value", "its share")
    return _section("Side information", text, _table(head, rows, numbers=(2, 3, 4, 6)), wide=True)


def _curves(profile: Profile) -> str:
    activity, popularity = profile.activity, profile.popularity
    parts = [
        ("activity", "Activity of users", f"Half of the users have at most {activity.median:,} interactions, the most "
         f"active one {activity.maximum:,}. Users with very few teach little; with very many they may be programs."),
        ("popularity", "Popularity of items", f"Half of the items have at most {popularity.median:,} interactions. "
         "Below five, an item's vector comes mostly from its side information."),
        ("concentration", "Concentration", "The further a line bends from the diagonal, the fewer carry the most. "
         f"Gini {activity.gini:.2f} over users, {popularity.gini:.2f} over items (0: all alike). The top 1 % of them "
         f"have {popularity.top_1_percent:.1%} of the interactions: recommending only these is a strong rival."),
        ("sessions", "Length of sessions", _session_text(profile.sessions)),
    ]  # fmt: skip
    return "\n".join(_section(heading, text, _plot(name)) for name, heading, text in parts)


def _session_text(sessions: Sessions) -> str:
    source = {
        "session_id": "Sessions are those of the session column.",
        "gap": f"A pause of {seconds_text(sessions.gap_minutes * 60)} starts a new session.",
        "user": "The times have no distance, so all interactions of a user are one session.",
    }[sessions.source]
    return f"{source} {sessions.single_share:.1%} have a single interaction and teach nothing about order."


def _times(profile: Profile) -> str:
    parts = []
    if profile.gaps is not None:
        gaps = profile.gaps
        text = (
            f"Half of the pauses are at most {gaps.median:,.0f} s. {gaps.cut_share:.1%} end a session. "
            f"{gaps.zero_share:.1%} have no length: the order of those rows is that of the input. A good session gap "
            "lies in a valley of this plot."
        )
        parts.append(_section("Pauses", text, _plot("gaps")))
    if profile.time is not None:
        text = (
            f"{profile.time.days:,.1f} days, {profile.time.empty_days:,} of them without any interaction. Steps and "
            "holes are changes of tracking or lost data; a test period should look like the rest."
        )
        parts.append(_section("Over time", text, _plot("time"), wide=True))
    return "\n".join(parts)


def _ratings(ratings: Ratings | None) -> str:
    if ratings is None:
        return ""
    spread = (
        f"Mean {ratings.mean:.2f}, standard deviation {ratings.deviation:.2f}. {ratings.n_users_constant:,} users give "
        f"one and the same rating to everything and {ratings.n_users_one_rating:,} rated once: their ratings say what "
        "they chose, not what they prefer."
    )
    fit = "All ratings are the same."
    if ratings.quantile_correlation is not None:
        fit = (
            "On the line, ratings would be normal. Steps are whole-number ratings; an end that bends away is a long or "
            f"cut tail. Correlation with the normal quantiles {ratings.quantile_correlation:.3f}."
        )
    return "\n".join(
        [
            _section("Ratings", spread, _plot("ratings")),
            _section("Ratings against the normal (Q-Q)", fit, _plot("quantiles")),
            _variance(ratings.variance, "user", "Do active users rate more evenly?", _USERS_DIFFER),
            _variance(ratings.item_variance, "item", "Do people agree more on popular items?", _ITEMS_DIFFER),
        ]
    )


def _variance(test: VarianceTest | None, owner: str, heading: str, if_they_differ: str) -> str:
    if test is None:
        return _section(heading, f"There are not two groups of {owner}s with ratings that differ: no test.")
    differ = test.p_value < 0.05
    text = (
        f"Brown-Forsythe test (Levene's about medians) over quarters of the {owner}s by their ratings: W = "
        f"{test.statistic:,.1f}, {_p_text(test.p_value)}. "
        + (
            f"{if_they_differ} With many ratings, small differences show, too: look at the table."
            if differ
            else "No difference in scatter shows: ratings of different groups can be compared as they are."
        )
    )
    rows = [(f"up to {limit:,}", f"{n:,}", f"{deviation:.3f}") for limit, n, deviation in test.groups]
    return _section(heading, text, _table((f"ratings of the {owner}", "ratings", "deviation"), rows, numbers=(1, 2)))


def _p_text(p_value: float) -> str:
    return "p < 1e-16" if p_value < 1e-16 else f"p = {p_value:.2g}"


def _top(heading: str, kind: str, entries: Sequence[TopEntry]) -> str:
    named = any(one.name is not None for one in entries)
    rows = [
        (str(one.id), *([one.name or ""] if named else []), f"{one.count:,}", f"{one.share:.2%}") for one in entries
    ]
    head = (kind, *(["name"] if named else []), "interactions", "share")
    return _section(heading, "", _table(head, rows, numbers=(len(head) - 2, len(head) - 1)))


def _suspects(profile: Profile) -> str:
    suspects = profile.suspects
    text = (
        "Users who are faster, more regular, more repetitive, or see more of the catalogue than people usually do. A "
        f"suspicion, not a verdict: nothing is removed. {suspects.n_users:,} users with "
        f"{suspects.interactions_share:.2%} of the interactions."
    )
    if not suspects.busiest:
        return _section("Suspected programs", text, wide=True)
    rows = [
        (str(one.user_id), f"{one.n_interactions:,}", _or_dash(one.peak_per_hour, "{:,}"),
         _or_dash(one.gap_variation, "{:.2f}"), f"{one.distinct_share:.1%}", ", ".join(one.reasons))
        for one in suspects.busiest
    ]  # fmt: skip
    head = ("user", "interactions", "busiest hour", "variation of pauses", "distinct items", "because")
    return _section("Suspected programs", text, _table(head, rows, numbers=(1, 2, 3, 4)), wide=True)


def _steps(steps: Sequence[DataStep]) -> str:
    if not steps:
        return ""
    text = (
        "What bounds on activity and ratings would leave out of training, each on its own. Nothing is left out "
        "unless it is set."
    )
    rows = [(one.setting, one.left_out, f"{one.share:.1%}", f"{one.interactions_share:.1%}") for one in steps]
    head = ("setting", "would leave out", "share", "of the interactions")
    return _section("Steps before training", text, _table(head, rows, numbers=(2, 3)), wide=True)


class _Mark(str):
    """Text of a table cell with one of our own style classes."""

    def __new__(cls, text: str, style: str) -> _Mark:
        mark = super().__new__(cls, text)
        mark.style = style
        return mark

    style: str


def _or_dash(value: Any, form: str) -> str:
    return "–" if value is None else form.format(value)


def _plot(name: str) -> str:
    return f'<div class="plot" id="plot-{name}"></div>'


def _section(heading: str, text: str, content: str = "", wide: bool = False) -> str:
    style = ' class="wide"' if wide else ""
    paragraph = f"<p>{escape(text)}</p>" if text else ""
    return f"<section{style}><h2>{escape(heading)}</h2>{paragraph}{content}</section>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    def cell(tag: str, place: int, text: str) -> str:
        style = text.style if isinstance(text, _Mark) else "number" if place in numbers else ""
        return f'<{tag} class="{style}">{escape(text)}</{tag}>' if style else f"<{tag}>{escape(text)}</{tag}>"

    lines = [("th", head), *(("td", row) for row in rows)]
    body = "".join("<tr>" + "".join(cell(tag, i, text) for i, text in enumerate(row)) + "</tr>" for tag, row in lines)
    return f'<div class="scroll"><table>{body}</table></div>'


__all__ = ["page", "write_page"]
