"""The stages from the tables to the sequences of every view: what each depends on, and the expression that makes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from prismrec.data import engine
from prismrec.data.activity import has_bounds, within_bounds
from prismrec.data.schema import ITEM_ID, ITEM_VIEW, ROW, TIMESTAMP, USER_ID, USERS, Interactions
from prismrec.data.sessions import SESSION_NUMBER, clean, long_enough, parted
from prismrec.data.sharded import layout, lists
from prismrec.data.sharded.job import OpenTables, ShardJob, Tables
from prismrec.data.sharded.stages import Stage, Stages
from prismrec.data.sharded.vocabularies import (
    ORDER,
    counted,
    distinct_count_of,
    indexed,
    ranked,
    unclicked_in,
    whole_number,
    write_base,
)
from prismrec.data.views import ViewSettings, pairs_of

_CLEANING = {"min_rating", "min_dwell_seconds", "session_gap_minutes", "collapse_repeats", "unknown_items"}
_BOUNDS = {
    "min_item_interactions", "min_user_interactions", "max_user_interactions", "max_core_rounds", "collapse_repeats",
}  # fmt: skip
_ITEM = "item_index"


class Recipe:
    """Each method is one stage: kept from an earlier run, or written now from the stages that it is given."""

    def __init__(self, tables: Tables, backend: Any, job: ShardJob, stages: Stages) -> None:
        """Nothing is read before a stage asks for it."""
        self._tables, self._backend, self._job, self._stages = tables, backend, job, stages
        self._opened = OpenTables(tables, job.sessions)

    def clean_log(self) -> Stage:
        """The log without short clicks and repeats, its sessions numbered; ids as they came."""
        settings = self._job.sessions

        def write(place: Path) -> dict[str, Any]:
            log = parted(self._opened.log, settings)
            long, n_read = long_enough(log, settings), _n_rows(log.table)
            self._write(_log_columns(clean(log, settings).table), place)
            return {
                "input": log.notes,
                "item_table": {} if self._opened.items is None else self._opened.items.notes,
                "unknown_items": self._opened.unknown,
                "read": n_read,
                "long_enough": n_read if long is log else _n_rows(long.table),
                "id_types": {USERS: _id_type(log.table[USER_ID]), ITEM_VIEW: _id_type(log.table[ITEM_ID])},
            }

        return self._stages.run("log/clean", {**self._tables.parts(), **self._settings(_CLEANING)}, write)

    def quarantine(self) -> Stage:
        """The rows set aside, one file per table; no files where there are none."""

        def write(place: Path) -> dict[str, Any]:
            for name, table in self._opened.quarantined.items():
                engine.write_parquet(table, place / f"{name}.parquet")
            return {}

        parts = {**self._tables.parts(), **self._settings({"unknown_items"})}
        return self._stages.run(layout.QUARANTINE, parts, write)

    def item_table(self) -> Stage | None:
        """The item table, its ids of the log's type; None where there is none."""

        def write(place: Path) -> dict[str, Any]:
            if self._opened.items is not None:
                self._write(self._opened.items.table, place)
            return {}

        return self._stages.run("item_table", self._tables.parts(), write) if self._tables.items else None

    def bounded_log(self, log: Stage) -> tuple[Stage, Mapping[str, int]]:
        """The clean log of the users and items within the activity bounds, and what those dropped."""
        settings = self._job.sessions
        if not has_bounds(settings):
            return log, within_bounds(Interactions(log.table(self._backend)), settings)[1]

        def write(place: Path) -> dict[str, Any]:
            kept, counts = within_bounds(Interactions(log.table(self._backend)), settings)
            cleaned = clean(kept, settings)  # what stood between two clicks on one item may be gone
            self._write(_log_columns(cleaned.table), place)
            return counts

        bounded = self._stages.run("log/bounded", {"log": log.identity, **self._settings(_BOUNDS)}, write)
        return bounded, bounded.counts

    def users(self, log: Stage) -> Stage:
        """The vocabulary of users."""
        return self._vocabulary("user", {"log": log.identity}, lambda: {"counts": self._counts(log, USER_ID)})

    def items(self, log: Stage, items: Stage | None) -> Stage:
        """The vocabulary of items."""
        parts, unclicked = {"log": log.identity}, None
        if items is not None and self._job.sessions.keep_unclicked_items:
            unclicked = self._unclicked(items)
            parts["unclicked"] = unclicked.identity

        def tables() -> dict[str, Any]:
            more = {} if unclicked is None else {"unclicked": unclicked.table(self._backend)}
            return {"counts": self._counts(log, ITEM_ID), **more}

        return self._vocabulary(ITEM_VIEW, parts, tables)

    def indexed_log(self, log: Stage, users: Stage, items: Stage) -> Stage:
        """The log with indices in the place of ids."""

        def write(place: Path) -> dict[str, Any]:
            backend = self._backend
            known = indexed(users, backend, "user_index"), indexed(items, backend, _ITEM)
            self._write(lists.with_indices(log.table(backend), *known), place)
            return {}

        return self._stages.run("log/indexed", _identities(log=log, users=users, items=items), write)

    def sequences(self, log: Stage) -> Stage:
        """The sequences of items: sessions or histories."""
        settings, kind = self._job.sessions, self._job.sequences
        rows = lists.session_rows if kind == "sessions" else lists.history_rows
        names = {"min_session_length", "max_session_length"} if kind == "sessions" else {"collapse_repeats"}

        def write(place: Path) -> dict[str, Any]:
            table = log.table(self._backend)
            self._write(rows(table, settings), place, lists.BY_PLACE)
            return lists.session_counts(table, settings)

        parts = {"log": log.identity, "kind": kind, **self._settings(names)}
        return self._stages.run(f"{layout.SEQUENCES}/{ITEM_VIEW}", parts, write)

    def item_columns(self, items: Stage, vocabulary: Stage) -> Stage:
        """The item table in the order of the items, nulls where it lacks one."""

        def write(place: Path) -> dict[str, Any]:
            backend = self._backend
            index = indexed(vocabulary, backend, lists.ITEM_PLACE)
            self._write(lists.in_item_order(items.table(backend), index), place, (lists.ITEM_PLACE,))
            return {}

        return self._stages.run(layout.ITEM_COLUMNS, _identities(items=items, vocabulary=vocabulary), write)

    def pairs(self, name: str, view: ViewSettings, items: Stage, vocabulary: Stage) -> Stage:
        """Which item has which value of a view's column."""

        def write(place: Path) -> dict[str, Any]:
            index = indexed(vocabulary, self._backend, _ITEM)
            pairs = pairs_of(name, view, items.table(self._backend), index.select("id", _ITEM))
            weighed = pairs.join(index.select(_ITEM, "count"), _ITEM)
            self._write(weighed.select(_ITEM, "value", "count"), place)
            return {"id_type": _id_type(pairs.value)}

        parts = {**_identities(items=items, vocabulary=vocabulary), "view": view.model_dump(mode="json")}
        return self._stages.run(f"pairs/{name}", parts, write)

    def nodes(self, name: str, pairs: Stage) -> Stage:
        """The vocabulary of a side view: its nodes by the clicks of their items."""

        def tables() -> dict[str, Any]:
            table = pairs.table(self._backend)
            counts = table.group_by(id=table["value"]).aggregate(n=table["count"].sum())
            return {"counts": counts.mutate(n=whole_number(counts.n))}

        return self._vocabulary(name, _identities(pairs=pairs), tables)

    def edges(self, name: str, pairs: Stage, nodes: Stage) -> Stage:
        """Item and node of every pair, in the order of the items."""

        def write(place: Path) -> dict[str, Any]:
            table, known = pairs.table(self._backend), indexed(nodes, self._backend, "node")
            joined = table.join(known.select("id", "node"), table["value"] == known.id)
            self._write(joined.select("node", item=joined[_ITEM]), place, ("item", "node"))
            met = engine.read_dataset(self._backend, place)
            return {"items_with_a_node": engine.one_row(met.aggregate(n=met["item"].nunique()))["n"]}

        return self._stages.run(f"{layout.EDGES}/{name}", _identities(pairs=pairs, nodes=nodes), write)

    def view_sequences(self, name: str, sequences: Stage, edges: Stage) -> Stage:
        """The sequences of items as sequences of their nodes; rows that meet none are left out."""

        def write(place: Path) -> dict[str, Any]:
            rows = sequences.numbered(self._backend, lists.ROW_NUMBER)
            self._write(lists.mapped_rows(rows, edges.table(self._backend)), place, (lists.ROW_NUMBER,))
            return {}

        return self._stages.run(f"{layout.SEQUENCES}/{name}", _identities(rows=sequences, edges=edges), write)

    def occurrences(self, name: str, sequences: Stage) -> Stage:
        """How often each node occurs in the sequences of a view."""

        def write(place: Path) -> dict[str, Any]:
            self._write(lists.node_counts(sequences.table(self._backend)), place, ("node",))
            return {}

        return self._stages.run(f"{layout.COUNTS}/{name}", _identities(rows=sequences), write)

    def _vocabulary(self, name: str, parts: Mapping[str, Any], tables: Any) -> Stage:
        base = self._base(name)

        def write(place: Path) -> dict[str, Any]:
            older = {} if base is None else {"base": base.table(self._backend)}
            self._write(ranked(**tables(), **older), place, ORDER)
            return counted(engine.read_dataset(self._backend, place))

        older = {} if base is None else {"base": base.identity}
        shards = {"shards": self._job.shards}  # all that stays depends on a vocabulary, and has as many files
        return self._stages.run(f"{layout.VOCABULARY}/{name}", {**parts, **older, **shards}, write)

    def _base(self, name: str) -> Stage | None:
        """The older vocabulary of this name, brought to where the engine reads it."""
        older = self._job.base.get(name)
        if older is None:
            return None

        def write(place: Path) -> dict[str, Any]:
            write_base(older, place / "part-00000.parquet", for_spark=engine.is_spark(self._backend))
            return {}

        return self._stages.run(
            f"base/{name}", {"ids": self._job.base_digests[name], "spark": engine.is_spark(self._backend)}, write
        )

    def _unclicked(self, items: Stage) -> Stage:
        """The ids that only the item table holds."""

        def write(place: Path) -> dict[str, Any]:
            of_log = self._opened.log.table.select(id=ITEM_ID)
            self._write(unclicked_in(items.table(self._backend), of_log), place)
            return {}

        parts = {**self._tables.parts(), **_identities(items=items), **self._settings({"unknown_items"})}
        return self._stages.run("unclicked_items", parts, write)

    def _counts(self, log: Stage, column: str) -> Any:
        return distinct_count_of(log.table(self._backend), column)

    def _settings(self, names: Iterable[str]) -> dict[str, Any]:
        return self._job.sessions.model_dump(mode="json", include=set(names))

    def _write(self, table: Any, place: Path, order_by: tuple[str, ...] = ()) -> None:
        engine.write_dataset(table, place, self._job.shards, order_by)


def _identities(**stages: Stage) -> dict[str, str]:
    return {name: stage.identity for name, stage in stages.items()}


def _log_columns(table: Any) -> Any:
    """What the stages after cleaning read; session numbers are 128-bit sums in DuckDB, whatever Ibis takes them for."""
    return table.select(USER_ID, ITEM_ID, TIMESTAMP, ROW, **{SESSION_NUMBER: table[SESSION_NUMBER].cast("int32")})


def _id_type(column: Any) -> str:
    """The type of ids as they came; Spark writes UUIDs as text, and unsigned integers as decimals."""
    return str(column.type().copy(nullable=True))


def _n_rows(table: Any) -> int:
    return int(engine.one_row(table.aggregate(n=table.count()))["n"])


__all__ = ["Recipe"]
