"""Which items meet the conditions of a request: masks over items, by view node and by column of the item table.

    a condition on a view     node ids -> nodes -> items, through the transposed node lists
    a condition on a column   the column's values -> items

`any_of` asks for at least one of the values, `none_of` for none of them, `min` and `max` for a value between them, ends
included. An item with several values needs one value for `any_of` and one (the same or another) for the range. An item
without a value meets `none_of` alone. Where a view and a column share a name, the view wins, and what is compared are
the ids of its nodes. Days and moments are ISO text, in UTC unless they name a zone; a day stands for all times in it.

Cost: O(number of values) once per condition. A mask that was asked for before comes from a bounded cache in
microseconds, at one byte per item and mask. Threads may share a filter.
"""

from __future__ import annotations

import difflib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError
from prismrec.retrieval.filters.conditions import Mask, ValueType, condition_masks
from prismrec.retrieval.filters.item_values import Attribute, ItemValues, column_values, new_values, node_values
from prismrec.retrieval.request import Condition, NewItem, Value

CACHED_MASKS = 256
"""How many masks a filter keeps at most: 51 MB at 200 k items."""

CACHED_BYTES = 256 * 2**20
"""What they may take together: fewer masks than that from a million items on, 25 at ten million."""

Where = Mapping[str, Condition]
_Read = Callable[[Attribute, ValueType], ItemValues]
_Key = tuple[str, Condition, tuple[type, ...]]


class ItemFilter:
    """Answers which items of a bundle meet the conditions of a request."""

    def __init__(
        self,
        item_nodes: Mapping[str, Sequences],
        vocabularies: Mapping[str, Vocabulary],
        item_columns: pa.Table | None,
    ) -> None:
        """Bind the tables; nothing is copied or indexed before a condition asks for it.

        Args:
            item_nodes: per side view one row per item: the item's node indices.
            vocabularies: the ids of the nodes, by view.
            item_columns: one row per item, in item order.
        """
        table = item_columns if item_columns is not None else pa.table({})
        columns = [Attribute.of_column(column) for column in table.schema]
        views = [Attribute.of_view(name, vocabularies[name]) for name in item_nodes]
        self._attributes = {attribute.name: attribute for attribute in (*columns, *views)}

        def read(attribute: Attribute, kind: ValueType) -> ItemValues:
            if attribute.is_view:
                return node_values(item_nodes[attribute.name], vocabularies[attribute.name], kind)
            return column_values(table[attribute.name], attribute, kind)

        self._bind(read)

    def _bind(self, read: _Read) -> None:
        self._read = read
        self._values: dict[str, ItemValues] = {}
        self._cache = _MaskCache(CACHED_MASKS, CACHED_BYTES)

    def over(self, items: Sequence[NewItem]) -> ItemFilter:
        """The filter over items added at run time, with the views and columns of this one; row i is `items[i]`.

        An id that no node of the bundle has is compared like any other.
        """
        other = object.__new__(ItemFilter)
        other._attributes = self._attributes
        other._bind(lambda attribute, kind: new_values(items, attribute, kind))
        return other

    @property
    def names(self) -> tuple[str, ...]:
        """What conditions can be put on: columns and views whose values can be compared."""
        return tuple(name for name, attribute in self._attributes.items() if attribute.type is not None)

    def parsed(self, name: str, text: str) -> Value:
        """The value that a text from a command line stands for: number, truth or text, as the view or column has it.

        Raises:
            ConfigError: there is no such view or column, or the text is not such a value.
        """
        attribute, kind = self._known(name)
        readings: dict[str, Callable[[str], Value]] = {"integer": _number, "number": _number, "truth": _truth}
        try:
            return readings.get(kind.kind, str)(text)
        except (ValueError, KeyError) as error:
            raise ConfigError(f"filter on {attribute}: {text!r} is not a value of type {attribute.told}") from error

    def mask(self, where: Where) -> Mask | None:
        """Which items meet all conditions: (n_items,) bool, read-only; None where there is no condition.

        Raises:
            ConfigError: a condition is on something that is neither a view nor a column, or holds a value of another
                type than that has.
            DataError: this is a filter `over` new items, one of which holds a value of another type; see `check`.
        """
        if not where:
            return None
        keys = tuple(_key(name, where[name]) for name in sorted(where))
        if len(keys) == 1:
            return self._single(keys[0])
        return self._cache.get(keys, lambda: np.logical_and.reduce([self._single(key) for key in keys]))

    def matches(self, where: Where, items: Sequence[NewItem]) -> Mask:
        """Which of some new items meet all conditions: (n_items,) bool; `over` for items that are asked about often.

        Raises:
            ConfigError: as for `mask`.
            DataError: an item holds a value of another type than its view or column has.
        """
        found = self.over(items).mask(where)
        return np.ones(len(items), np.bool_) if found is None else found

    def check(self, items: Sequence[NewItem]) -> None:
        """Refuse new items that a condition could not be compared with.

        Raises:
            DataError: an item holds a value of another type than its view or column has; names item and value.
        """
        for attribute in self._attributes.values():
            if attribute.type is not None:
                new_values(items, attribute, attribute.type)

    def _single(self, key: _Key) -> Mask:
        return self._cache.get(key, lambda: self._met(key[0], key[1]))

    def _met(self, name: str, condition: Condition) -> Mask:
        """Which items meet one condition, worked out."""
        attribute, kind = self._known(name)
        if name not in self._values:  # two threads may both read it, and get the same
            self._values[name] = self._read(attribute, kind)
        owned = self._values[name]
        found = condition_masks(owned.values, kind, condition, str(attribute))
        mask = np.ones(owned.n_items, np.bool_)
        for part in (found.any_of, found.between):
            if part is not None:
                mask &= owned.items_with(part)
        if found.none_of is not None:
            mask &= ~owned.items_with(found.none_of)
        return mask

    def _known(self, name: str) -> tuple[Attribute, ValueType]:
        """What a condition is on, if there is such a thing and it can be compared."""
        attribute = self._attributes.get(name)
        if attribute is None:
            near = difflib.get_close_matches(name, self.names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(self.names) or 'none'}"
            raise ConfigError(f"filter on {name!r}: there is no view and no column of the item table so named; {hint}")
        if attribute.type is None:
            raise ConfigError(
                f"filter on {attribute}: values of type {attribute.told} cannot be compared; "
                f"there are {', '.join(self.names) or 'no others'}"
            )
        return attribute, attribute.type


class _MaskCache:
    """The masks asked for last, made read-only; threads may share it."""

    def __init__(self, most_masks: int, most_bytes: int) -> None:
        self._most_masks = most_masks
        self._most_bytes = most_bytes
        self._masks: OrderedDict[Hashable, Mask] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Mask]) -> Mask:
        """The mask of a key, made outside the lock where it is new: slow masks hold up nobody."""
        with self._lock:
            if key in self._masks:
                self._masks.move_to_end(key)
                return self._masks[key]
        mask = make()
        mask.flags.writeable = False
        with self._lock:
            self._masks[key] = mask
            while len(self._masks) > min(self._most_masks, max(1, self._most_bytes // max(1, mask.nbytes))):
                self._masks.popitem(last=False)
        return mask


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdecimal() else float(text)


def _truth(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _key(name: str, condition: Condition) -> _Key:
    """Tells conditions apart that Python calls equal: 1, 1.0 and True are not the same question."""
    values = (*(condition.any_of or ()), *condition.none_of, condition.min, condition.max)
    return name, condition, tuple(map(type, values))


__all__ = ["CACHED_MASKS", "ItemFilter", "Where"]
