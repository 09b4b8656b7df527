"""Events on disk: the format, the bounds, who may take what, and directories that can't be used."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phtrack import _guard
from phtrack.cli import main
from phtrack.delivery import Delivery, segment
from phtrack.delivery.spool import LOOK_AGAIN
from phtrack.options import DeliveryOptions
from phtrack.tally import Tally
from phtrack.testing import FakeClock, RecordingTransport
from tests.delivery.server import Server
from tests.delivery.test_facade import event, names

REFUSED = OSError("refused")


def make(directory: Path, transport: Any, clock: Any = None, key: str = "k", **options: Any) -> tuple[Delivery, Tally]:
    tally = Tally()
    delivery = Delivery(
        DeliveryOptions(spool_dir=directory, **options),
        api_key=key, host="http://127.0.0.1:1", tally=tally, transport=transport, clock=clock or FakeClock(),
    )  # fmt: skip
    return delivery, tally


def leave(directory: Path, *numbers: int, **options: Any) -> None:
    """Let a process end that could not deliver these events."""
    delivery, _ = make(directory, RecordingTransport(*[REFUSED] * 9), **options)
    for n in numbers:
        delivery.put(event(n))
    delivery.close(0.0)


def files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.spool"))


def test_files_are_private_and_readable(tmp_path: Path) -> None:
    """0600 in a 0700 directory; a header, a line per event, the event's very bytes."""
    directory = tmp_path / "new"
    leave(directory, 1, 2)
    (path,) = files(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    header, first, second = path.read_bytes().splitlines()
    assert header == b"phtrack-spool 1 v0"
    assert first.endswith(b" events " + (event(1).body or b""))
    assert second.endswith(b" events " + (event(2).body or b""))


def test_oldest_first_and_only_ones_own_project(tmp_path: Path) -> None:
    """Files are delivered in the order they were written; those of another key are left alone."""
    clock = FakeClock()
    for n in (1, 2, 3):
        clock.advance(1)
        leave(tmp_path, n, clock=clock)
    leave(tmp_path, 9, key="other", clock=clock)
    transport = RecordingTransport()
    delivery, tally = make(tmp_path, transport, clock)
    assert delivery.flush()
    assert names(transport) == ["e1", "e2", "e3"]
    assert len(files(tmp_path)) == 1
    assert tally.read() == {"recovered.events": 3, "delivered.events": 3}


def test_two_processes_never_send_the_same_file(tmp_path: Path) -> None:
    """What one has claimed, the other leaves."""
    leave(tmp_path, 1, 2, 3)
    mine, other = RecordingTransport(*[503] * 9), RecordingTransport()
    first, _ = make(tmp_path, mine)
    first.step()  # claimed and refused: it waits for its next attempt
    second, _ = make(tmp_path, other)
    assert second.flush()
    assert other.events == [] and len(mine.requests) == 1
    first.close(0.0)
    third, _ = make(tmp_path, other)
    assert third.flush()
    assert names(other) == ["e1", "e2", "e3"]


def test_torn_and_corrupt_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    """A cut tail, a flipped byte and plain rubbish cost themselves and nothing else."""
    leave(tmp_path, 1, 2, 3, 4)
    (path,) = files(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"e2", b"eX")
    lines.insert(3, b"rubbish \xff\x00\n")
    path.write_bytes(b"".join(lines)[:-20])
    transport = RecordingTransport()
    delivery, tally = make(tmp_path, transport)
    assert delivery.flush()
    assert names(transport) == ["e1", "e3"]
    assert tally.read()["dropped:spool_corrupt"] == 3
    assert files(tmp_path) == []


@given(st.binary(max_size=400))
def test_any_bytes_can_be_read(data: bytes) -> None:
    """A file of anything is no reason to fail."""
    segment.parse(data)
    segment.parse(b"phtrack-spool 1 v0\n" + data)


@given(st.sets(st.integers(0, 300)))
def test_ranges_name_their_numbers(numbers: set[int]) -> None:
    """What `done` lines say is what was meant."""
    if numbers:
        assert set(segment.numbers_of(segment.ranges(sorted(numbers)))) == numbers


def test_the_directory_is_bounded_in_bytes(tmp_path: Path) -> None:
    """The oldest are given up first, and counted."""
    clock = FakeClock()
    for n in range(20):
        clock.advance(1)
        leave(tmp_path, n, clock=clock, spool_max_bytes=1000)
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 1000
    transport = RecordingTransport()
    delivery, _ = make(tmp_path, transport, clock)
    delivery.flush()
    kept = names(transport)
    assert kept == [f"e{n}" for n in range(20 - len(kept), 20)] and 3 <= len(kept) < 20
    delivery, tally = make(tmp_path, RecordingTransport(*[REFUSED] * 99), clock, spool_max_bytes=2000, max_retries=0)
    for n in range(40):
        clock.advance(1)
        delivery.put(event(n))
        delivery.flush()
    delivery.close(0.0)
    counts = tally.read()
    assert counts["dropped:spool_full.events"] > 0
    assert counts["spooled.events"] == 40 and counts["recovered.events"] == counts["dropped:spool_full.events"]


def test_the_directory_is_bounded_in_age(tmp_path: Path) -> None:
    """What is too old is given up, and counted."""
    clock = FakeClock()
    leave(tmp_path, 1, clock=clock)
    clock.advance(3600)
    leave(tmp_path, 2, clock=clock)
    clock.advance(1800)
    transport = RecordingTransport()
    delivery, tally = make(tmp_path, transport, clock, spool_max_age=3600.0)
    assert delivery.flush()
    assert names(transport) == ["e2"]
    assert tally.read()["dropped:spool_expired.events"] == 1


def test_a_server_down_past_the_retries_sends_events_to_disk_and_back(tmp_path: Path) -> None:
    """Nothing is lost, on_error is not called for what is kept, and the same process delivers it once the server is back."""
    clock, told = FakeClock(), []
    transport = RecordingTransport(*[503] * 4)
    delivery, tally = make(tmp_path, transport, clock, on_error=lambda *about: told.append(about))
    for n in range(3):
        delivery.put(event(n))
    assert delivery.flush(None)  # on disk is an end
    assert transport.events == [] and tally.read()["spooled.events"] == 3
    assert delivery.flush(0.0) and len(transport.requests) == 4  # and nothing to wait for
    delivery.put(event(7))
    delivery.flush(None)
    assert names(transport) == ["e7", "e0", "e1", "e2"]
    counts = tally.read()
    assert (
        counts["admitted.events"] + counts["recovered.events"] == counts["delivered.events"] + counts["spooled.events"]
    )
    assert told == [] and files(tmp_path) == []


def test_what_was_claimed_and_not_sent_at_the_close_counts_as_spooled(tmp_path: Path) -> None:
    """The sum adds up also when a close interrupts the delivery of a file."""
    leave(tmp_path, *range(10))
    delivery, tally = make(tmp_path, RecordingTransport(*[REFUSED] * 9), flush_at=3)
    delivery.step()
    delivery.close(0.0)
    assert tally.read()["recovered.events"] == tally.read()["spooled.events"] == 10
    transport = RecordingTransport()
    delivery, _ = make(tmp_path, transport)
    assert delivery.flush() and len(transport.events) == 10


@pytest.mark.parametrize("when", ["before the taking", "after the taking"])
def test_a_close_while_a_thread_reads_the_spool(when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read counts as recovered and as spooled, or not at all; the files are anybody's afterwards."""
    leave(tmp_path, *range(10))
    delivery, tally = make(tmp_path, RecordingTransport(), flush_at=3)
    spool: Any = delivery._spool
    take = spool.take

    def close() -> None:
        # The end of a close whose time is up: without the turns that it takes in this thread before.
        for sender in delivery._each():
            sender.end()
        spool.close()

    def interrupted(*limits: int) -> Any:
        if when == "before the taking":
            close()
        taken = take(*limits)
        if when == "after the taking":
            close()
        return taken

    monkeypatch.setattr(spool, "take", interrupted)
    delivery.step()
    counts = tally.read()
    assert counts.get("recovered.events", 0) == counts.get("spooled.events", 0)
    assert counts.get("delivered.events", 0) == 0
    transport = RecordingTransport()
    delivery, _ = make(tmp_path, transport)
    assert delivery.flush() and sorted(names(transport)) == [f"e{n}" for n in range(10)]


def test_with_a_spool_events_wait_for_company_as_without(tmp_path: Path) -> None:
    """That the directory is due for a look sends what was left there, and nothing that waits in memory."""
    leave(tmp_path, 1, 2)
    transport, clock = RecordingTransport(), FakeClock()
    delivery, _ = make(tmp_path, transport, clock, flush_interval=5.0)
    delivery.put(event(3))
    clock.advance(1)
    delivery.step()
    assert names(transport) == ["e1", "e2"]
    while delivery.step() == 0.0:
        pass
    assert names(transport) == ["e1", "e2"] and delivery.step() == pytest.approx(4.0)
    clock.advance(4)
    delivery.put(event(4))
    delivery.step()
    assert [len(request) for request in transport.requests] == [2, 2]


def test_a_full_queue_overflows_to_disk(tmp_path: Path) -> None:
    """Admitted, spooled, and delivered when the queue has drained."""
    transport = RecordingTransport()
    delivery, tally = make(tmp_path, transport, max_queue_size=10)
    assert all(delivery.put(event(n)) for n in range(30))
    assert tally.read()["spooled.events"] == 20
    assert delivery.flush(None)
    assert sorted(names(transport)) == sorted(f"e{n}" for n in range(30))
    assert files(tmp_path) == []


def test_always_writes_before_it_answers_and_removes_what_is_delivered(tmp_path: Path) -> None:
    """On disk after put, in whatever lane; gone after delivery, but for the emptied file that grows on."""
    transport = RecordingTransport()
    delivery, _ = make(tmp_path, transport, spool="always")
    for n, lane in enumerate(["events", "errors", "ai"]):
        delivery.put(event(n), lane)  # type: ignore[arg-type]
    (path,) = files(tmp_path)
    assert [envelope.name for _, _, envelope in segment.parse(path.read_bytes())[1]] == ["e0", "e1", "e2"]
    assert delivery.flush()
    assert segment.parse(path.read_bytes())[1] == []
    delivery.close(0.0)
    assert files(tmp_path) == []


def test_always_with_a_queue_that_overflows_and_a_server_that_fails(tmp_path: Path) -> None:
    """All three ways at once, over several segments: every event arrives exactly once."""
    clock = FakeClock()
    transport = RecordingTransport(200, 503, 503, 503, 503, 200, 503)
    delivery, tally = make(
        tmp_path, transport, clock, spool="always", max_queue_size=50, flush_at=10, spool_max_bytes=10**6
    )
    for n in range(200):
        assert delivery.put(event(n, size=2000))
        if n % 40 == 0:
            delivery.step()
    for _ in range(8):
        delivery.flush(None)
        clock.advance(LOOK_AGAIN)
    counts = tally.read()
    assert sorted(names(transport)) == sorted(f"e{n}" for n in range(200))
    assert (
        counts["admitted.events"] + counts["recovered.events"] == counts["delivered.events"] + counts["spooled.events"]
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_read_only_directory_costs_one_warning(tmp_path: Path) -> None:
    """Events wait in memory as without a spool."""
    tmp_path.chmod(0o500)
    _degraded(tmp_path)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.ENOLCK, errno.EIO])
def test_a_directory_that_fails_costs_one_warning(
    error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Full, read-only, a network file system without locks: memory only, said once, nothing raised."""

    def fail(*_: object) -> int:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(segment, "lock" if error == errno.ENOLCK else "write_all", fail)
    _degraded(tmp_path)
    assert len([one for one in caplog.records if "spool directory" in one.message]) == 1
    assert files(tmp_path) == []


def _degraded(directory: Path) -> None:
    _guard._last_said.clear()
    transport = RecordingTransport()
    delivery, tally = make(directory, transport, spool="always")
    for n in range(5):
        assert delivery.put(event(n))
    assert delivery.flush()
    assert len(transport.events) == 5 and tally.read()["delivered.events"] == 5
    transport.answer(*[REFUSED] * 9)
    delivery.put(event(9))
    delivery.close(0.0)
    assert tally.read()["dropped:closed_undelivered.events"] == 1


def test_a_disk_that_fills_up_in_the_middle_of_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The part that was written is taken back; what was there before stays readable."""
    delivery, _ = make(tmp_path, RecordingTransport(), spool="always")
    delivery.put(event(1))

    def half(fd: int, data: bytes) -> None:
        os.write(fd, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(segment, "write_all", half)
    delivery.put(event(2))
    (path,) = files(tmp_path)
    _, events, torn, _ = segment.parse(path.read_bytes())
    assert [envelope.name for _, _, envelope in events] == ["e1"] and torn == 0


def test_the_command(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """ls shows, cat prints the events, send delivers, clear removes."""
    clock = FakeClock(time.time())
    leave(tmp_path, 1, 2, clock=clock)
    assert main(["spool", "ls", str(tmp_path)]) == 0
    assert b"e1 (1), e2 (1)" in capsysbinary.readouterr().out
    assert main(["spool", "cat", str(tmp_path)]) == 0
    assert capsysbinary.readouterr().out.splitlines() == [event(1).body, event(2).body]
    with Server() as server:
        assert main(["spool", "send", str(tmp_path), "--key", "k", "--host", server.url]) == 0
        assert capsysbinary.readouterr().out == b"2 event(s) delivered\n"
        assert [one["event"] for one in server.accepted] == ["e1", "e2"]
    leave(tmp_path, 3, clock=clock)
    assert main(["spool", "clear", str(tmp_path)]) == 0
    assert files(tmp_path) == []
    assert main(["spool", "ls", str(tmp_path / "nowhere")]) == 2
