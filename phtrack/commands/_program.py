"""
Run somebody's program as `__main__`, as `python program.py` would, from inside a process that is already running.

    file name or module name -> Program -> exit code

The program can't tell the difference: sys.argv, sys.path, `__main__` and its `__spec__`, the traceback that is printed and
the exit code are those it would have had. Nothing here knows about errors being reported: what ends the program goes to
`sys.excepthook`, like anywhere else.
"""

from __future__ import annotations

import io
import os
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import find_spec, module_from_spec
from pkgutil import get_importer
from types import CodeType, ModuleType
from typing import NamedTuple

INTERRUPTED = 130
"""Exit code after Ctrl-C, as a shell shows it."""


class ProgramNotFound(Exception):
    """There is no such program; the text says what was looked for."""


class Program(NamedTuple):
    """A program, compiled and ready to run."""

    code: CodeType
    module: ModuleType
    """The future `__main__`."""
    argv: list[str]
    path_entry: str
    """What Python puts first on `sys.path` for it."""


def find_file(name: str, arguments: list[str]) -> Program:
    """
    The program in a source file, or in a directory or zip file with a `__main__.py`.

    Raises:
        ProgramNotFound: no such file, or it can't be read.
        SyntaxError: it is no Python.
    """
    path = os.path.abspath(name)
    importer = get_importer(path)
    if importer is not None:
        spec = importer.find_spec("__main__", None)
        if spec is None:
            raise ProgramNotFound(f"can't find '__main__' module in {name!r}")
        return _from_spec(spec, [name, *arguments], path)
    try:
        with io.open_code(path) as file:
            source = file.read()
    except OSError as error:
        raise ProgramNotFound(f"can't open file {path!r}: {error.strerror}") from None
    module = ModuleType("__main__")
    module.__file__ = path
    module.__loader__ = SourceFileLoader("__main__", path)
    code = compile(source, path, "exec", dont_inherit=True)
    return Program(code, module, [name, *arguments], os.path.dirname(path))


def find_module(name: str, arguments: list[str]) -> Program:
    """
    The program that `python -m name` runs: a module, or the `__main__` of a package.

    Raises:
        ProgramNotFound: no such module, or one without Python code.
        SyntaxError: it is no Python.
    """
    here = os.getcwd()
    if not _safe_path() and here not in sys.path:
        sys.path.insert(0, here)
    spec = _spec(name)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = _spec(f"{name}.__main__")
        if spec is None:
            raise ProgramNotFound(f"{name} is a package without a __main__ module")
    if spec is None:
        raise ProgramNotFound(f"no module named {name}")
    return _from_spec(spec, [spec.origin or name, *arguments], here)


def _spec(name: str) -> ModuleSpec | None:
    try:
        return find_spec(name)
    except (ImportError, ValueError) as error:
        raise ProgramNotFound(f"no module named {name}: {error}") from None


def _from_spec(spec: ModuleSpec, argv: list[str], path_entry: str) -> Program:
    get_code = getattr(spec.loader, "get_code", None)
    code = get_code(spec.name) if get_code else None
    if code is None:
        raise ProgramNotFound(f"{spec.name} holds no Python code")
    module = module_from_spec(spec)
    module.__name__ = "__main__"
    return Program(code, module, argv, path_entry)


def execute(program: Program) -> int:
    """
    Run *program* to its end and answer with its exit code. `SystemExit` passes, with whatever the program put into it.

    Afterwards `__main__`, `sys.argv` and `sys.path` stay the program's: its threads and exit handlers may still need them.
    """
    sys.argv = program.argv
    sys.modules["__main__"] = program.module
    if not _safe_path():
        # What stands first was put there for `phtrack` itself: the directory of its script, or the working directory.
        sys.path[:1] = [program.path_entry]
    try:
        exec(program.code, program.module.__dict__)
        return 0
    except SystemExit:
        raise
    except BaseException as error:
        # The first level of the traceback is this function; Python would not have shown it.
        tb = error.__traceback__
        failure = error.with_traceback(tb.tb_next if tb else None)
    return fail(failure)


def fail(error: BaseException) -> int:
    """Let *error* end the program as Python does: through `sys.excepthook`. Answers with the exit code."""
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except BaseException as broken:
        sys.__excepthook__(type(broken), broken, broken.__traceback__)
        sys.__excepthook__(type(error), error, error.__traceback__)
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1


def _safe_path() -> bool:
    """True under `python -P` or `-I`: nothing was put first on sys.path."""
    return bool(getattr(sys.flags, "safe_path", sys.flags.isolated))
