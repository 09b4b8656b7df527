"""
One file of the spool: its format, its lock, and what of it is still to be delivered.

A segment is text, one line per entry, so that `cat` and `grep` do to look at one:

    phtrack-spool 1 v0                                      version of the format, shape of the events
    5d41402a errors {"event":"$exception","uuid":...}       checksum, lane, the event as it would have been sent
    7d793037 done 1,3-102                                   checksum, numbers of the lines whose events have their end

The checksum is the CRC-32 of what follows it, in hex; lines are numbered from 0, the header. A line that doesn't match its
checksum (torn by a full disk, a power cut) is skipped. Whoever writes to a segment or delivers from it holds a lock of the
operating system on it, which ends with the process; a segment that nobody has locked is anybody's to deliver.
"""

from __future__ import annotations

import errno
import os
import zlib
from typing import TYPE_CHECKING

from phtrack.seams import Envelope

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from phtrack.seams import Lane

try:
    import fcntl
except ImportError:  # Windows: no lock that dies with its owner and leaves the file readable
    fcntl = None  # type: ignore[assignment]

NAME = b"phtrack-spool "
MAGIC = NAME + b"1 "
PROTOCOLS = ("v0", "v1")
LANES: dict[bytes, Lane] = {b"events": "events", b"errors": "errors", b"ai": "ai"}


class Segment:
    """An open, locked segment. Not thread-safe; the spool's lock is around it."""

    __slots__ = ("born", "fd", "in_hand", "left", "lines", "path", "protocol", "seen", "size")

    def __init__(self, fd: int, path: str, protocol: str, *, lines: int, size: int) -> None:
        self.fd = fd
        self.path = path
        self.protocol = protocol
        self.lines = lines
        self.size = size
        """Bytes written."""
        self.in_hand = 0
        """Events of it that this process is delivering."""
        self.left = 0
        """Events of it that are left for whoever claims it next."""
        self.born = self.seen = 0.0
        """Monotonic seconds at which the spool started it, and at which it was last known to be in its directory."""

    @classmethod
    def create(cls, path: str, protocol: str) -> Segment:
        """
        Start a segment.

        Raises:
            OSError: the directory can't be written to, or the file system has no locks. `FileExistsError`, `BlockingIOError`:
                another process was faster, and another name may do.
        """
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            lock(fd)
            if not is_at(fd, path):
                raise BlockingIOError(errno.EAGAIN, "claimed, and removed since it was empty, before it was locked")
            header = MAGIC + protocol.encode() + b"\n"
            write_all(fd, header)
        except BlockingIOError:
            os.close(fd)
            raise
        except BaseException:
            os.close(fd)
            os.unlink(path)
            raise
        return cls(fd, path, protocol, lines=1, size=len(header))

    def append(self, envelopes: Sequence[Envelope], lanes: Sequence[Lane]) -> int:
        """
        Write sealed events with one call; the number of the first one's line.

        Raises:
            OSError: nothing was written; a part that was is taken back.
        """
        first = self.lines
        if len(envelopes) == 1:
            content = b"%s %s" % (lanes[0].encode(), envelopes[0].body)
            data = b"%08x %s\n" % (zlib.crc32(content), content)
        else:
            data = b"".join(map(entry, lanes, envelopes))
        self._write(data)
        self.lines += len(envelopes)
        return first

    def mark_done(self, numbers: Iterable[int]) -> None:
        """Note that the events on these lines have their end. Raises `OSError`."""
        content = b"done " + ranges(sorted(numbers)).encode()
        self._write(b"%08x %s\n" % (zlib.crc32(content), content))
        self.lines += 1

    def _write(self, data: bytes) -> None:
        try:
            write_all(self.fd, data)
        except OSError:
            os.ftruncate(self.fd, self.size)
            raise
        self.size += len(data)

    def rewind(self) -> None:
        """Empty it again, but for the header: all its events have their end."""
        size = len(MAGIC) + len(self.protocol) + 1
        os.ftruncate(self.fd, size)
        self.size = size
        self.lines = 1

    def is_gone(self) -> bool:
        """True when somebody removed the file: what is written to it is nowhere."""
        try:
            return os.fstat(self.fd).st_nlink == 0
        except OSError:
            return True

    def close(self, *, remove: bool = False) -> None:
        """Give up the lock, and the file with *remove*. Never raises."""
        try:
            if remove:
                os.unlink(self.path)
        except OSError:
            pass  # somebody cleared the directory
        try:
            os.close(self.fd)
        except OSError:
            pass


