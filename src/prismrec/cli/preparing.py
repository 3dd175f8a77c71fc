"""Before training: `prismrec profile` looks at a log, `prismrec prepare` turns it into training data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prismrec.cli.options import AsJson, ConfigFile, Overrides
from prismrec.cli.terminal import busy, emit, say, show

if TYPE_CHECKING:
    from prismrec.data.profile import Profile
    from prismrec.data.profile.steps import StepSettings
    from prismrec.retrieval.bundle import Bundle
    from prismrec.settings import Settings


def profile(
    config: ConfigFile,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PAGE.html", help="Write one page with plots.")
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """See what is in a click log before training: counts, curves, sessions, coverage, bots, leakage risks.

    The page needs the extra `profile` (plotly) and no network.

    Example: `prismrec profile shop.toml --output profile.html`
    """
    from prismrec.data.profile import write_page
    from prismrec.settings import read_settings

    settings = read_settings(config, overrides or ())
    found = profile_of(settings)
    if output is not None:
        write_page(found, output, f"Profile of {settings.data.name}" if settings.data.name else "Profile")
        say(f"page written: {output}")
    if as_json:
        emit(json.loads(found.to_json()))
    else:
        show("\n".join(profile_lines(found)))


def prepare(
    config: ConfigFile,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder to write.")],
    edges: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Edge list instead of a log: random walks ([walks]) become the sessions."),
    ] = None,
    start: Annotated[
        Path | None, typer.Option("--from", metavar="BUNDLE", help="Number known ids as this bundle does (warm start).")
    ] = None,
    shards: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Write N Parquet files per table on the engine, for logs beyond one machine; 0: no.",
        ),
    ] = 0,
    keep_stages: Annotated[
        bool, typer.Option("--keep-stages", help="Leave the stages in DIR.stages, for a run with other settings.")
    ] = False,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Turn a click log into training data on disk: sessions, histories, views, and the rows that were set aside.

    `prismrec train CONFIG --prepared DIR` trains on it; without this step, train prepares by itself.

    With --shards nothing but counts comes into memory. Stages are kept as they end: a run that was stopped, by
    whatever, goes on from the last whole one when the same command is typed again.

    Example: `prismrec prepare shop.toml -o prepared`
    """
    from prismrec.retrieval.bundle import Bundle
    from prismrec.settings import read_settings

    if edges is not None and start is not None:
        raise typer.BadParameter("walks over a graph start anew: drop it", param_hint="--from")
    if edges is not None and shards:
        raise typer.BadParameter("walks over a graph are made in memory: drop it", param_hint="--shards")
    if keep_stages and not shards:
        raise typer.BadParameter("only sharded preparation has stages: add --shards N", param_hint="--keep-stages")
    settings = read_settings(config, overrides or ())
    base = None if start is None else Bundle.open(start)
    if shards:
        report = _sharded_report(settings, output, shards, base, keep_stages=keep_stages)
    else:
        report = _whole_report(settings, output, edges, base)
    if as_json:
        emit({"folder": output, **report})
    else:
        show("\n".join(report_lines(report)))
        show(f"Next: prismrec train {config} --prepared {output} -o bundle")


def _whole_report(settings: Settings, output: Path, edges: Path | None, base: Bundle | None) -> Mapping[str, Any]:
    """Prepare in this process; what was counted."""
    from prismrec.data.prepared import refuse_other_content, save_prepared
    from prismrec.inputs import open_tables, prepare_edges, prepare_log

    refuse_other_content(output)  # before the work, not after
    with busy("preparing"):
        if edges is not None:
            data = prepare_edges(edges, settings)
        else:
            data = prepare_log(*open_tables(settings), settings, base)
        save_prepared(data, output)
    return data.report


def _sharded_report(
    settings: Settings, output: Path, shards: int, base: Bundle | None, *, keep_stages: bool
) -> Mapping[str, Any]:
    """Prepare on the engine, telling of each stage; what was counted."""
    from prismrec.inputs import prepare_shards

    say(f"preparing {shards} shards")
    manifest = prepare_shards(settings, output, shards, start=base, keep_stages=keep_stages, tell=say)
    return manifest.report


