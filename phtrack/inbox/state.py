"""Where the inbox keeps its file: the directory for a program's state, as each system has it."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def state_directory() -> Path:
    """
    `$XDG_STATE_HOME/phtrack`, or `~/.local/state/phtrack`; on macOS `~/Library/Application Support/phtrack`, on Windows
    `%LOCALAPPDATA%\\phtrack`. Not created here.

    Raises:
        RuntimeError: There is no home directory.
    """
    base = os.environ.get("XDG_STATE_HOME", "")
    if base and os.path.isabs(base):  # The XDG specification says to ignore a relative path.
        return Path(base) / "phtrack"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "phtrack"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "phtrack"
    return Path.home() / ".local" / "state" / "phtrack"


def default_db() -> Path:
    """The file that `phtrack inbox` uses without `--db`."""
    return state_directory() / "inbox.db"
