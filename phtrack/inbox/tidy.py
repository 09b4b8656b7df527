"""
Apply the retention to the tables of a store. Knows the SQL; what gives way is decided in `retention`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phtrack.inbox.retention import Retention, thin

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence


def tidy(db: sqlite3.Connection, retention: Retention) -> None:
    """
    Apply *retention* within the caller's transaction: bodies give way first, then whole events and issues of which there
    are too many to keep even their traces.
    """
    full = "SELECT issue FROM events WHERE issue IS NOT NULL AND size > 0 GROUP BY issue HAVING count(*) > ?"
    for (issue,) in db.execute(full, (retention.per_issue,)).fetchall():
        query = "SELECT id FROM events WHERE issue = ? AND size > 0 ORDER BY timestamp, id"
        _drop_bodies(db, thin([row[0] for row in db.execute(query, (issue,))], retention.per_issue))
    _drop_bodies(db, _too_much(db, retention))

    _delete_events(db, "issue IS NULL ORDER BY id DESC LIMIT -1 OFFSET ?", retention.ordinary)
    db.execute(
        "DELETE FROM names WHERE name IN (SELECT name FROM names ORDER BY last_seen DESC LIMIT -1 OFFSET ?)",
        (retention.names,),
    )
    forgotten = db.execute(
        "SELECT id FROM issues ORDER BY last_seen DESC LIMIT -1 OFFSET ?", (retention.issues,)
    ).fetchall()
    for (issue,) in forgotten:
        _delete_events(db, "issue = ?", issue)
        db.execute("DELETE FROM issues WHERE id = ?", (issue,))
    _delete_events(db, "size = 0 ORDER BY id DESC LIMIT -1 OFFSET ?", retention.traces)


def _too_much(db: sqlite3.Connection, retention: Retention) -> list[int]:
    """The oldest kept exceptions beyond the limits of the whole store, the newest of each issue excepted."""
    query = "SELECT id, issue, size FROM events WHERE issue IS NOT NULL AND size > 0 ORDER BY id DESC"
    size = 0
    seen: set[int] = set()
    surplus = []
    for count, (id, issue, length) in enumerate(db.execute(query), start=1):
        size += length
        if issue in seen and (count > retention.exceptions or size > retention.exception_bytes):
            surplus.append(id)
        seen.add(issue)
    return surplus


def _drop_bodies(db: sqlite3.Connection, ids: Sequence[int]) -> None:
    db.executemany("DELETE FROM bodies WHERE event = ?", [(id,) for id in ids])
    db.executemany("UPDATE events SET size = 0 WHERE id = ?", [(id,) for id in ids])


def _delete_events(db: sqlite3.Connection, which: str, value: int) -> None:
    ids = db.execute(f"SELECT id FROM events WHERE {which}", (value,)).fetchall()
    db.executemany("DELETE FROM bodies WHERE event = ?", ids)
    db.executemany("DELETE FROM events WHERE id = ?", ids)
