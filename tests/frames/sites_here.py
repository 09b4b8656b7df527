"""Real sites for the tests of frame rooms: code that runs and fails, and the sites its traceback passed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phtrack.frames.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType


def sites_of(error: BaseException) -> list[Site]:
    """A fresh site (no cache) for each level of the traceback of *error*, outermost first."""
    found, tb = [], error.__traceback__
    while tb is not None:
        found.append(Site(tb.tb_frame.f_code, tb.tb_lasti, tb.tb_lineno, tb.tb_frame.f_globals))
        tb = tb.tb_next
    return found


def failing(call: Callable[..., Any], *args: Any) -> list[Site]:
    """The sites of the exception that ``call(*args)`` ends with, without the one in here."""
    try:
        call(*args)
    except BaseException as error:  # tests raise SystemExit too
        return sites_of(error)[1:]
    raise AssertionError("did not fail")


def failing_code(code: CodeType | str, filename: str = "<string>", **names: Any) -> list[Site]:
    """The sites of running *code* as a module with the globals *names*."""
    if isinstance(code, str):
        code = compile(code, filename, "exec", dont_inherit=True)
    return failing(exec, code, names)
