"""
Crashes that no exception tells of: a segfault or fatal signal becomes an event at the next start.

    start(dir) -> faulthandler writes to <dir>/<id>.crash, steps are mirrored into <dir>/<id>.steps (memory-mapped)
    next process: leftovers(dir) -> Crash (signal, frames of the crashing thread, last steps) -> `$exception`

A process that ends in an orderly way removes its files. One that lives holds a lock on its crash file, which dies with it,
so that nobody takes a living process for a crashed one. A process that was killed outright leaves no dump and no event.

faulthandler has one file: while this is on, its dump goes there and not to stderr.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from phtrack import _guard, _process, encode, event
from phtrack.context import noting
from phtrack.frames import chain, snapshot
from phtrack.frames.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DUMP = 256 * 1024
"""Bytes of a dump that are read."""
MAX_LEFTOVERS = 50
"""Crashed processes reported at one start; the others wait for the next."""
STEPS_BYTES = 64 * 1024

SIGNALS = {
    "Segmentation fault": "SIGSEGV",
    "Aborted": "SIGABRT",
    "Bus error": "SIGBUS",
    "Floating point exception": "SIGFPE",
    "Floating-point exception": "SIGFPE",
    "Illegal instruction": "SIGILL",
}


@dataclass(slots=True)
class Crash:
    """What a dead process left."""

    uuid: str
    """Of its event; the same however often it is read."""
    reason: str
    """As faulthandler said it, e.g. `Segmentation fault`."""
    at: float
    """Seconds since the epoch of the dump's last write."""
    frames: list[tuple[str, int, str]] = field(default_factory=list)
    """(file, line, function) of the crashing thread, oldest call first."""
    steps: list[bytes] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    """What the process wrote of itself at its start: pid, argv, release."""
    files: list[Path] = field(default_factory=list)

    @property
    def type(self) -> str:
        """The signal's name where there is one."""
        return SIGNALS.get(self.reason, "FatalError")

    def forget(self) -> None:
        """Remove the files: the event is on its way."""
        for file in self.files:
            file.unlink(missing_ok=True)

    def snapshot(self) -> snapshot.Snapshot:
        """The frames as if an exception had passed through them."""
        levels = []
        for file, line, function in self.frames:
            # The dump has no qualified names; where the function begins isn't known either, so nothing is read from there.
            code: Any = compile("", file, "exec").replace(co_name=function)
            if hasattr(code, "co_qualname"):  # Python 3.11+
                code = code.replace(co_qualname=function)
            levels.append(snapshot.Level(Site(code, -1, line, {})))
        link = chain.Link.described(self.type, self.reason)
        return snapshot.Snapshot([snapshot.Picture(link, levels, synthetic=False)], None)


class CrashRecorder:
    """Records what would be left if this process crashed."""

    def __init__(self, folder: str | os.PathLike[str], about: dict[str, Any]) -> None:
        """
        Start recording.

        Args:
            folder: Made with mode 0700 if it is missing.
            about: Goes into the event of a crash.

        Raises:
            OSError: the folder can't be made or written to.
        """
        self._folder = Path(folder)
        self._about = about
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file: IO[str] | None = None
        self._steps: _Ring | None = None
        self._open()
        _process.on_fork(self)
        _process.on_exit(self)

    def _open(self) -> None:
        import faulthandler

        self._was_enabled = faulthandler.is_enabled()
        uuid = event.uuid7()
        self._path = self._folder / f"{uuid}.crash"
        self._file = _create(self._path)
        _lock(self._file)
        head = {"uuid": uuid, "pid": os.getpid(), "argv": sys.argv[:1], **self._about}
        self._file.write(json.dumps(head, default=str) + "\n")
        self._file.flush()
        self._steps = _Ring(self._folder / f"{uuid}.steps")
        noting.mirror = self._steps.add
        faulthandler.enable(self._file, all_threads=True)

    def at_exit(self) -> None:
        """An orderly end leaves nothing."""
        self.close()

    def reset_after_fork(self) -> None:
        """A child records into files of its own; the parent's stay the parent's."""
        if self._file is not None:
            with _guard.shield("crash recording in a child"):
                parents = self._file
                self._open()
                parents.close()

    def close(self) -> None:
        """Stop recording and remove the files."""
        if self._file is None:
            return
        import faulthandler

        noting.mirror = None
        faulthandler.disable()
        if self._was_enabled and sys.stderr is not None:
            with _guard.shield("giving faulthandler back"):
                faulthandler.enable()
        self._file.close()
        self._file = None
        self._path.unlink(missing_ok=True)
        if self._steps is not None:
            self._steps.close()


