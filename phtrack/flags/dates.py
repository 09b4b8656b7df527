"""
Dates in rules: what a filter and a property mean as points in time. Naive is UTC. Rules: wire contract, flags.md §8.

    "-3d" -> a function of now       "2024-06-01T00:00:00+02:00", datetime, date -> datetime in UTC

A form that the servers and Python versions read differently is not read at all (None): the flag is then left to the server.
"""

from __future__ import annotations

import calendar
import datetime as dt
import re
from typing import TYPE_CHECKING, Any

from phtrack.encode import clean

if TYPE_CHECKING:
    from collections.abc import Callable

UTC = dt.timezone.utc

_RELATIVE = re.compile(r"-?([0-9]{1,4})([hdwmy])")
_ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?)?"
    r"(?: ?(?:([Zz]|UTC)|([+-])([0-9]{2})(?::?([0-9]{2}))?))?"
)
_YEAR = re.compile(r"[0-9]{4}")
_STEP = {"h": dt.timedelta(hours=1), "d": dt.timedelta(days=1), "w": dt.timedelta(weeks=1)}


def relative(words: str) -> Callable[[dt.datetime], dt.datetime | None] | None:
    """The function from now to the time that ``3d`` or ``-2m`` names (both lie in the past), or None for other words."""
    found = _RELATIVE.fullmatch(words)
    if found is None:
        return None
    count, unit = int(found[1]), found[2]
    if unit in _STEP:
        span = _STEP[unit] * count
        return lambda now: _minus(now, span)
    months = 1 if unit == "m" else 12
    return lambda now: _back(now, count, months)


def _minus(now: dt.datetime, span: dt.timedelta) -> dt.datetime | None:
    try:
        return now - span
    except OverflowError:
        return None


def _back(now: dt.datetime, count: int, months: int) -> dt.datetime | None:
    """*count* steps of *months* back, one by one: the day is clamped at each (31 March, 28 February, 28 January)."""
    year, month, day = now.year, now.month, now.day
    for _ in range(count):
        index = year * 12 + month - 1 - months
        year, month = index // 12, index % 12 + 1
        if year < 1:
            return None
        if day > 28:
            day = min(day, calendar.monthrange(year, month)[1])
    return now.replace(year=year, month=month, day=day)


def point(value: Any, now: Callable[[], dt.datetime]) -> dt.datetime | None:
    """*value* (datetime, date, ISO text) as a time in UTC, or None."""
    kind = type(value)
    if kind is not str:
        if isinstance(value, dt.datetime):
            return _in_utc(value)
        if isinstance(value, dt.date):
            return dt.datetime(value.year, value.month, value.day, tzinfo=UTC)
        value = clean(value)
        if type(value) is not str:
            return None
    if len(value) == 10 and value[4] == "-" == value[7] and value.isascii():
        try:
            return dt.datetime.fromisoformat(value).replace(tzinfo=UTC)
        except ValueError:
            return None
    if len(value) == 4 and _YEAR.fullmatch(value):
        return _in_year(int(value), now())
    found = _ISO.fullmatch(value)
    return _from_match(found) if found is not None else None


def _in_utc(value: dt.datetime) -> dt.datetime | None:
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except Exception:  # out of range, or a time zone of the application that fails
        return None


def _in_year(year: int, today: dt.datetime) -> dt.datetime | None:
    """A bare year means today's day in that year."""
    if year < 1:
        return None
    day = min(today.day, calendar.monthrange(year, today.month)[1])
    return dt.datetime(year, today.month, day, tzinfo=UTC)


def _from_match(found: re.Match[str]) -> dt.datetime | None:
    year, month, day, hour, minute, second, part, _, sign, off_hours, off_minutes = found.groups()
    try:
        at = dt.datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0),
            int((part or "0")[:6].ljust(6, "0")), tzinfo=UTC,
        )  # fmt: skip
        if sign:
            hours, minutes = int(off_hours), int(off_minutes or 0)
            if hours > 23 or minutes > 59:
                return None
            offset = dt.timedelta(hours=hours, minutes=minutes)
            at = at - offset if sign == "+" else at + offset
    except (ValueError, OverflowError):
        return None
    return at
