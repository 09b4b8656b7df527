"""The SQLite file: one transaction per request, each event once, restarts, several processes, limits."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from phtrack.inbox.incoming import Incoming, events_v0
from phtrack.inbox.retention import Retention, thin
from phtrack.inbox.store import SCHEMA_VERSION, Store, StoreError
from tests.inbox import events as make

T0 = 1_735_689_600.0


def incoming(*events: dict[str, Any], at: float = T0) -> list[Incoming]:
    """*events* as if received at *at*, without times of their own."""
    return events_v0([{**event, "timestamp": None} for event in events], at)


def error(fingerprint: str = "f", **properties: Any) -> dict[str, Any]:
    """An exception of the issue *fingerprint*."""
    return make.exception(**{"$exception_fingerprint": fingerprint, **properties})


def test_an_issue_counts_its_events_and_says_what_the_newest_says() -> None:
    """Count, first and last seen cover all events, also those that arrive late; the words are the newest one's."""
    with Store() as store:
        for seconds, message in ((10, "second"), (20, "third"), (0, "first, but late")):
            event = make.exception(make.entry("ValueError", message), **{"$exception_fingerprint": "f"})
            store.add(incoming(event, at=T0 + seconds))
        (issue,) = store.issues()
        assert (issue.count, issue.first_seen, issue.last_seen) == (3, T0, T0 + 20)
        assert issue.message == "third"


def test_an_event_that_is_delivered_again_counts_once() -> None:
    """A retry after a lost answer, and a duplicate inside one batch, change nothing."""
    with Store() as store:
        batch = incoming(error(), error(), make.ordinary())
        assert store.add([*batch, batch[0]]) == 3
        revision = store.revision()
        assert store.add(batch) == 0
        assert store.issues()[0].count == 2 and store.names()[0].count == 1
        assert store.revision() == revision


def test_a_batch_is_stored_whole_or_not_at_all(tmp_path: Path) -> None:
    """When an event of a batch can't be written, none is, so that the sender's retry finds a clean state."""
    with Store(tmp_path / "inbox.db") as store:
        good = incoming(error(), make.ordinary())
        (bad,) = incoming(make.ordinary())
        object.__setattr__(bad, "distinct_id", object())
        with pytest.raises(sqlite3.Error):
            store.add([*good, bad])
        assert store.counts() == (0, 0)
        assert store.add(good) == 2


def test_a_restart_finds_everything(tmp_path: Path) -> None:
    """Issues, events, counts and the ids in links outlive the process."""
    path = tmp_path / "inbox.db"
    with Store(path) as store:
        store.add(incoming(error("a"), error("a"), error("b"), make.ordinary("paid", total=3)))
        before = store.issues(), store.names(), store.ordinary_events()
    with Store(path) as store:
        assert (store.issues(), store.names(), store.ordinary_events()) == before
        assert store.add(incoming(error("a"))) == 1


def test_file_and_directory_are_private(tmp_path: Path) -> None:
    """Events hold other people's data: the file is 0600 with its companions, a directory made for it 0700."""
    previous = os.umask(0o022)
    try:
        path = tmp_path / "new" / "inbox.db"
        with Store(path) as store:
            store.add(incoming(error()))
            files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        assert files["inbox.db"] == 0o600 and set(files.values()) == {0o600}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    finally:
        os.umask(previous)


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    """The schema's version stands in the file, in WAL mode."""
    path = tmp_path / "inbox.db"
    Store(path).close()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()


def test_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    """A file of a newer phtrack is refused with both versions, instead of being damaged."""
    path = tmp_path / "inbox.db"
    Store(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreError, match=r"newer phtrack \(schema 99"):
        Store(path)


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    """Another program's database, a text file and a directory are named in the message and not touched."""
    database, text = tmp_path / "other.db", tmp_path / "notes.txt"
    with sqlite3.connect(database) as db:
        db.execute("CREATE TABLE mine (x)")
    db.close()
    text.write_text("dear diary, " * 100)
    before = database.read_bytes(), text.read_bytes()
    for path in (database, text, tmp_path):
        with pytest.raises(StoreError, match=path.name):
            Store(path)
    assert (database.read_bytes(), text.read_bytes()) == before


def test_clearing_forgets_all_and_frees_the_space(tmp_path: Path) -> None:
    """After --clear nothing of the events is left in the file."""
    path = tmp_path / "inbox.db"
    with Store(path) as store:
        store.add(incoming(*(error("f", secret="hidden-words " * 500) for _ in range(50)), make.ordinary()))
        revision = store.revision()
        assert store.clear() == (1, 51)
        assert store.counts() == (0, 0) and store.issues() == [] and store.ordinary_events() == []
        assert store.revision() > revision
    assert b"hidden-words" not in path.read_bytes()


