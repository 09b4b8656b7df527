"""Events as SDKs send them, made by hand, so that a test says only what it is about."""

from __future__ import annotations

import uuid
from typing import Any


def frame(function: str = "pay", lineno: int = 88, source: str = "charge(order)", **changes: Any) -> dict[str, Any]:
    """A frame of the application; `source` is the raised line, or several around it with `>` before the raised one."""
    lines = source.split("\n")
    at = next((index for index, line in enumerate(lines) if line.startswith(">")), 0)
    lines[at] = lines[at].removeprefix(">")
    return {
        "platform": "python",
        "filename": "shop/checkout.py",
        "abs_path": "/app/shop/checkout.py",
        "module": "shop.checkout",
        "function": function,
        "lineno": lineno,
        "in_app": True,
        "pre_context": lines[:at],
        "context_line": lines[at],
        "post_context": lines[at + 1 :],
        **changes,
    }


def library_frame(module: str = "django.core.handlers", function: str = "inner") -> dict[str, Any]:
    """A frame that is not the application's."""
    return frame(function, 55, "response = get_response(request)", in_app=False, module=module, filename=module + ".py")


def entry(type: str = "ValueError", value: str = "bad", *frames: dict[str, Any], **mechanism: Any) -> dict[str, Any]:
    """One exception of the list; keyword arguments go into its mechanism."""
    made: dict[str, Any] = {"type": type, "value": value}
    made["mechanism"] = {"type": "generic", "handled": True, "synthetic": False, "exception_id": 0, **mechanism}
    if frames:
        made["stacktrace"] = {"type": "raw", "frames": list(frames)}
    return made


def exception(*entries: dict[str, Any], **properties: Any) -> dict[str, Any]:
    """An `$exception` event with a uuid of its own."""
    listed = list(entries) or [entry("ValueError", "bad", frame())]
    return {
        "event": "$exception",
        "distinct_id": "u1",
        "uuid": str(uuid.uuid4()),
        "timestamp": "2025-01-01T00:00:00+00:00",
        "properties": {"$exception_list": listed, "$exception_level": "error", **properties},
    }


def ordinary(name: str = "order placed", **properties: Any) -> dict[str, Any]:
    """An event that is no exception."""
    return {
        "event": name,
        "distinct_id": "u1",
        "uuid": str(uuid.uuid4()),
        "timestamp": "2025-01-01T00:00:00+00:00",
        "properties": properties,
    }
