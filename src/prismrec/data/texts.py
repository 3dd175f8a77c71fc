"""Which texts are numbers and which are moments: one rule, whatever an engine's own casts would take.

A number is decimal digits with an optional sign, point and exponent, blanks around it allowed: `5`, `-1.50`, ` 2e3 `.
`nan` in any case is a number that is missing. Nothing else is one: no `0x1F`, `1_000`, `1,5`, `inf`, nor what is too
large for 64 bits.

A moment is `2020-01-31`, with a time after a blank or a `T` if there is one: `10:00`, `10:00:59` or `10:00:59.123456`
(digits after the sixth are cut), and with a zone if there is one: `Z`, `UTC`, `GMT`, `+05`, `+05:30` or `+0530`.
Without a zone it is UTC. The date may also be written `2020/1/31`.
"""

from __future__ import annotations

from typing import Any

import ibis

from prismrec.data.engines.functions import finite, microseconds

_NUMBER = r"\A[ \t]*[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?[ \t]*\z"
_WHOLE = r"\A[ \t]*[+-]?[0-9]+[ \t]*\z"
_NAN = r"\A[ \t]*[nN][aA][nN][ \t]*\z"
_PLAIN = r"\A[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}([ T]([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?)?\z"
_DATE = r"[1-9][0-9]{3}(-[0-9]{1,2}-|/[0-9]{1,2}/)[0-9]{1,2}"
_CLOCK = r"[ T]([01]?[0-9]|2[0-3]):[0-5]?[0-9](:[0-5]?[0-9]([.][0-9]{0,6})?)?"
_ZONE = r"[ ]?(Z|UTC|GMT|[+-][01][0-9](:?[0-5][0-9])?)"
_MOMENT = rf"\A[ \t]*{_DATE}({_CLOCK}[0-9]{{0,3}}({_ZONE})?)?[ \t]*\z"
_OFFSET = r"([+-])([0-9]{2}):?([0-9]{2})?[ \t]*\z"

_MICROSECONDS_PER_MINUTE = 60_000_000


def number(text: Any) -> Any:
    """The number that a text spells, float64; NaN for `nan`, null for what is no number or too large."""
    value, nan = finite(text.strip().try_cast("float64")), ibis.literal(float("nan"))
    return ibis.cases((text.re_search(_NUMBER), value), (text.re_search(_NAN), nan), else_=ibis.null("float64"))


def whole_number(text: Any) -> Any:
    """The integer that a text of digits spells, int64; null for all other texts, `1.0` and `1e3` among them."""
    return text.re_search(_WHOLE).ifelse(text.strip().try_cast("int64"), ibis.null("int64"))


def moment(text: Any) -> Any:
    """The moment that a text spells, in int64 microseconds since 1970 UTC; null for what is none."""
    plain = microseconds(text.try_cast("timestamp"))  # what nearly all texts are: one look at each
    return ibis.cases(
        (text.re_search(_PLAIN), plain), (text.re_search(_MOMENT), _any_moment(text)), else_=ibis.null("int64")
    )


def _any_moment(text: Any) -> Any:
    local = microseconds(text.re_extract(rf"{_DATE}({_CLOCK})?", 0).replace("/", "-").try_cast("timestamp"))
    hours, minutes = (text.re_extract(_OFFSET, group).try_cast("int64") for group in (2, 3))
    offset = (hours * 60 + minutes.fill_null(0)) * _MICROSECONDS_PER_MINUTE
    eastern = text.re_extract(_OFFSET, 1) == "+"
    has_offset = text.re_search(rf":[0-9.]+[ ]?{_OFFSET}")  # and no date without a time, which may end in -31
    return ibis.ifelse(has_offset, local - ibis.ifelse(eastern, offset, -offset), local)


__all__ = ["moment", "number", "whole_number"]
