"""Versions of the packages in a stack."""

from __future__ import annotations

import importlib.metadata

import pytest

from phtrack.frames import packages
from phtrack.frames.site import Site


def site_in(path: str) -> Site:
    return Site(compile("", path, "exec"), -1, 1, {})


def test_an_installed_package_is_named_with_its_version() -> None:
    """As its metadata says, whether or not the module tells it."""
    import hypothesis
    import sortedcontainers

    found = packages.versions(
        [site_in(hypothesis.__file__), site_in(sortedcontainers.__file__), site_in(pytest.__file__)]
    )
    assert found == {
        "hypothesis": importlib.metadata.version("hypothesis"),
        "sortedcontainers": importlib.metadata.version("sortedcontainers"),
        "pytest": importlib.metadata.version("pytest"),
    }


def test_what_is_not_installed_has_no_version() -> None:
    """The application's own files, pseudo files and unknown packages are left out."""
    assert packages.versions([site_in(__file__), site_in("<string>"), site_in("/x/site-packages/nowhere/a.py")]) == {}
