"""What the package says about itself agrees with what lies there."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from phtrack.version import VERSION

if sys.version_info >= (3, 11):
    import tomllib
else:  # pytest brings the backport
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAPPED = PROJECT["tool"]["setuptools"]["package-dir"]


def test_every_package_is_listed() -> None:
    """A folder with modules that the list in pyproject.toml lacks would be missing from the wheel."""
    there = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "phtrack").rglob("__init__.py")}
    there |= {
        ".".join([name, *path.parent.relative_to(ROOT / folder).parts])
        for name, folder in MAPPED.items()
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(there)


def test_every_folder_with_modules_is_a_package() -> None:
    """A folder without `__init__.py` works from the sources and is missing from the wheel."""
    roots = [ROOT / "phtrack", *(ROOT / folder for folder in MAPPED.values())]
    folders = {path.parent for root in roots for path in root.rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").exists()]


def test_other_files_travel_along() -> None:
    """Each template and static file matches a pattern of package-data."""
    patterns = [
        (ROOT / MAPPED.get(package, package.replace(".", "/")), pattern)
        for package, globs in PROJECT["tool"]["setuptools"]["package-data"].items()
        for pattern in globs
    ]
    taken = {path for folder, pattern in patterns for path in folder.glob(pattern)}
    left = [
        path.relative_to(ROOT)
        for path in (ROOT / "phtrack").rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and path not in taken
    ]
    assert not left


def test_the_changelog_knows_the_version() -> None:
    """A released version has a section of its own; the top one is this version or Unreleased."""
    headings = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings, "CHANGELOG.md has no section"
    assert VERSION in headings or headings[0] == "Unreleased"


@pytest.mark.parametrize("extra", sorted(PROJECT["project"]["optional-dependencies"]))
def test_extras_name_lower_bounds(extra: str) -> None:
    """Each requirement says from which version on it is known to work, and none shuts out newer ones."""
    for requirement in PROJECT["project"]["optional-dependencies"][extra]:
        name = requirement.partition(";")[0]
        assert ">=" in name or name.startswith("phtrack[") or name == "types-requests", requirement
        assert not re.search(r"[<~]|==", name), f"{requirement}: an upper bound would decide other people's lock files"