class _Ring:
    """Steps in a memory-mapped file: what was added last is there whatever ends the process."""

    def __init__(self, path: Path) -> None:
        import mmap

        self._path = path
        with _create(path) as file:
            file.truncate(STEPS_BYTES)
            self._map = mmap.mmap(file.fileno(), STEPS_BYTES)
        self._at = 0

    def add(self, step: bytes) -> None:
        """Append one line; the file is used round and round, its oldest lines overwritten."""
        line = step + b"\n"
        if len(line) > STEPS_BYTES // 4:
            return
        if self._at + len(line) > STEPS_BYTES:
            self._map[self._at :] = b"\0" * (STEPS_BYTES - self._at)
            self._at = 0
        end = self._at + len(line)
        self._map[self._at : end] = line
        # What is left of an overwritten line is no step any more.
        rest = self._map.find(b"\n", end)
        if rest != -1 and self._map[end : end + 1] not in (b"\0", b"{"):
            self._map[end : rest + 1] = b"\0" * (rest + 1 - end)
        self._at = end

    def close(self) -> None:
        self._map.close()
        self._path.unlink(missing_ok=True)


def leftovers(folder: str | os.PathLike[str]) -> Iterator[Crash]:
    """What crashed processes left in *folder*, oldest first. Files of processes that died without a dump are removed."""
    found = sorted(Path(folder).glob("*.crash"))[:MAX_LEFTOVERS]
    for path in found:
        with _guard.shield("reading a crash file"):
            crash = _read(path)
            if crash is not None:
                yield crash


def _read(path: Path) -> Crash | None:
    """The crash that *path* tells of; None while its process lives, or if it died without one."""
    steps = path.with_suffix(".steps")
    with path.open("r+", encoding="utf-8", errors="replace") as file:
        if not _lock(file):
            return None
        head, _, dump = file.read(MAX_DUMP).partition("\n")
        at = os.fstat(file.fileno()).st_mtime
    reason, frames = parse(dump)
    about: Any
    try:
        about = json.loads(head)
    except ValueError:
        about = {}
    if not reason or not isinstance(about, dict):
        path.unlink(missing_ok=True)
        steps.unlink(missing_ok=True)
        return None
    uuid = event.valid_uuid(about.pop("uuid", None)) or event.uuid7()
    return Crash(uuid, reason, at, frames, _read_steps(steps), about, [path, steps])


def parse(dump: str) -> tuple[str, list[tuple[str, int, str]]]:
    """
    Reason and frames (oldest call first) of faulthandler's text; an empty reason if it is none.

    The crashing thread is the one that is called current.
    """
    reason = ""
    frames: list[tuple[str, int, str]] = []
    inside = False
    for line in dump.splitlines():
        if line.startswith("Fatal Python error: "):
            reason = line[len("Fatal Python error: ") :].strip()
        elif line.startswith("Current thread "):
            inside = True
        elif line.startswith("Thread ") or not line.strip():
            inside = inside and bool(line.strip())
        elif inside and line.startswith('  File "'):
            file, _, rest = line[len('  File "') :].rpartition('", line ')
            number, _, function = rest.partition(" in ")
            if file and number.isdigit() and function:
                frames.append((file, int(number), function))
    frames.reverse()
    return reason, frames


def _read_steps(path: Path) -> list[bytes]:
    try:
        lines = path.read_bytes().replace(b"\0", b"\n").split(b"\n")
    except OSError:
        return []
    steps: list[tuple[str, bytes]] = []
    for line in lines:
        if line:
            try:
                step = encode.loads(line)
                steps.append((str(step["$timestamp"]), line))
            except (ValueError, TypeError, KeyError):
                continue  # torn: the process died while it wrote
    return [line for _, line in sorted(steps)]


def _create(path: Path) -> IO[str]:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+", encoding="utf-8")


def _lock(file: IO[str]) -> bool:
    """Take the lock that a living process holds on its file; False if it does."""
    try:
        import fcntl
    except ImportError:  # Windows: its files can't be opened for writing while their process lives
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
