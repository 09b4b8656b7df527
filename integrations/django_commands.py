"""
Django's management commands: what escapes one is a fatal event that names the command; and the checks that warn of settings.

    install() -> undo, install_auto() -> undo

A `CommandError` is a message to the person at the terminal, not an error. `call_command` is an ordinary call: what it raises
is its caller's.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from django.core import checks
from django.core.management.base import BaseCommand, CommandError

import phtrack
from phtrack import _guard

from . import _http
from ._django_checks import check_settings
from ._http import HttpOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from phtrack import Client

SOURCE = "django.management_command"

_installed: list[Callable[[], None]] = []


def install(*, client: Client | None = None) -> Callable[[], None]:
    """
    Report what escapes management commands to *client*, default the default client, and return a function that stops it.

    Installing again changes nothing and returns the same function.
    """
    if _installed:
        return _installed[0]
    options = HttpOptions(client=client)
    run = BaseCommand.run_from_argv

    @wraps(run)
    def run_from_argv(self: BaseCommand, argv: list[str]) -> Any:
        __tracebackhide__ = True
        with phtrack.new_context(capture_exceptions=False, client=client):
            _http.tell({"management_command": _http.clean_text(argv[1], 200) if len(argv) > 1 else None})
            try:
                return run(self, argv)
            except CommandError:
                raise
            except Exception as error:
                with _guard.shield("capturing what left a management command"):
                    _http.capture(error, options, source=SOURCE, mechanism="onuncaughtexception", level="fatal")
                raise

    def undo() -> None:
        if BaseCommand.run_from_argv is run_from_argv:
            BaseCommand.run_from_argv = run
        checks.registry.registry.registered_checks.discard(check_settings)
        _installed.clear()

    BaseCommand.run_from_argv = run_from_argv
    checks.register(check_settings, "phtrack")
    _installed.append(undo)
    return undo


def install_auto() -> Callable[[], None]:
    """The same for the default client."""
    return install()
