"""Acting on a module when the application imports it: after its code, once, and never before."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from phtrack import _guard, _imports, auto


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a package that is not imported yet."""
    package = tmp_path / "framework_under_test"
    package.mkdir()
    (package / "__init__.py").write_text("READY = False\nfrom framework_under_test import part\nREADY = True\n")
    (package / "part.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield package.name  # type: ignore[misc]
    for name in [name for name in sys.modules if name.startswith(package.name)]:
        del sys.modules[name]


def test_it_acts_after_the_modules_code(module: str) -> None:
    """The act sees a finished module, whose loader is its own."""
    seen: list[Any] = []
    undo = _imports.when_imported(module, lambda one: seen.append((one.READY, one.__spec__.loader)))
    assert seen == []
    loaded = importlib.import_module(module)
    assert seen == [(True, loaded.__loader__)]
    assert type(loaded.__loader__).__name__ == "SourceFileLoader"
    assert _imports._finder not in sys.meta_path
    undo()


def test_it_acts_at_once_on_a_loaded_module(module: str) -> None:
    """Whichever comes first, the import or the wish."""
    importlib.import_module(module)
    seen: list[Any] = []
    _imports.when_imported(module, seen.append)
    assert [one.__name__ for one in seen] == [module]


def test_undoing_stops_the_wait_or_takes_back_the_act(module: str) -> None:
    """Before the import nothing will happen; after it the act's own undo runs."""
    told: list[str] = []

    def act(_: Any) -> Any:
        told.append("done")
        return lambda: told.append("undone")

    _imports.when_imported(module, act)()
    importlib.import_module(module)
    assert told == []
    undo = _imports.when_imported(module, act)
    undo()
    undo()
    assert told == ["done", "undone"]


def test_a_failing_act_leaves_the_import_alone(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong in phtrack is logged; the application gets its module."""
    monkeypatch.setattr(_guard, "STRICT", False)
    _imports.when_imported(module, lambda _: 1 / 0)  # type: ignore[arg-type, return-value]
    assert importlib.import_module(module).READY


def test_two_wishes_for_one_module(module: str) -> None:
    """Both are fulfilled, in order."""
    told: list[int] = []
    for n in (1, 2):
        _imports.when_imported(module, lambda _, n=n: told.append(n))  # type: ignore[misc]
    importlib.import_module(module)
    assert told == [1, 2]


def test_a_module_that_is_not_there_is_not_made_up() -> None:
    """Waiting for a name changes nothing about its absence."""
    undo = _imports.when_imported("no_such_framework_at_all", lambda _: None)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_framework_at_all")
    undo()


def test_unknown_integrations_are_told() -> None:
    """A list with a name that is none raises, with the value."""
    with pytest.raises(ValueError, match="flaks"):
        auto.enable(["flaks"])


def test_init_imports_no_framework() -> None:
    """With frameworks installed and none imported, `phtrack.init()` imports none of them."""
    script = """
        import sys, phtrack
        phtrack.init("k", send=False, enable_exception_autocapture=True)
        tops = {name.partition(".")[0] for name in sys.modules}
        print(sorted(tops & {"django", "flask", "fastapi", "starlette", "celery", "aiohttp", "tornado", "sanic", "requests",
                             "httpx", "sqlalchemy", "redis", "grpc", "asyncio", "urllib3"}))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stdout
