"""
What keeps phtrack harmless: the package's own logger, the net under every public entry, and the flag that says
"this thread is doing phtrack's own work, don't observe it".

Nothing here knows about events. All of it is cheap to import; `logging` is loaded at the first line to be written.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging
    from types import TracebackType

LOGGER_NAME = "phtrack"

STRICT = False
"""True makes every swallowed internal error visible by raising it. The test suite sets it; `debug=True` is its public form."""

_quiet: ContextVar[bool] = ContextVar("phtrack_quiet", default=False)
_last_said: dict[str, float] = {}


def logger() -> logging.Logger:
    """The package's logger. It has no handler of its own; the application decides what becomes of its lines."""
    import logging

    return logging.getLogger(LOGGER_NAME)


def say(
    level: str, message: str, *args: object, every: float = 0.0, key: str | None = None, exc_info: Any = None
) -> None:
    """
    Write one log line as phtrack, never raising, and never observed by phtrack itself.

    Args:
        level: A method name of `logging.Logger`: ``debug``, ``info``, ``warning`` or ``error``.
        message: A %-style format, as logging takes it. Never put event content in *args*.
        every: Seconds in which the same *key* is said at most once; ``float("inf")`` is once per process.
        key: What counts as the same line. Defaults to *message*.
        exc_info: As logging takes it.
    """
    if every:
        key = key or message
        now = monotonic()
        last = _last_said.get(key)
        if last is not None and now - last < every:
            return
        if len(_last_said) > 1000:
            _last_said.clear()
        _last_said[key] = now
    token = _quiet.set(True)
    try:
        getattr(logger(), level)(message, *args, exc_info=exc_info)
    except Exception:
        # A handler of the application that fails is not ours to report, and certainly not from here.
        if STRICT:
            raise
    finally:
        _quiet.reset(token)


def once(level: str, message: str, *args: object, key: str | None = None) -> None:
    """Like `say`, at most once per process for the same *key*."""
    say(level, message, *args, every=float("inf"), key=key)


class quiet:  # noqa: N801 - reads as a statement: `with quiet():`
    """
    While inside, nothing phtrack observes (log records, warnings, HTTP calls) becomes an event or a step.

    Held in a context variable, so that it covers one thread, task or greenlet and no other.
    """

    __slots__ = ("_token",)

    def __enter__(self) -> None:
        self._token = _quiet.set(True)

    def __exit__(self, *_: object) -> None:
        _quiet.reset(self._token)


def is_quiet() -> bool:
    """True while the current thread, task or greenlet does phtrack's own work."""
    return _quiet.get()


class shield:  # noqa: N801 - reads as a statement: `with shield("capture"):`
    """
    The net under an entry point: an internal error is logged and ends here.

    ``with shield("capture", debug=client.debug): ...`` swallows `Exception` only; what the interpreter uses to stop a
    program (`KeyboardInterrupt`, `SystemExit`, `GeneratorExit`) passes. With *debug* or `STRICT` the error is raised.
    """

    __slots__ = ("_debug", "_what")

    def __init__(self, what: str, *, debug: bool = False) -> None:
        self._what = what
        self._debug = debug

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> bool:
        if kind is None or not issubclass(kind, Exception):
            return False
        if self._debug or STRICT:
            return False
        swallowed(self._what, error)
        return True


def swallowed(what: str, error: BaseException | None) -> None:
    """Log an internal *error* of phtrack that must not reach the host; with `STRICT`, raise it."""
    if STRICT and error is not None:
        raise error
    say(
        "error",
        "phtrack failed in %s and went on: %s. Your program is not affected.",
        what,
        type(error).__name__,
        every=60.0,
        key=f"swallowed:{what}:{type(error).__name__}",
    )
    if error is not None:
        say("debug", "phtrack failed in %s", what, exc_info=(type(error), error, error.__traceback__))


def reset_after_fork() -> None:
    """A child process says its own first lines; called by whoever registers for fork."""
    _last_said.clear()


def loaded(module: str) -> Any | None:
    """The already imported *module*, or None. Never imports: looking must not cost the host an import."""
    return sys.modules.get(module)
