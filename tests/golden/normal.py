"""
Events without what differs from run to run: ids, times, addresses, paths, versions.

Frames of libraries become their packages' names, since every Python version has other ones. The lines around a frame's own are
compared with the file here, and left out if they are right.
"""

from __future__ import annotations

import re
import sysconfig
from pathlib import Path
from typing import Any

_FOREIGN = re.compile(r"^\$(python|os|lib|is_server|geoip|process_person|session|device)|^(release|environment)$")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{4,}")
_TASK = re.compile(r"\b(Task|Thread)-\d+")
_INTERNAL = ("asyncio.", "concurrent.", "threading.")
_LIBRARY = sysconfig.get_path("stdlib")
REDACTED = "$$_posthog"


def normal_events(events: list[dict[str, Any]], root: Path) -> list[dict[str, Any]]:
    return [_cleaned(_event(event, root), str(root)) for event in events]


def _event(event: dict[str, Any], root: Path) -> dict[str, Any]:
    properties = {name: value for name, value in event["properties"].items() if not _FOREIGN.match(name)}
    for step in properties.get("$exception_steps", ()):
        step.pop("$timestamp", None)
    about = properties.get("phtrack")
    if about is not None:
        about.pop("packages", None)
    for entry in properties.get("$exception_list", ()):
        entry.pop("thread_id", None)
        if "stacktrace" in entry:
            entry["frames"] = _frames(entry.pop("stacktrace")["frames"], root)
    return {"event": event["event"], **properties}


def _frames(frames: list[dict[str, Any]], root: Path) -> list[Any]:
    out: list[Any] = []
    for frame in frames:
        if frame["in_app"]:
            out.append(_frame(frame, root))
            continue
        package = (frame.get("module") or frame["filename"]).partition(".")[0]
        if out and "library" in out[-1]:
            out[-1]["library"] = sorted({*out[-1]["library"], package})
        else:
            out.append({"library": [package]})
    return out


def _frame(frame: dict[str, Any], root: Path) -> dict[str, Any]:
    kept = {name: value for name, value in frame.items() if name not in ("platform", "abs_path", "in_app")}
    before, line, after = kept.pop("pre_context", None), kept.get("context_line"), kept.pop("post_context", None)
    _without_internals(kept)
    path = Path(frame.get("abs_path", ""))
    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()
        at = frame["lineno"] - 1
        window = [*(before or []), line, *(after or [])]
        true = lines[max(0, at - 5) : at + 6]
        if not (len(window) == len(true) and all(REDACTED in one or one == other for one, other in zip(window, true))):
            kept["wrong_context"] = window
    elif before or after:
        kept["context"] = [*(before or []), line, *(after or [])]
    return kept


def _without_internals(frame: dict[str, Any]) -> None:
    """What the standard library keeps inside its objects, and how deep a recursion went, is another thing in each version."""
    about = frame.get("phtrack", {})
    for variable in about.get("variables", ()):
        if variable["type"].startswith(_INTERNAL):
            for name in ("value", "length", "truncated"):
                variable.pop(name, None)
            frame.get("code_variables", {}).pop(variable["name"], None)
    if about.get("repeats", 0) > 50:
        about["repeats"] = "many"


def _cleaned(value: Any, root: str) -> Any:
    if isinstance(value, str):
        return clean_text(value, root)
    if isinstance(value, list):
        return [_cleaned(one, root) for one in value]
    if isinstance(value, dict):
        return {name: _cleaned(one, root) for name, one in value.items()}
    return value


def clean_text(text: str, root: str) -> str:
    """*text* without paths, addresses, counted names, and surrogates, which can't travel."""
    for here, there in ((root, "<root>"), (_LIBRARY, "<library>"), ("pathlib._local.", "pathlib.")):
        text = text.replace(here, there)
    text = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return re.sub("\ufffd+", "\ufffd", _TASK.sub(r"\1-N", _ADDRESS.sub("0x…", text)))
