"""What is noted on the way, for the exceptions that come later: steps, and the flags that were read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phtrack import _guard, encode, event, steps
from phtrack.context.scope import NOTHING, note, surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

mirror: Callable[[bytes], None] | None = None
"""Gets every step as well, so that it outlives a crash of the process (`errors.crash`)."""

MAX_STEP_BYTES = 32_768
MAX_STEP_MESSAGE = 2_000


def step(message: Any, **properties: Any) -> None:
    """
    Note what happens now; exceptions captured later in this context carry it (`$exception_steps`).

    Args:
        message: One line, e.g. `cart loaded`.
        properties: Anything JSON has a form for; frozen at the call.

    Works outside of a context too: then it belongs to the current thread or task. The oldest steps give way.
    """
    with _guard.shield("step"):
        body = _step_body(message, properties)
        if body is not None:
            if mirror is not None:
                mirror(body)
            around = surroundings()
            note(steps=steps.add(around.steps if around is not None else None, body))


def _step_body(message: Any, properties: Mapping[str, Any]) -> bytes | None:
    """The JSON object of a step that happens now; None if it alone is over the budget."""
    text = message if type(message) is str else str(message)
    step: dict[str, Any] = {"$message": text[:MAX_STEP_MESSAGE], "$timestamp": event.now_text()}
    for name, value in properties.items():
        if name in step:
            _guard.once("warning", "a step can't have a property named %s; it is left out", name)
        else:
            step[name] = value
    body = encode.dumps(step)
    if len(body) > MAX_STEP_BYTES:
        _guard.say("warning", "a step of %d bytes is over the limit and was left out", len(body), every=60)
        return None
    return body


def note_flag_read(key: str, value: Any) -> None:
    """Remember that flag *key* was read as *value* here, as a step and as what exceptions of this context carry."""
    around = surroundings()
    reads = around.flag_reads if around is not None else NOTHING
    if reads.get(key, NOTHING) is not value:
        note(flag_reads={**reads, key: value})
        step(f"flag {key}", kind="flag", value=value)
