"""
The inbox's memory: events and the issues they form, in one SQLite file.

    Incoming -> Store.add (one transaction per request) -> issues, events, bodies, names -> rows as plain dataclasses

One connection under one lock, so that there is one writer per process; other processes (`phtrack inbox --json`,
`--clear`, a second server) are SQLite's business: write-ahead log, and counts changed only in SQL. No HTTP, no HTML.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phtrack.inbox.grouping import EXCEPTION, Facts, facts_of
from phtrack.inbox.retention import Retention
from phtrack.inbox.text import shorten
from phtrack.inbox.tidy import tidy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from phtrack.inbox.incoming import Incoming

SCHEMA_VERSION = 1
APPLICATION_ID = 0x70687472
"""Marks a SQLite file as an inbox ("phtr")."""

_SCHEMA = """
CREATE TABLE state (revision INTEGER NOT NULL);
INSERT INTO state VALUES (0);

CREATE TABLE issues (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    fingerprint TEXT,
    type TEXT NOT NULL,
    message TEXT NOT NULL,
    culprit TEXT NOT NULL,
    level TEXT NOT NULL,
    handled INTEGER,
    tags TEXT NOT NULL,
    events INTEGER NOT NULL,
    held_back INTEGER NOT NULL,
    first_seen REAL NOT NULL,
    last_seen REAL NOT NULL
);
CREATE INDEX issues_by_last_seen ON issues (last_seen);

CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE,
    issue INTEGER REFERENCES issues (id),
    name TEXT NOT NULL,
    distinct_id TEXT NOT NULL,
    timestamp REAL NOT NULL,
    received REAL NOT NULL,
    size INTEGER NOT NULL
);
CREATE INDEX events_of_issue ON events (issue, timestamp);
CREATE INDEX events_with_body ON events (issue, timestamp, size) WHERE size > 0;
CREATE INDEX events_without_body ON events (size) WHERE size = 0;

-- Apart from the facts, so that looking through many events doesn't read them. size is 0 for an event whose body is gone.
CREATE TABLE bodies (event INTEGER PRIMARY KEY, body TEXT NOT NULL);

-- Ordinary events by name: counted for ever, also when the events have given way.
CREATE TABLE names (name TEXT PRIMARY KEY, count INTEGER NOT NULL, last_seen REAL NOT NULL) WITHOUT ROWID;
"""


class StoreError(Exception):
    """The file can't be used as an inbox; the message says which file and why."""


@dataclass(frozen=True, slots=True)
class Issue:
    """One issue: what its newest event says, and how often and when it was seen. Times are seconds since the epoch."""

    id: int
    type: str
    message: str
    culprit: str
    level: str
    handled: bool | None
    fingerprint: str | None
    key: str
    tags: dict[str, str]
    events: int
    """Events received."""
    held_back: int
    """Occurrences that the senders' throttles only counted."""
    first_seen: float
    last_seen: float

    @property
    def count(self) -> int:
        """How often it happened."""
        return self.events + self.held_back


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event with its body, and its place among those of its issue that are kept."""

    id: int
    uuid: str
    issue: int | None
    name: str
    distinct_id: str
    timestamp: float
    received: float
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Ids of the kept events around one event of an issue; None at either end."""

    oldest: int | None
    older: int | None
    newer: int | None
    newest: int | None
    position: int
    """1 for the oldest."""
    kept: int


@dataclass(frozen=True, slots=True)
class EventName:
    """How often ordinary events of one name arrived."""

    name: str
    count: int
    last_seen: float