@pytest.mark.parametrize("keep", [1, 2, 10, 100])
@pytest.mark.parametrize("there", [0, 1, 10, 101, 150, 700])
def test_thinning_keeps_both_ends_and_a_spread(there: int, keep: int) -> None:
    """Exactly as many as asked remain, the first and (with room for two) the newest among them, no gap swallows all."""
    items = list(range(there))
    dropped = set(thin(items, keep))
    kept = [item for item in items if item not in dropped]
    assert len(kept) == min(there, keep)
    if keep > 1 and there:
        assert kept[0] == 0 and kept[-1] == there - 1
    if keep == 100 and there == 700:
        assert max(after - before for before, after in zip(kept, kept[1:], strict=False)) < 20


def test_a_storm_keeps_its_count_but_not_all_bodies() -> None:
    """An issue's count is exact whatever is given up; its first and newest events stay readable."""
    with Store(retention=Retention(per_issue=10)) as store:
        for second in range(60):
            store.add(incoming(error(n=second), at=T0 + second))
        store.tidy()
        (issue,) = store.issues()
        newest = store.newest_event(issue.id)
        assert newest is not None and newest.body["properties"]["n"] == 59
        around = store.neighbours(newest)
        assert (issue.count, around.kept, around.position) == (60, 10, 10)
        oldest = store.event(around.oldest or 0)
        assert oldest is not None and oldest.body["properties"]["n"] == 0


def test_an_event_whose_body_is_gone_is_still_known() -> None:
    """A late retry of a thinned-out event does not count it again."""
    with Store(retention=Retention(per_issue=2)) as store:
        batch = incoming(*(error(n=n) for n in range(20)))
        store.add(batch)
        store.tidy()
        assert store.add(batch) == 0
        assert store.issues()[0].count == 20


def test_limits_over_the_whole_store_hold() -> None:
    """Bytes, ordinary events, names and issues stay bounded; each issue that is left keeps its newest event."""
    limits = Retention(exceptions=5, ordinary=3, names=2, issues=4, traces=6)
    with Store(retention=limits) as store:
        for second in range(8):
            events = [error(f"f{second}", n=n) for n in range(3)] + [make.ordinary(f"name{second}")]
            store.add(incoming(*events, at=T0 + second))
        store.tidy()
        assert [issue.fingerprint for issue in store.issues()] == ["f7", "f6", "f5", "f4"]
        assert all(store.newest_event(issue.id) for issue in store.issues())
        assert [each.name for each in store.names()] == ["name6", "name7"]
        assert len(store.ordinary_events()) == 3
        kept = sum(store.neighbours(event).kept for issue in store.issues() if (event := store.newest_event(issue.id)))
        assert kept == 5 + 2  # the two oldest issues have only the newest event that each may keep


def test_bytes_are_bounded() -> None:
    """Few huge events give way as well as many small ones."""
    with Store(retention=Retention(exception_bytes=50_000)) as store:
        store.add(incoming(*(error("f", blob="x" * 10_000, n=n) for n in range(10))))
        store.tidy()
        (issue,) = store.issues()
        newest = store.newest_event(issue.id)
        assert newest is not None and newest.body["properties"]["n"] == 9
        assert store.neighbours(newest).kept == 4 and issue.count == 10


def test_limits_apply_by_themselves() -> None:
    """Nobody has to call tidy: a store that only gets events stays within its limits, roughly."""
    with Store(retention=Retention(per_issue=10, ordinary=10)) as store:
        for _ in range(12):
            store.add(incoming(*(error() for _ in range(50)), *(make.ordinary() for _ in range(50))))
        newest = store.newest_event(store.issues()[0].id)
        assert newest is not None and store.neighbours(newest).kept < 600
        assert len(store.ordinary_events(limit=10_000)) < 600


def test_threads_write_and_read_at_once() -> None:
    """No event is lost or counted twice when many threads use one store."""
    with Store() as store:

        def write() -> None:
            for _ in range(20):
                store.add(incoming(error("f"), make.ordinary("n")))
                store.issues()

        threads = [threading.Thread(target=write) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.issues()[0].count == 120 and store.names()[0].count == 120


_WRITER = """
import sys
from phtrack.inbox.store import Store
from tests.inbox.test_store import error, incoming
print("ready", flush=True)
sys.stdin.readline()
with Store(sys.argv[1]) as store:
    for _ in range(60):
        store.add(incoming(error("f")))
"""


def test_two_processes_share_one_file(tmp_path: Path) -> None:
    """Both may create the file and write to it at once: the counts add up, and nobody fails because it is locked."""
    path = tmp_path / "inbox.db"
    root = Path(__file__).parents[2]
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
        )
        for _ in range(2)
    ]
    for writer in writers:
        assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    assert [writer.communicate(timeout=60) and writer.returncode for writer in writers] == [0, 0]
    with Store(path) as store:
        assert [issue.count for issue in store.issues()] == [120]
