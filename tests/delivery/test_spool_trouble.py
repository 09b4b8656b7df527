"""A spool directory that others meddle with: files of other users and versions, taken names, a removed directory, old files."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from phtrack.delivery import segment
from phtrack.testing import FakeClock, RecordingTransport
from tests.delivery import program
from tests.delivery.server import Answer, Server
from tests.delivery.test_facade import event, names
from tests.delivery.test_spool import REFUSED, files, leave, make


def test_a_quiet_program_does_not_write_new_events_to_an_old_file(tmp_path: Path) -> None:
    """A segment that is emptied again and again is as old as its name: after the age limit its fresh events would be given up."""
    clock = FakeClock()
    delivery, _ = make(tmp_path, RecordingTransport(200, *[REFUSED] * 9), clock, spool="always", spool_max_age=100.0)
    delivery.put(event(1))
    assert delivery.flush()
    clock.advance(1000)
    delivery.put(event(2))
    delivery.close(0.0)
    transport = RecordingTransport()
    heir, tally = make(tmp_path, transport, clock, spool_max_age=100.0)
    assert heir.flush()
    assert names(transport) == ["e2"]
    assert "dropped:spool_expired.events" not in tally.read()


@pytest.mark.parametrize("trouble", ["another user's", "another version's", "no file"])
def test_a_file_that_cannot_be_read_keeps_nothing_back(
    trouble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left alone; what is behind it is delivered."""
    clock = FakeClock()
    leave(tmp_path, 1, clock=clock)
    clock.advance(1)
    leave(tmp_path, 2, clock=clock)
    first = files(tmp_path)[0]
    if trouble == "another version's":
        first.write_bytes(first.read_bytes().replace(b"phtrack-spool 1", b"phtrack-spool 2"))
    elif trouble == "no file":
        first.unlink()
        first.mkdir()
    else:
        claim = segment.claim

        def refusing(path: str) -> Any:
            if path == str(first):
                raise PermissionError(13, "Permission denied", path)
            return claim(path)

        monkeypatch.setattr(segment, "claim", refusing)
    transport = RecordingTransport()
    delivery, tally = make(tmp_path, transport, clock)
    assert delivery.flush()
    assert names(transport) == ["e2"]
    assert files(tmp_path) == [first]
    assert tally.read() == {"recovered.events": 1, "delivered.events": 1}


@pytest.mark.parametrize("rival", ["has the name", "claims it", "claims and removes it"])
def test_a_new_file_that_somebody_else_was_faster_with(
    rival: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the making of a file and its lock another process may find it, empty; then another name does."""
    clock = FakeClock()
    if rival == "has the name":
        leave(tmp_path, 1, clock=clock)  # by a client of the same process, in the same millisecond
    else:
        lock, calls = segment.lock, []

        def late(fd: int) -> None:
            calls.append(fd)
            if len(calls) == 1:
                (made,) = files(tmp_path)
                if rival == "claims it":
                    raise BlockingIOError(11, "Resource temporarily unavailable")
                made.unlink()
            lock(fd)

        monkeypatch.setattr(segment, "lock", late)
    leave(tmp_path, 2, clock=clock)
    found = [one.name for path in files(tmp_path) for _, _, one in segment.parse(path.read_bytes())[1]]
    assert "e2" in found


def test_a_directory_removed_while_it_is_used(tmp_path: Path) -> None:
    """What is in memory goes to a new directory, also what stood in the old one."""
    clock = FakeClock()
    directory = tmp_path / "spool"
    delivery, tally = make(directory, RecordingTransport(*[REFUSED] * 9), clock, spool="always")
    delivery.put(event(1))
    shutil.rmtree(directory)
    clock.advance(2)
    delivery.put(event(2))
    assert len(files(directory)) == 1
    delivery.close(0.0)
    found = [one.name for path in files(directory) for _, _, one in segment.parse(path.read_bytes())[1]]
    assert sorted(found) == ["e1", "e2"]
    assert tally.read() == {"admitted.events": 2, "spooled.events": 2}


def test_names_that_only_look_like_ours(tmp_path: Path) -> None:
    """Digits that are no numbers, dates that are none, and folders are not ours."""
    for name in ("²-a-b-c.spool", f"{'9' * 20}-a-b-c.spool"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "0000000000001-a-b-c.spool").mkdir()
    delivery, _ = make(tmp_path, RecordingTransport())
    assert delivery.stats()["spool"] == {"files": 0, "bytes": 0}
    assert delivery.flush()


def test_a_queue_that_pushes_out_its_oldest_is_closed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The close between "no room" and "make room" refuses the event; it does not vanish into a closed queue."""
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    delivery, tally = make(
        blocked / "spool", RecordingTransport(*[REFUSED] * 9), overflow="drop_oldest", max_queue_size=1
    )
    last = event(2)

    class Closes(type(last)):  # type: ignore[misc]
        __slots__ = ()

        def seal(self) -> bytes | None:
            delivery.close(0.0)
            return self.body  # type: ignore[no-any-return]

    delivery.put(event(1))
    assert not delivery.put(Closes(last.uuid, last.name, last.body))
    assert tally.read() == {
        "admitted.events": 1, "dropped:closed_undelivered.events": 1, "dropped:closed.events": 1,
    }  # fmt: skip
    assert delivery.stats()["lanes"]["events"]["pending"] == 0


@pytest.mark.parametrize("before", ["", "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))"])
def test_sigterm_inside_a_flush_still_waits_for_delivery(before: str) -> None:
    """The flush is cut short, the signal comes back although the main thread sleeps by then, and all is delivered."""
    with Server(always=Answer(200, delay=0.2)) as server:
        process = program.start(
            f"""
            {before}
            d = make(flush_on_sigterm=True, flush_interval=60, flush_at=100, shutdown_timeout=20)
            for n in range(300): d.put(event('e'))
            d.flush(None)
            time.sleep(100)
            """,
            server.url,
        )
        server.wait(requests=1)
        begun = time.monotonic()
        os.kill(process.pid, 15)
        ended = program.end(process)
        assert ended.code == (7 if before else -15) and time.monotonic() - begun < 45
        assert len(server.count()) == 300


def test_the_exit_does_not_leave_a_close_of_another_thread_behind(tmp_path: Path) -> None:
    """A close without limit in a daemon thread is given the exit's limit: what it could not deliver is on disk."""
    with Server(always="blackhole") as server:
        ended = program.run(
            f"""
            d = make(spool_dir={str(tmp_path)!r}, shutdown_timeout=0.5)
            d.put(event('e'))
            threading.Thread(target=d.close, daemon=True).start()
            while not d._closed: time.sleep(0.001)
            """,
            server.url,
        )
        assert (ended.code, ended.err) == (0, "")
    found = [one.name for path in files(tmp_path) for _, _, one in segment.parse(path.read_bytes())[1]]
    assert found == ["e"]
