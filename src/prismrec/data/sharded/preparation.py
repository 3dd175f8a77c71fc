"""Tables to sharded training data, stage by stage on the engine; nothing but counts comes into this process.

    log/clean -> log/bounded -> vocabulary/user, vocabulary/item -> log/indexed -> sequences/item -> counts/item
    item table -> pairs/<view> -> vocabulary/<view> -> edges/<view> -> sequences/<view> -> counts/<view>

The outcome is that of `preparation.prepare`, id for id and row for row, for logs of any size: see `recipe` for the
stages, `stages` for how a killed run goes on, `layout` for what is written.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from prismrec.data.preparation import checked_views, steps_of
from prismrec.data.prepared import refuse_other_content
from prismrec.data.schema import ITEM_VIEW, USERS
from prismrec.data.sharded import layout
from prismrec.data.sharded.job import ShardJob, Tables
from prismrec.data.sharded.recipe import Recipe
from prismrec.data.sharded.stages import Stage, Stages, Told, identity_of, only_one_at
from prismrec.errors import ArtifactError
from prismrec.files import whole_folder

_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP}
"""Another file system, or one without hard links: the bytes are copied."""


def prepare_sharded(tables: Tables, backend: Any, job: ShardJob, tell: Told) -> layout.ShardManifest:
    """Write a folder of sharded training data, or go on where an earlier run of the same command was stopped.

    Args:
        tables: what to read.
        backend: the engine, the one that `tables` are opened on.
        job: what to make of it, and where.
        tell: is told of every stage as it ends.

    Raises:
        ConfigError: views without an item table, or a view with a reserved name.
        DataError: the tables are not usable, or no interaction is left.
        ArtifactError: the folder holds something else, the disk is full, or another process works there.
    """
    job = replace(job, views=checked_views(job.views, has_items=bool(tables.items)))
    identity = identity_of("all", {**job.parts(), **tables.parts()})
    manifest = _finished(job.folder, identity)
    if manifest is not None:
        tell(f"{job.folder}: whole, kept from the earlier run")
        if not job.keep_stages:
            _remove_abandoned(job.stages_folder)
    else:
        with only_one_at(job.stages_folder):
            made = _all_stages(Recipe(tables, backend, job, Stages(job.stages_folder, tell)), job.views)
            manifest = _published(made, job, identity)
            if not job.keep_stages:
                shutil.rmtree(job.stages_folder, ignore_errors=True)
    return manifest


@dataclass
class _Made:
    """The stages so far, those that stay by the folder that they become, and what was counted."""

    kept: dict[str, Stage] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)
    id_types: dict[str, str] = field(default_factory=dict)

    def keep(self, *stages: Stage) -> None:
        self.kept |= {stage.name: stage for stage in stages}


def _all_stages(recipe: Recipe, views: Mapping[str, Any]) -> _Made:
    made = _Made()
    log, items = recipe.clean_log(), recipe.item_table()
    made.keep(recipe.quarantine())
    bounded, activity = recipe.bounded_log(log)
    found = log.counts
    steps = steps_of(found["read"], found["long_enough"], activity["interactions"], bounded.rows)
    made.report |= {name: found[name] for name in ("input", "item_table", "unknown_items")}
    made.report |= {"interactions": steps, "activity": activity}
    made.id_types |= found["id_types"]
    users, nodes = recipe.users(bounded), recipe.items(bounded, items)
    rows = recipe.sequences(recipe.indexed_log(bounded, users, nodes))
    made.keep(users, nodes, rows, recipe.occurrences(ITEM_VIEW, rows))
    made.report["sessions"] = rows.counts
    if items is not None:
        made.keep(recipe.item_columns(items, nodes))
        for name, view in views.items():
            pairs = recipe.pairs(name, view, items, nodes)
            made.id_types[name] = pairs.counts["id_type"]
            values = recipe.nodes(name, pairs)
            edges = recipe.edges(name, pairs, values)
            images = recipe.view_sequences(name, rows, edges)
            made.keep(values, edges, images, recipe.occurrences(name, images))
    return made


def _published(made: _Made, job: ShardJob, identity: str) -> layout.ShardManifest:
    """Give the files of the stages that stay a second name in the folder, and write the manifest last."""
    with whole_folder(job.folder) as place:
        for name, stage in made.kept.items():
            _link_all(stage.folder.glob("*.parquet"), place / name)
        files = layout.describe(place)
        manifest = layout.ShardManifest(
            identity=identity,
            shards=job.shards,
            sequences=job.sequences,
            views=tuple(job.views),
            nodes={name: made.kept[f"{layout.VOCABULARY}/{name}"].rows for name in (USERS, ITEM_VIEW, *job.views)},
            id_types=made.id_types,
            item_columns=layout.ITEM_COLUMNS in made.kept,
            report={**made.report, **_totals(made, job, files)},
            files=files,
        )
        layout.write_manifest(place, manifest)
    return manifest


def _totals(made: _Made, job: ShardJob, files: Mapping[str, layout.ShardFile]) -> dict[str, Any]:
    """The last counts of the report, as `preparation.prepare` has them; those of the sequences that were made."""

    def values(view: str) -> int:
        return sum(file.values for name, file in files.items() if name.startswith(f"{layout.SEQUENCES}/{view}/"))

    def stage(kind: str, name: str) -> Stage:
        return made.kept[f"{kind}/{name}"]

    users, items = stage(layout.VOCABULARY, USERS), stage(layout.VOCABULARY, ITEM_VIEW)
    return {
        "prepared": {
            "users": users.counts["occurring"],
            "items": items.counts["occurring"],
            "unclicked_items": items.rows - items.counts["occurring"],
            job.sequences: stage(layout.SEQUENCES, ITEM_VIEW).rows,
            f"clicks_in_{job.sequences}": values(ITEM_VIEW),
        },
        "views": {
            name: {
                "nodes": stage(layout.VOCABULARY, name).rows,
                **stage(layout.EDGES, name).counts,
                "values": values(name),
            }
            for name in job.views
        },
    }


def _link_all(files: Iterable[Path], folder: Path) -> None:
    for file in files:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, folder / file.name)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            shutil.copyfile(file, folder / file.name)


def _remove_abandoned(stages: Path) -> None:
    """Remove what a killed run left behind; the stages of a run at work, with other settings, stay."""
    if stages.is_dir():
        with suppress(ArtifactError), only_one_at(stages):
            shutil.rmtree(stages, ignore_errors=True)


def _finished(folder: Path, identity: str) -> layout.ShardManifest | None:
    """The manifest of a folder that is what is asked for already, else None.

    Raises:
        ArtifactError: the folder holds something that is no prepared data, and would be lost.
    """
    refuse_other_content(folder)
    if not layout.is_sharded(folder):
        return None
    try:
        manifest = layout.read_manifest(folder)
    except ArtifactError:
        return None  # damaged or of another version: made again
    return manifest if manifest.identity == identity else None


__all__ = ["prepare_sharded"]
