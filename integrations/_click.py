"""
Commands of a click group: what escapes one is a fatal event with the command's name; arguments are not told.

    watch_commands(app.cli, options) -> undo
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

import phtrack
from phtrack import _guard

from . import _http

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._http import HttpOptions

SOURCE = "click.command"
_CONTROL_FLOW = (click.ClickException, click.exceptions.Exit, click.Abort)


def watch_commands(group: Any, options: HttpOptions) -> Callable[[], None]:
    """Capture what escapes the commands of *group*, a click group, and return a function that stops it."""
    find = group.get_command
    had_own = "get_command" in vars(group)
    undos: dict[int, Callable[[], None]] = {}

    def get_command(ctx: click.Context, name: str) -> Any:
        command = find(ctx, name)
        if command is not None and id(command) not in undos:
            undos[id(command)] = _watch(command, options)
        return command

    def undo() -> None:
        if vars(group).get("get_command") is get_command:
            if had_own:
                group.get_command = find
            else:
                del group.get_command
        while undos:
            undos.popitem()[1]()

    group.get_command = get_command
    return undo


def _watch(command: Any, options: HttpOptions) -> Callable[[], None]:
    run = command.invoke
    had_own = "invoke" in vars(command)

    def invoke(ctx: click.Context) -> Any:
        __tracebackhide__ = True
        with phtrack.new_context(capture_exceptions=False, client=options.client, shared=True):
            phtrack.tag("cli_command", ctx.command_path)
            try:
                return run(ctx)
            except Exception as error:
                if not isinstance(error, _CONTROL_FLOW):
                    _failed(ctx, error, options)
                raise

    def undo() -> None:
        if vars(command).get("invoke") is invoke:
            if had_own:
                command.invoke = run
            else:
                del command.invoke

    command.invoke = invoke
    return undo


def _failed(ctx: click.Context, error: Exception, options: HttpOptions) -> None:
    with _guard.shield("capturing a failed command"):
        if not _http.captures(options):
            return
        if ctx.invoked_subcommand not in (None, "*"):
            phtrack.tag("cli_command", f"{ctx.command_path} {ctx.invoked_subcommand}")
        _http.capture(error, options, source=SOURCE, mechanism="onuncaughtexception", level="fatal")