def profile_of(settings: Settings) -> Profile:
    """The profile of the log that the settings name, with sessions cut as training would cut them."""
    from prismrec.data.profile import ProfileSettings
    from prismrec.data.profile import profile as profile_log
    from prismrec.inputs import open_tables

    with busy("reading and counting"):
        log, items = open_tables(settings)
        gap = settings.sessions.session_gap_minutes
        chosen = ProfileSettings(session_gap_minutes=gap, steps=_steps(settings))
        return profile_log(log, items, settings.views, chosen)


def _steps(settings: Settings) -> StepSettings:
    """The thresholds that a run would use, and those of the profile where a run would use none."""
    from prismrec.data.profile.steps import StepSettings

    said = {**settings.sessions.model_dump(exclude_defaults=True), **settings.ratings.model_dump(exclude_defaults=True)}
    return StepSettings(**{name: value for name, value in said.items() if name in StepSettings.model_fields})


def profile_lines(found: Profile) -> Iterator[str]:
    """The profile in a few lines."""
    counts, sessions = found.counts, found.sessions
    yield (
        f"{counts.n_interactions:,} interactions of {counts.n_users:,} users with {counts.n_items:,} items; "
        f"{counts.sparsity:.2%} sparse, {counts.repeat_share:.0%} repeat an earlier pair"
    )
    if counts.quarantined:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in counts.quarantined.items())
        yield f"set aside: {reasons}"
    if found.time is not None:
        yield f"time: {found.time.first} to {found.time.last}, {found.time.days:,.0f} days"
    yield (
        f"per user: median {found.activity.median:,}, at most {found.activity.maximum:,}; the busiest tenth has "
        f"{found.activity.top_10_percent:.0%}"
    )
    yield (
        f"per item: median {found.popularity.median:,}, at most {found.popularity.maximum:,}; the most popular tenth "
        f"has {found.popularity.top_10_percent:.0%}"
    )
    yield (
        f"sessions: {sessions.lengths.n:,} (by {sessions.source}), mean length {sessions.lengths.mean:.1f}, "
        f"{sessions.single_share:.0%} with one interaction"
    )
    for view in found.coverage:
        values = f"{view.n_values:,} values, {view.items_covered:.1%} of the items have one"
        yield f"view {view.view} ({view.column}): {values}"
    if found.unknown_items:
        yield f"items that the item table lacks: {found.unknown_items:,}"
    if found.suspects.n_users:
        yield (
            f"suspected bots: {found.suspects.n_users:,} users with {found.suspects.interactions_share:.1%} of the "
            "interactions"
        )
    for step in found.steps:
        yield (
            f"step {step.setting}: would leave out {step.left_out} ({step.share:.1%}) with "
            f"{step.interactions_share:.1%} of the interactions"
        )
    for finding in found.findings:
        yield f"{finding.level}: {finding.message} {finding.advice}"


def report_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The report of a preparation, a line per stage."""
    for stage, values in report.items():
        if isinstance(values, Mapping):
            for name, text in _stage_lines(stage, values):
                yield f"{name}: {text}"
        else:
            yield f"{_words(stage)}: {values:,}"


def _stage_lines(stage: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """One line for the plain values of a stage, one more for each group within it."""
    plain = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    if plain:
        yield _words(stage), _pairs(plain)
    for key, group in values.items():
        if isinstance(group, Mapping) and group:
            yield f"{_words(stage)}, {_words(key)}", _pairs(group)


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(
        _pair(_words(key), f"{value:,}" if isinstance(value, int) else value) for key, value in values.items()
    )


def _pair(name: str, value: Any) -> str:
    """A note that names itself, such as "timestamps read as ...", needs no name before it."""
    return value if isinstance(value, str) and value.startswith(f"{name} ") else f"{name} {value}"


def _words(name: str) -> str:
    return name.replace("_", " ")


__all__ = ["prepare", "profile", "profile_lines", "profile_of", "report_lines"]
