"""
A property's value as the text that rules compare, and as the yes or no that some of them mean.

Both look at the value as it would travel to the server, so that a rule gives the same answer here and there.
"""

from __future__ import annotations

import math
from typing import Any

from phtrack.encode import clean

_FOLD = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def text(value: Any) -> str:
    """*value* as the server writes it: text as is, ``true``, ``null``, numbers and containers as compact JSON, keys sorted."""
    kind = type(value)
    if kind is str:
        return value  # type: ignore[no-any-return]
    if kind is bool:
        return "true" if value else "false"
    if value is None:
        return "null"
    if kind is int:
        try:
            return str(value)
        except ValueError:  # more digits than Python converts
            return text(clean(value))
    if kind is float:
        return repr(value) if math.isfinite(value) else "null"
    plain = clean(value)
    if isinstance(plain, (dict, list)):
        import json

        return json.dumps(plain, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text(plain)


def folded(value: Any) -> str:
    """`text` with the letters A to Z lowered and all others as they are."""
    words = value if type(value) is str else text(value)
    return words.lower() if words.isascii() else words.translate(_FOLD)


def truthy(value: Any) -> bool:
    """Whether the server takes *value* for a yes: True, ``"true"`` in any case, a list of nothing else."""
    kind = type(value)
    if kind is bool:
        return value  # type: ignore[no-any-return]
    if kind is str:
        return value.lower() == "true"  # type: ignore[no-any-return]
    if kind is list:
        return all(truthy(one) for one in value)
    if kind in (int, float, dict) or value is None:
        return False
    plain = clean(value)
    return truthy(plain) if type(plain) in (bool, str, list) else False


def means_bool(value: Any) -> bool:
    """True for a filter that asks for a yes or no: a bool, its word in any case, a non-empty list of such."""
    if type(value) is list:
        return bool(value) and all(type(one) is not list and means_bool(one) for one in value)
    return type(value) is bool or (type(value) is str and value.lower() in ("true", "false"))
