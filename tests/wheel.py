"""
Judges a built wheel: ``python tests/wheel.py phtrack.whl`` in the environment it was installed into, away from the sources.

Not a test of the suite, which runs from the sources; `.ci/run` calls it.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import zipfile
from importlib.metadata import metadata
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent
INSTALLED_AS = {"phtrack": "phtrack", "integrations": "phtrack/integrations", "demo": "phtrack/demo"}


def main(wheel: str) -> None:
    """Raise `SystemExit` with what is wrong."""
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        licence = [name for name in archive.namelist() if name.endswith("LICENSE")]
    wanted = {
        f"{place}/{path.relative_to(SOURCES / folder).as_posix()}"
        for folder, place in INSTALLED_AS.items()
        for path in (SOURCES / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    if packed != wanted:
        sys.exit(f"missing from the wheel: {sorted(wanted - packed)}; in it by mistake: {sorted(packed - wanted)}")
    if not licence:
        sys.exit("the licence is missing from the wheel")

    import phtrack

    where = Path(phtrack.__file__).resolve()
    if SOURCES in where.parents:
        sys.exit(f"phtrack was imported from the sources: {where}")
    if phtrack.__version__ != metadata("phtrack")["Version"]:
        sys.exit(f"version {phtrack.__version__}, but the wheel says {metadata('phtrack')['Version']}")
    for name in phtrack.__all__:
        getattr(phtrack, name)
    for package in ("phtrack.inbox", "phtrack.commands", "phtrack.demo"):
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
            if not module.name.endswith(".crash"):
                importlib.import_module(module.name)
    print(f"{Path(wheel).name}: {len(packed)} files, all there")


if __name__ == "__main__":
    main(sys.argv[1])