class Store:
    """
    Safe to use from any thread. Close it, or use it in a `with` statement.

    Args:
        path: The file, made if missing (mode 0600, in a directory of mode 0700); ``":memory:"`` for none.
        retention: What is kept.

    Raises:
        StoreError: The file is something else, is damaged, or was made by a newer phtrack; or it can't be opened.
    """

    def __init__(self, path: str | os.PathLike[str] = ":memory:", retention: Retention | None = None) -> None:
        self.path = os.fspath(path)
        if self.path != ":memory:":
            self.path = os.path.abspath(self.path)
        self.retention = retention or Retention()
        self._lock = threading.RLock()
        self._until_tidy = _TIDY_EVERY
        try:
            _make_private(self.path)
            self._db = sqlite3.connect(self.path, timeout=10.0, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"Can't use {self.path} as an inbox: {error}") from error

    def _prepare(self) -> None:
        self._db.execute("PRAGMA busy_timeout = 10000")
        self._check_owner()
        self._switch_to_wal()
        self._db.execute("PRAGMA synchronous = NORMAL")
        with self._writing() as db:  # Two processes may come here at once; the second finds the work done.
            if db.execute("PRAGMA user_version").fetchone()[0] == 0:
                for statement in _SCHEMA.split(";\n"):
                    db.execute(statement)
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _switch_to_wal(self) -> None:
        """SQLite's busy timeout doesn't cover this switch, which fails at once while another process makes it."""
        give_up = time.monotonic() + 10.0
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > give_up:
                    raise
                time.sleep(0.01)

    def _check_owner(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        owner = self._db.execute("PRAGMA application_id").fetchone()[0]
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and owner != APPLICATION_ID:
            raise StoreError(f"{self.path} is a SQLite file, but not an inbox; it was left as it is")
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{self.path} was made by a newer phtrack (schema {version}, this one knows {SCHEMA_VERSION}); "
                "upgrade phtrack, or choose another file with --db"
            )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction that holds the write lock from its start: all of it, or nothing."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def close(self) -> None:
        """Close the file. Idempotent."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- writing

    def add(self, events: Sequence[Incoming]) -> int:
        """
        Store *events* in one transaction; they are safe when this returns.

        Returns:
            How many of them were new. One whose uuid is known was delivered again, and is left out.
        """
        # What costs time without the database comes before the lock.
        prepared = [
            (
                event,
                facts_of(event.body) if event.name == EXCEPTION else None,
                json.dumps(event.body, ensure_ascii=False),
            )
            for event in events
        ]
        with self._writing() as db:
            added = sum(_add(db, *each) for each in prepared)
            if added:
                db.execute("UPDATE state SET revision = revision + 1")
            self._until_tidy -= added
            if self._until_tidy <= 0:
                self._until_tidy = _TIDY_EVERY
                tidy(db, self.retention)
        return added

    def tidy(self) -> None:
        """Apply the retention now. `add` does it now and then."""
        with self._writing() as db:
            tidy(db, self.retention)

    def clear(self) -> tuple[int, int]:
        """Forget everything, and give the space back. Returns how many issues and events there were."""
        with self._lock:
            with self._writing() as db:
                issues = db.execute("SELECT count(*) FROM issues").fetchone()[0]
                counts = "SELECT (SELECT total(events) FROM issues) + (SELECT total(count) FROM names)"
                events = int(db.execute(counts).fetchone()[0])
                for table in ("bodies", "events", "issues", "names"):
                    db.execute(f"DELETE FROM {table}")
                db.execute("UPDATE state SET revision = revision + 1")
            self._db.execute("VACUUM")
        return issues, events

    # -- reading

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def revision(self) -> int:
        """A number that grows with every change."""
        return int(self._rows("SELECT revision FROM state")[0][0])

    def issues(self, limit: int = 1_000, offset: int = 0) -> list[Issue]:
        """Issues, the last seen first."""
        query = f"SELECT {_ISSUE} FROM issues ORDER BY last_seen DESC, id DESC LIMIT ? OFFSET ?"
        return [_issue(row) for row in self._rows(query, limit, offset)]

    def issue(self, id: int) -> Issue | None:
        """The issue with this *id*."""
        rows = self._rows(f"SELECT {_ISSUE} FROM issues WHERE id = ?", id)
        return _issue(rows[0]) if rows else None

    def counts(self) -> tuple[int, int]:
        """How many issues there are, and how many ordinary events arrived."""
        row = self._rows("SELECT (SELECT count(*) FROM issues), (SELECT total(count) FROM names)")[0]
        return int(row[0]), int(row[1])

    def event(self, id: int) -> StoredEvent | None:
        """The event with this *id*, if its body is kept."""
        rows = self._rows(f"SELECT {_EVENT} FROM events JOIN bodies ON event = id WHERE id = ?", id)
        return _event(rows[0]) if rows else None

    def newest_event(self, issue: int) -> StoredEvent | None:
        """The kept event of *issue* that happened last."""
        query = f"SELECT {_EVENT} FROM events JOIN bodies ON event = id WHERE issue = ? ORDER BY timestamp DESC, id DESC LIMIT 1"
        rows = self._rows(query, issue)
        return _event(rows[0]) if rows else None

    def neighbours(self, event: StoredEvent) -> Neighbours:
        """The kept events of the same issue around *event*, in the order in which they happened."""
        query = "SELECT id FROM events WHERE issue = ? AND size > 0 ORDER BY timestamp, id"
        ids = [row[0] for row in self._rows(query, event.issue)]
        at = ids.index(event.id) if event.id in ids else 0
        return Neighbours(
            oldest=ids[0] if at > 0 else None,
            older=ids[at - 1] if at > 0 else None,
            newer=ids[at + 1] if at + 1 < len(ids) else None,
            newest=ids[-1] if at + 1 < len(ids) else None,
            position=at + 1,
            kept=len(ids),
        )

    def ordinary_events(
        self, name: str | None = None, before: int | None = None, limit: int = 100
    ) -> list[StoredEvent]:
        """Events that are no exceptions, the newest arrival first; only of *name*, only with an id below *before*."""
        query = f"""
            SELECT {_EVENT} FROM events JOIN bodies ON event = id
            WHERE issue IS NULL AND name = coalesce(?, name) AND id < coalesce(?, id + 1) ORDER BY id DESC LIMIT ?"""
        return [_event(row) for row in self._rows(query, name, before, limit)]

    def names(self) -> list[EventName]:
        """Names of ordinary events, the most frequent first."""
        return [
            EventName(*row) for row in self._rows("SELECT name, count, last_seen FROM names ORDER BY count DESC, name")
        ]


_ISSUE = "id, type, message, culprit, level, handled, fingerprint, key, tags, events, held_back, first_seen, last_seen"
_EVENT = "id, uuid, issue, name, distinct_id, timestamp, received, body"
_TIDY_EVERY = 500
"""Events between two applications of the retention."""


def _issue(row: tuple[Any, ...]) -> Issue:
    id, type, message, culprit, level, handled, fingerprint, key, tags, events, held_back, first_seen, last_seen = row
    return Issue(
        id, type, message, culprit, level, None if handled is None else bool(handled), fingerprint, key,
        json.loads(tags), events, held_back, first_seen, last_seen,
    )  # fmt: skip


def _event(row: tuple[Any, ...]) -> StoredEvent:
    id, uuid, issue, name, distinct_id, timestamp, received, body = row
    return StoredEvent(id, uuid, issue, name, distinct_id, timestamp, received, json.loads(body))


def _make_private(path: str) -> None:
    """Make the file for its owner only, before SQLite does with the usual mode."""
    if path == ":memory:":
        return
    directory = Path(path).absolute().parent
    if not directory.exists():
        directory.mkdir(parents=True, mode=0o700, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _add(db: sqlite3.Connection, event: Incoming, facts: Facts | None, body: str) -> bool:
    if db.execute("SELECT 1 FROM events WHERE uuid = ?", (event.uuid,)).fetchone():
        return False
    issue = None
    if facts is None:
        db.execute(
            "INSERT INTO names VALUES (?, 1, ?) ON CONFLICT (name) DO UPDATE SET "
            "count = count + 1, last_seen = max(last_seen, excluded.last_seen)",
            (event.name, event.timestamp),
        )
    else:
        issue = _count(db, facts, event.timestamp)
    added = db.execute(
        "INSERT INTO events (uuid, issue, name, distinct_id, timestamp, received, size) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (event.uuid, issue, event.name, event.distinct_id, event.timestamp, event.received, len(body)),
    )
    db.execute("INSERT INTO bodies VALUES (?, ?)", (added.lastrowid, body))
    return True


def _count(db: sqlite3.Connection, facts: Facts, timestamp: float) -> int:
    """Add one event to its issue, which says what the newest of its events says. Returns the issue's id."""
    handled = None if facts.handled is None else int(facts.handled)
    tags = json.dumps(facts.tags, ensure_ascii=False)
    message = shorten(facts.message, 2_000)
    held_back = min(facts.held_back, 10**9)
    shown = (facts.type, message, facts.culprit, facts.level, handled, tags, facts.fingerprint)
    found = db.execute("SELECT id, last_seen FROM issues WHERE key = ?", (facts.key,)).fetchone()
    if found is None:
        added = db.execute(
            "INSERT INTO issues (type, message, culprit, level, handled, tags, fingerprint, key, events, held_back,"
            " first_seen, last_seen) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?)",
            (*shown, facts.key, held_back, timestamp, timestamp),
        )
        return int(added.lastrowid or 0)
    id, last_seen = found
    db.execute(
        "UPDATE issues SET events = events + 1, held_back = held_back + ?, first_seen = min(first_seen, ?), "
        "last_seen = max(last_seen, ?) WHERE id = ?",
        (held_back, timestamp, timestamp, id),
    )
    if timestamp >= last_seen:
        db.execute(
            "UPDATE issues SET type = ?, message = ?, culprit = ?, level = ?, handled = ?, tags = ?, fingerprint = ? WHERE id = ?",
            (*shown, id),
        )
    return int(id)
