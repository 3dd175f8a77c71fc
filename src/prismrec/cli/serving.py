"""`prismrec serve` answers over HTTP; `prismrec rollback` goes back to the release before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prismrec.cli.options import AsJson, BundleFolder, Overrides
from prismrec.cli.terminal import emit, say, show
from prismrec.config import Section, apply_overrides, build
from prismrec.errors import MissingExtraError

if TYPE_CHECKING:
    from prismrec.serving.settings import ServeSettings

NEEDED = ("fastapi", "uvicorn", "httptools", "prometheus_client", "sqlalchemy")
"""Packages of the extra `serve` without which nothing is served."""

Source = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="Folder that `prismrec train` wrote, or a folder of such folders.")
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="CONFIG", help="Settings file (TOML); its section [serving] counts.")
]


def serve(
    bundle: Source,
    host: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Address to listen on [127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on [8000].")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; they share the vectors [1].")] = None,
    config: ConfigOption = None,
    histories: Annotated[
        Path | None,
        typer.Option("--histories", metavar="CONFIG", help="Settings file whose click log fills the stored histories."),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Answer over HTTP, with a page to explore the bundle at /.

    A bundle that changes, or a newer one in a folder of bundles, is adopted while requests run. Histories and added
    items lie in BUNDLE.serve. Writes need the token in PRISMREC_TOKEN unless they come from this machine.

    Example: `prismrec serve bundle --port 8080 --set serving.limits.k=100`
    """
    _check_extra()
    from prismrec.serving.http.server import prepare, run

    given = {"host": host, "port": port, "workers": workers}
    settings = _settings(config, overrides or (), {name: value for name, value in given.items() if value is not None})
    source = bundle.resolve()
    release = prepare(source, settings)
    if histories is not None:
        _fill(histories, source, settings)
    address = f"[{settings.host}]" if ":" in settings.host else settings.host
    say(f"release {release.number}, trained {release.created}: http://{address}:{settings.port}/ (Ctrl-C stops)")
    run(source, settings)


def rollback(
    bundle: BundleFolder, config: ConfigOption = None, overrides: Overrides = None, as_json: AsJson = False
) -> None:
    """Serve the release before the current one again; running servers follow within a second.

    The bundle that was rolled back is not adopted again by itself.

    Example: `prismrec rollback bundle`
    """
    _check_extra()
    from prismrec.serving.releases.releases import Releases

    settings = _settings(config, overrides or (), {})
    source = bundle.resolve()
    release = Releases(settings.home_of(source), source, settings.releases).rollback()
    if as_json:
        emit({"number": release.number, "created": release.created, "fingerprint": release.fingerprint})
    else:
        show(f"release {release.number}, trained {release.created}, is served again")


def _fill(config: Path, source: Path, settings: ServeSettings) -> None:
    """Store the latest clicks of every user; those that are stored already are not stored again."""
    from prismrec.inputs import read_tables
    from prismrec.serving.state.store import State
    from prismrec.serving.state.user_table import load_histories
    from prismrec.settings import read_settings

    log, _ = read_tables(read_settings(config))
    state = State.open(settings.state_url(source))
    try:
        say(f"histories from {config}: {load_histories(state, log, settings.limits.history):,} clicks stored anew")
    finally:
        state.close()


def _settings(config: Path | None, overrides: Sequence[str], given: dict[str, Any]) -> ServeSettings:
    """The section [serving]; options of the command line win over `--set`, and that over the file."""
    named = [*overrides, *(f"serving.{name}={json.dumps(value)}" for name, value in given.items())]
    if config is None and all(name.startswith("serving.") for name in named):
        return _section_alone(named)
    from prismrec.settings import build_settings, read_settings

    return (build_settings({}, named) if config is None else read_settings(config, named)).serving


def _section_alone(named: Sequence[str]) -> ServeSettings:
    """The section without all the others, whose modules take longer to load than a bundle to open."""
    from prismrec.serving.settings import ServeSettings

    class Alone(Section):
        serving: ServeSettings = ServeSettings()

    return build(Alone, apply_overrides({}, named)).serving


def _check_extra() -> None:
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise MissingExtraError(f"serving needs {', '.join(missing)}: install with pip install 'prismrec[serve]'")


__all__ = ["rollback", "serve"]
