"""Counts, bytes and durations as people write and read them. Units are decimal: 1 GB is 10^9 bytes."""

from __future__ import annotations

import re
from decimal import Decimal

from prismrec.errors import ConfigError

COUNT_SUFFIXES = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
BYTE_SUFFIXES = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 2**10, "mib": 2**20, "gib": 2**30}

_NUMBER = re.compile(r"([0-9][0-9_,]*(?:\.[0-9]+)?(?:e\+?[0-9]{1,2})?)\s*([a-z]*)", re.IGNORECASE)
_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_TIME_UNITS = (("days", 86_400.0), ("h", 3_600.0), ("min", 60.0), ("s", 1.0), ("ms", 0.001))


def count_of(text: str, what: str = "a number") -> int:
    """A count: `57e9`, `57B`, `1_000_000`, `1,000,000` and `1M` are understood.

    >>> count_of("57B"), count_of("1.5e3"), count_of("20k")
    (57000000000, 1500, 20000)

    Raises:
        ConfigError: the text is no whole number of 0 or more.
    """
    return _number(text, COUNT_SUFFIXES, f"{what} must be a count such as 57e9, 57B, 1_000_000 or 1M")


def bytes_of(text: str, what: str = "a size") -> int:
    """A size in bytes; the unit must be named.

    >>> bytes_of("24GB"), bytes_of("1.5 TB")
    (24000000000, 1500000000000)

    Raises:
        ConfigError: the text is no size, or has no unit.
    """
    return _number(text, BYTE_SUFFIXES, f"{what} must be a size such as 24GB, 500 MB or 1.5TB")


def _number(text: str, suffixes: dict[str, int], expected: str) -> int:
    parts = _NUMBER.fullmatch(text.strip())
    if parts is None or parts[2].lower() not in suffixes:
        raise ConfigError(f"{expected}, got {text!r}")
    value = Decimal(re.sub("[_,]", "", parts[1])) * suffixes[parts[2].lower()]
    if value != int(value):
        raise ConfigError(f"{expected}, a whole one, got {text!r}")
    return int(value)


def show_bytes(n: float) -> str:
    """Three digits and a unit.

    >>> show_bytes(520e9), show_bytes(1234), show_bytes(0)
    ('520 GB', '1.23 kB', '0 B')
    """
    return _scaled(n, _BYTE_UNITS)


def show_count(n: float) -> str:
    """Three digits and a unit.

    >>> show_count(57e9), show_count(1_000_000), show_count(1770)
    ('57 B', '1 M', '1.77 k')
    """
    return _scaled(n, ("", "k", "M", "B", "T")).rstrip()


def show_seconds(seconds: float) -> str:
    """Two or three digits and the unit that suits them.

    >>> show_seconds(0.0042), show_seconds(59.6), show_seconds(5400), show_seconds(4e5)
    ('4.2 ms', '60 s', '1.5 h', '4.6 days')
    """
    unit, size = next((unit, size) for unit, size in _TIME_UNITS if seconds >= size or size < 0.01)
    value = seconds / size
    return f"{value:,.0f} {unit}" if value >= 10 else f"{value:.2g} {unit}"


def _scaled(n: float, units: tuple[str, ...]) -> str:
    place = 0
    while abs(n) >= 999.5 and place < len(units) - 1:
        n, place = n / 1000, place + 1
    return f"{n:,.0f} {units[place]}" if abs(n) >= 100 else f"{n:.3g} {units[place]}"


__all__ = ["bytes_of", "count_of", "show_bytes", "show_count", "show_seconds"]
