"""`filename` must be equal on every machine, `abs_path` must be a path."""

from __future__ import annotations

import json
import os
import sys
import types
from email import message_from_string
from typing import Any

import pytest

from phtrack.frames import location
from tests.frames.sites_here import failing, failing_code


def at(filename: str, module: str | None) -> Any:
    names = {} if module is None else {"__name__": module}
    (site,) = failing_code("1 / 0", filename, **names)
    return site


@pytest.mark.parametrize(
    ("filename", "module", "expected"),
    [
        ("/srv/releases/7/run.py", "__main__", "run.py"),
        ("/srv/releases/7/run.py", None, "run.py"),
        ("/srv/releases/7/shop.py", "shop", "shop.py"),
        ("/srv/shop/__init__.py", "shop", "__init__.py"),
        ("/srv/shop/views.py", "shop.views", "shop/views.py"),
        ("/srv/shop/views.pyc", "shop.views", "shop/views.py"),
        ("/srv/shop/cart/__init__.py", "shop.cart", "shop/cart/__init__.py"),
        ("relative/shop/views.py", "shop.views", "shop/views.py"),
        ("/srv/app.zip/shop/views.py", "shop.views", "shop/views.py"),
        ("/elsewhere/other.py", "shop.views", "other.py"),
        ("<string>", "shop.views", "<string>"),
        ("<ipython-input-3-0a1b>", "__main__", "<ipython-input-3-0a1b>"),
        ("", "shop", "<unknown>"),
        ("views.py", "shop.views", "views.py"),
    ],
)
def test_filename(filename: str, module: str | None, expected: str) -> None:
    """Below a package its path from the package on, else the bare name; never a part that depends on the machine."""
    assert location.filename_of(at(filename, module)) == expected


def test_a_packages_own_file_says_where_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that isn't named like its module (a generated one, an included one) is placed by the package it is in."""
    shop: Any = types.ModuleType("shop_sample")
    shop.__file__ = "/srv/shop_sample/__init__.py"
    monkeypatch.setitem(sys.modules, "shop_sample", shop)
    assert location.filename_of(at("/srv/shop_sample/gen/a_pb2.py", "shop_sample.views")) == "shop_sample/gen/a_pb2.py"
    assert location.filename_of(at("/srv2/shop_sample/a_pb2.py", "shop_sample.views")) == "a_pb2.py"


@pytest.mark.parametrize("odd", [None, 7, object()])
def test_odd_things_in_sys_modules_hurt_nobody(monkeypatch: pytest.MonkeyPatch, odd: Any) -> None:
    """Anything may stand in `sys.modules`, lazy modules that import on first touch too."""

    class Lazy:
        def __getattr__(self, name: str) -> Any:
            raise SystemExit

    for stand_in in (odd, Lazy()):
        monkeypatch.setitem(sys.modules, "shop_sample", stand_in)
        assert location.filename_of(at("/srv/shop_sample/views.py", "shop_sample.views")) == "shop_sample/views.py"


def test_real_packages() -> None:
    """Installed and standard packages start at their top-level package."""
    names = [location.filename_of(site) for site in failing(json.loads, "{")]
    assert names[-1] == "json/decoder.py"
    assert [location.filename_of(site) for site in failing(message_from_string, 7)][-1].startswith("email/")


def test_abs_path() -> None:
    """An absolute path for files, also for relative names; none for pseudo names."""
    assert location.abs_path_of(at("/srv/run.py", "run")) == "/srv/run.py"
    assert location.abs_path_of(at("run.py", "run")) == os.path.join(os.getcwd(), "run.py")
    assert location.abs_path_of(at("<string>", "run")) is None
    assert location.abs_path_of(at("", "run")) is None