def claim(path: str) -> Segment | None:
    """
    Open and lock an existing segment; None when somebody holds it or it is gone.

    Raises:
        OSError: it is there and can't be opened or locked.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_APPEND | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        return None
    try:
        lock(fd)
        size = os.fstat(fd).st_size
        if not is_at(fd, path):
            raise BlockingIOError  # delivered and removed by another process between our opening and our locking
    except (BlockingIOError, FileNotFoundError):
        os.close(fd)
        return None
    except OSError as error:
        os.close(fd)
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return None
        raise
    return Segment(fd, path, "", lines=0, size=size)


def is_at(fd: int, path: str) -> bool:
    """True when the open file *fd* is the one that *path* names."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False


def load(segment: Segment) -> tuple[list[tuple[int, Lane, Envelope]], int]:
    """
    Read a claimed segment: its events without an end, as (line number, lane, envelope), and how many lines were unreadable.

    Sets the segment's protocol and the number of its lines.

    Raises:
        OSError: it can't be read, or a torn end not be closed; or a version of phtrack wrote it that knows more than this one.
    """
    with open(segment.path, "rb") as file:
        data = file.read()
    protocol, entries, torn, lines = parse(data)
    if data.startswith(NAME) and protocol not in PROTOCOLS and b"\n" in data:
        raise OSError(errno.ENOTSUP, f"{segment.path} was written by another version of phtrack")
    segment.protocol = protocol
    segment.lines = lines
    if not data.endswith(b"\n"):
        # What we append must not become the rest of a torn line.
        segment._write(b"\n")
    return entries, torn


def parse(data: bytes) -> tuple[str, list[tuple[int, Lane, Envelope]], int, int]:
    """(protocol, events without an end, unreadable lines, all lines) of a segment's bytes."""
    import json

    lines = data.split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    if not lines or not lines[0].startswith(MAGIC):
        return "", [], max(1, len(lines)) if data else 0, len(lines)
    protocol = lines[0][len(MAGIC) :].decode("ascii", "replace").strip()
    entries: dict[int, tuple[Lane, Envelope]] = {}
    torn = 0
    for number, line in enumerate(lines[1:], 1):
        content = line[9:]
        try:
            if int(line[:8], 16) != zlib.crc32(content):
                raise ValueError("checksum")
            kind, _, rest = content.partition(b" ")
            if kind == b"done":
                for ended in numbers_of(rest.decode("ascii")):
                    entries.pop(ended, None)
                continue
            event = json.loads(rest)
            entries[number] = (LANES[kind], Envelope(str(event["uuid"]), str(event["event"]), rest))
        except (ValueError, KeyError, TypeError):
            torn += 1
    return protocol, [(number, lane, envelope) for number, (lane, envelope) in entries.items()], torn, len(lines)


def entry(lane: Lane, envelope: Envelope) -> bytes:
    """The line of one sealed event."""
    content = b"%s %s" % (lane.encode(), envelope.body)
    return b"%08x %s\n" % (zlib.crc32(content), content)


def ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers as ``1,3-102``."""
    parts: list[str] = []
    start = previous = None
    for number in numbers:
        if previous is not None and number == previous + 1:
            previous = number
            continue
        if start is not None:
            parts.append(f"{start}-{previous}" if start != previous else f"{start}")
        start = previous = number
    if start is not None:
        parts.append(f"{start}-{previous}" if start != previous else f"{start}")
    return ",".join(parts)


def numbers_of(text: str) -> Iterable[int]:
    """The numbers in ``1,3-102``. Raises `ValueError`."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def lock(fd: int) -> None:
    """Take the lock that dies with this process. Raises `OSError`: `BlockingIOError` when somebody else has it."""
    if fcntl is None:
        raise OSError(errno.ENOTSUP, "this system has no file locks that end with their process")
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def write_all(fd: int, data: bytes) -> None:
    """Write all of *data*. Raises `OSError`, perhaps after writing a part."""
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, data[written:])
