"""
The rules of delivery, as pure functions: what an answer means, and when to try again.

    status -> verdict        attempt, Retry-After -> seconds        failures -> seconds the server is left alone

No clock is read and nothing is sent here. The rules are those of the wire contract.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phtrack.seams import Verdict

FOREVER = float("inf")
"""Seconds until something that time alone doesn't bring."""
LONGEST_WAIT = 30.0
"""Seconds; no back-off and no `Retry-After` makes a batch wait longer."""
SHORTEST_WAIT = 0.1
"""Seconds before a first retry at least."""
MAX_EVENT_BYTES = 900 * 1024
MAX_AI_EVENT_BYTES = 8 * 1024 * 1024
MAX_BATCH_BYTES = 5 * 1024 * 1024


def judge(status: int | None, *, protocol: str = "v0") -> Verdict:
    """
    What an HTTP *status* means for the batch; None is "no answer": refused, reset, timed out.

    A redirect is refused, not followed: the body carries the project's key. A 404 is final in protocol v0 (a wrong host) and
    a rollout in progress in v1.
    """
    if status is None:
        return "retry"
    if 200 <= status < 300:
        return "delivered"
    if status == 413:
        return "split"
    if status >= 500 or status in (408, 429) or (status == 404 and protocol == "v1"):
        return "retry"
    return "refused"


def backoff(attempt: int, retry_after: float | None = None) -> float:
    """
    Seconds to wait before request number *attempt* (2 is the first retry): 1, 2, 4 ... 30, or what the server asked for.

    Never earlier than the server asked, up to `LONGEST_WAIT`.
    """
    own = min(2.0 ** min(attempt - 2, 10), LONGEST_WAIT)
    asked = min(retry_after or 0.0, LONGEST_WAIT)
    return max(own, asked, SHORTEST_WAIT)


def jittered(seconds: float, chance: float) -> float:
    """*seconds*, up to a quarter longer: *chance* is 0 to 1. Longer only, since the server may have named the least."""
    return seconds * (1.0 + 0.25 * chance)


def retry_after(text: str | None, now: float) -> float | None:
    """
    Seconds from a `Retry-After` header: a number of seconds or an HTTP date; *now* is seconds since the epoch.

    None when there is none, when it is in the past, or when it can't be read.
    """
    if not text:
        return None
    text = text.strip()
    try:
        seconds = float(text)
    except ValueError:
        from email.utils import parsedate_to_datetime

        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return seconds if 0 < seconds < float("inf") else None


class Circuit:
    """
    Spares a server that is down: after a batch used up its attempts, one request at a time, ever more rarely.

    Shared by all senders of a client, under whose own lock each calls; the few plain assignments here need none: the worst a
    race can do is one more probe.
    """

    __slots__ = ("_opened", "_probing", "_until")

    def __init__(self) -> None:
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In a child: closed; it will find out for itself."""
        self._opened = 0
        """How often in a row the circuit opened; 0 while it is closed."""
        self._until = 0.0
        self._probing = 0.0
        """Monotonic seconds until which somebody else's probe has the line."""

    @property
    def is_open(self) -> bool:
        """True while the server counts as down."""
        return self._opened > 0

    def wait(self, now: float) -> float:
        """Seconds until a request may leave; 0 is now."""
        return max(0.0, self._until - now, self._probing - now) if self._opened else 0.0

    def leaving(self, now: float, timeout: float) -> None:
        """A request leaves that may take *timeout* seconds; until it is back, others wait."""
        if self._opened:
            self._probing = now + timeout

    def succeeded(self) -> bool:
        """The server answered: the circuit closes. True when it was open."""
        was_open = self._opened > 0
        self._opened = 0
        self._probing = 0.0
        return was_open

    def failed(self, now: float, chance: float, *, exhausted: bool) -> None:
        """A request failed in a way worth a retry; *exhausted* when its batch has no attempts left."""
        self._probing = 0.0
        if exhausted or self._opened:
            self._opened = min(self._opened + 1, 10)
            self._until = now + jittered(min(2.0 ** (self._opened - 1), LONGEST_WAIT), chance)
