"""Issues and events as JSON objects: what `.json` pages, `phtrack inbox --json` and `RunningInbox.issues()` answer with."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phtrack.inbox.store import Issue, StoredEvent


def issue_record(issue: Issue) -> dict[str, Any]:
    """
    One issue: `id`, `type`, `message`, `culprit`, `count` (how often it happened), `held_back` (how many of those a
    sender's throttle counted without sending them), `first_seen`, `last_seen` (ISO-8601, UTC), `level`, `handled` (true,
    false or null), `fingerprint` (as sent, or null), `tags` (of its newest event).
    """
    return {
        "id": issue.id,
        "type": issue.type,
        "message": issue.message,
        "culprit": issue.culprit,
        "count": issue.count,
        "held_back": issue.held_back,
        "first_seen": _iso(issue.first_seen),
        "last_seen": _iso(issue.last_seen),
        "level": issue.level,
        "handled": issue.handled,
        "fingerprint": issue.fingerprint,
        "tags": issue.tags,
    }


def event_record(event: StoredEvent) -> dict[str, Any]:
    """One event: `id`, `issue` (or null), `received` (ISO-8601, UTC), and `body`, the event as it was sent."""
    return {
        "id": event.id,
        "issue": event.issue,
        "uuid": event.uuid,
        "name": event.name,
        "timestamp": _iso(event.timestamp),
        "received": _iso(event.received),
        "body": event.body,
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat()
