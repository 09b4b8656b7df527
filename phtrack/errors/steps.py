"""
Steps that come by themselves: log records and warnings, as long as a client with autocapture lives.

A record becomes a step when it is made, through logging's record factory: no handler of ours is added anywhere, so
`logging.basicConfig` and the last-resort handler behave as without phtrack. Arguments are put into the text only when they
are plain values; formatting others would run their code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phtrack import _guard, context

if TYPE_CHECKING:
    from collections.abc import Callable

_PLAIN = (str, int, float, bool, type(None))
_MIN_LEVEL = 20

_installed = 0
_undo: Callable[[], None] | None = None


def install() -> Callable[[], None]:
    """Note log records (INFO and above) and warnings as steps. Counted: the last undo takes the hooks away."""
    global _installed, _undo
    if _installed == 0:
        _undo = _hook()
    _installed += 1
    done = False

    def undo() -> None:
        nonlocal done
        global _installed, _undo
        if done:
            return
        done = True
        _installed -= 1
        if _installed == 0 and _undo is not None:
            _undo()
            _undo = None

    return undo


def _hook() -> Callable[[], None]:
    import logging
    import warnings

    make_before = logging.getLogRecordFactory()
    show_before = warnings.showwarning
    active = True

    def make_record(*args: Any, **kwargs: Any) -> Any:
        record = make_before(*args, **kwargs)
        if active and record.levelno >= _MIN_LEVEL and not _guard.is_quiet():
            with _guard.shield("noting a log record"):
                _note_record(record)
        return record

    def show_warning(
        message: Any, category: Any, filename: Any, lineno: Any, file: Any = None, line: Any = None
    ) -> None:
        if active and not _guard.is_quiet():
            with _guard.shield("noting a warning"):
                text = message if isinstance(message, str) else str(message)
                context.step(text, kind="warning", category=category.__name__, file=str(filename), line=lineno)
        show_before(message, category, filename, lineno, file, line)

    logging.setLogRecordFactory(make_record)
    warnings.showwarning = show_warning

    def undo() -> None:
        nonlocal active
        active = False
        if logging.getLogRecordFactory() is make_record:
            logging.setLogRecordFactory(make_before)
        if warnings.showwarning is show_warning:
            warnings.showwarning = show_before

    return undo


def is_own_logger(name: str) -> bool:
    """True for phtrack's loggers."""
    return name == "phtrack" or name.startswith("phtrack.")


def _note_record(record: Any) -> None:
    name = record.name
    if is_own_logger(name):
        return
    context.step(plain_message(record), kind="log", level=record.levelname.lower(), logger=name)


def plain_message(record: Any) -> str:
    """The record's text, without running the code of its arguments: with them only if all are plain values."""
    message = record.msg if type(record.msg) is str else f"<{type(record.msg).__name__}>"
    args = record.args
    if not args:
        return str(message)
    values = tuple(args.values()) if type(args) is dict else args
    if type(values) is tuple and all(type(one) in _PLAIN for one in values):
        try:
            return str(message % args)
        except (TypeError, ValueError, KeyError):
            return str(message)
    return str(message)
