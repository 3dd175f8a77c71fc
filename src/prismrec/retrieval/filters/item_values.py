"""What items have in a view or a column: values to compare, and whose they are, for known items and for new ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prismrec.data.schema import ITEM_ID
from prismrec.data.sequences import Sequences, ragged_positions
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import DataError
from prismrec.retrieval.filters.conditions import Mask, ValueType, converted, stored_values, value_type
from prismrec.retrieval.request import NewItem


@dataclass(frozen=True)
class Attribute:
    """A view, or a column of the item table.

    Attributes:
        name: of the view or column.
        is_view: whether its values are the ids of the item's nodes.
        many: whether an item may have several values.
        type: of the values; None where they cannot be compared.
        told: the type as the table has it.
    """

    name: str
    is_view: bool
    many: bool
    type: ValueType | None
    told: str

    @classmethod
    def of_view(cls, name: str, vocabulary: Vocabulary) -> Attribute:
        """The nodes of a view, by their ids."""
        return cls(name, True, True, value_type(vocabulary.ids.type), str(vocabulary.ids.type))

    @classmethod
    def of_column(cls, field: pa.Field) -> Attribute:
        """A column of the item table."""
        many = _is_list(field.type)
        return cls(field.name, False, many, value_type(field.type.value_type if many else field.type), str(field.type))

    def __str__(self) -> str:
        return f"{'view' if self.is_view else 'column'} {self.name!r}"


class ItemValues(Protocol):
    """The values that items have, and whose they are."""

    @property
    def values(self) -> pa.Array:
        """(n_values,) as `conditions.stored_values` gives them."""
        ...

    @property
    def n_items(self) -> int:
        """How many items there are."""
        ...

    def items_with(self, chosen: Mask) -> Mask:
        """Which items have one of the chosen values: (n_values,) bool to (n_items,) bool, maybe the same array."""
        ...


@dataclass(frozen=True, eq=False)
class SingleValues:
    """One value per item, missing ones among them."""

    values: pa.Array

    @property
    def n_items(self) -> int:
        """How many items there are."""
        return len(self.values)

    def items_with(self, chosen: Mask) -> Mask:
        """A value is its item."""
        return chosen


@dataclass(frozen=True, eq=False)
class ManyValues:
    """Any number of values per item: value i belongs to item `owners[i]`."""

    values: pa.Array
    owners: NDArray[np.int64]
    n_items: int

    def items_with(self, chosen: Mask) -> Mask:
        """The owners of the chosen values."""
        mask = np.zeros(self.n_items, np.bool_)
        mask[self.owners[chosen]] = True
        return mask


@dataclass(frozen=True, eq=False)
class NodeValues:
    """A view: every node id stands once, however many items have it."""

    values: pa.Array
    nodes: Sequences

    @property
    def n_items(self) -> int:
        """How many items there are."""
        return len(self.nodes)

    @cached_property
    def items_of_node(self) -> Sequences:
        """Node -> its items, rising: the items' node lists, transposed."""
        order = np.argsort(self.nodes.values, kind="stable")
        owners = np.repeat(np.arange(self.n_items, dtype=np.int32), self.nodes.lengths)
        return Sequences.from_lengths(owners[order], np.bincount(self.nodes.values, minlength=len(self.values)))

    def items_with(self, chosen: Mask) -> Mask:
        """The items of the chosen nodes."""
        nodes, items = np.flatnonzero(chosen), self.items_of_node
        mask = np.zeros(self.n_items, np.bool_)
        mask[items.values[ragged_positions(items.offsets[nodes], items.lengths[nodes])]] = True
        return mask


def node_values(nodes: Sequences, vocabulary: Vocabulary, kind: ValueType) -> NodeValues:
    """The nodes of the items of a bundle in one view."""
    return NodeValues(stored_values(vocabulary.ids, kind), nodes)


def column_values(column: pa.ChunkedArray, attribute: Attribute, kind: ValueType) -> SingleValues | ManyValues:
    """One column of the item table of a bundle."""
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if not attribute.many:
        return SingleValues(stored_values(array, kind))
    lengths = np.asarray(array.value_lengths().fill_null(0)).astype(np.int64)
    owners = np.repeat(np.arange(len(array), dtype=np.int64), lengths)
    return ManyValues(stored_values(array.flatten(), kind), owners, len(array))


def new_values(items: Sequence[NewItem], attribute: Attribute, kind: ValueType) -> ManyValues:
    """What items added at run time have in a view or column of the bundle; nothing where they do not say.

    Raises:
        DataError: a value is of another type than the bundle's, or a list where it has single ones.
    """
    rows = [_row(item, attribute) for item in items]
    owners = np.repeat(np.arange(len(rows), dtype=np.int64), [len(row) for row in rows])
    values = [value for row in rows for value in row]

    def named(place: int) -> str:
        return f"item {items[owners[place]].item_id!r}: the value in {attribute}"

    return ManyValues(converted(values, kind, named), owners, len(rows))


def _row(item: NewItem, attribute: Attribute) -> Sequence[Any]:
    if attribute.is_view:
        return item.views.get(attribute.name, ())
    value = item.item_id if attribute.name == ITEM_ID else item.columns.get(attribute.name)
    if not attribute.many:
        return (value,)
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise DataError(f"item {item.item_id!r}: {attribute} holds lists ({attribute.told}), got {value!r}")
    return value


def _is_list(kind: pa.DataType) -> bool:
    return any(is_kind(kind) for is_kind in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list))


__all__ = [
    "Attribute",
    "ItemValues",
    "ManyValues",
    "NodeValues",
    "SingleValues",
    "column_values",
    "new_values",
    "node_values",
]
