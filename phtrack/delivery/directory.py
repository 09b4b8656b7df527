"""
What the files of a spool directory are called, and what a look at their names tells.

    <milliseconds since the epoch>-<project>-<process>-<number>.spool

The oldest sorts first, the projects that share a directory are told apart, and no two processes meet at one name.
"""

from __future__ import annotations

import os
import re
import zlib
from typing import NamedTuple

SUFFIX = ".spool"


class Entry(NamedTuple):
    """A segment file as its name tells."""

    path: str
    created: float
    """Seconds since the epoch."""
    project: str
    size: int


def name_of(created: float, project: str, number: int) -> str:
    """The name of a new segment of this process, made at *created* (seconds since the epoch)."""
    return f"{int(created * 1000):013d}-{project}-{os.getpid()}-{number:06d}{SUFFIX}"


_MILLISECONDS = re.compile("[0-9]{1,14}").fullmatch
"""Up to the year 5138, so that any of them is a date."""


def project_of(api_key: str) -> str:
    """Eight hex digits that tell projects apart in file names, without showing the key."""
    return f"{zlib.crc32(api_key.encode()):08x}"


def entries_of(directory: str) -> list[Entry]:
    """The segments in *directory*, in no order. Raises `OSError`."""
    found = []
    with os.scandir(directory) as scan:
        for file in scan:
            parts = file.name.split("-")
            if not file.name.endswith(SUFFIX) or len(parts) != 4 or not _MILLISECONDS(parts[0]):
                continue
            try:
                if not file.is_file(follow_symlinks=False):
                    continue
                size = file.stat().st_size
            except OSError:
                continue  # delivered and removed just now
            found.append(Entry(file.path, int(parts[0]) / 1000.0, parts[1], size))
    return found
