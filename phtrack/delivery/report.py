"""
What became of events, told once to everyone who wants to know: the counters, `on_error`, and the log.

Called by senders, never with a lock held: `on_error` is the application's code and may call back into the client.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from phtrack import _guard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

    from phtrack.seams import Envelope, Lane
    from phtrack.tally import Tally

QUIET_SECONDS = 60.0
"""A loss of one kind is logged at most this often."""


class Report:
    """The counters of one client's delivery, and its voice."""

    __slots__ = ("_away", "_on_error", "last_error", "level", "tally")

    def __init__(
        self,
        tally: Tally,
        on_error: Callable[[Exception, list[Any]], Any] | None,
        away: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """
        Args:
            away: Entered around `on_error`: what a sending thread does while it runs code that isn't ours.
        """
        self.tally = tally
        self._away = away
        self._on_error = on_error
        self.last_error: Exception | None = None
        self.level = "warning"
        """How loud a loss is. The end of the process turns it down: nobody wants our lines after their last one."""

    def count(self, name: str, lanes: Iterable[Lane]) -> None:
        """Count one event under *name* for each of *lanes*."""
        totals: dict[Lane, int] = {}
        for lane in lanes:
            totals[lane] = totals.get(lane, 0) + 1
        for lane, n in totals.items():
            self.tally.add(name, n, lane=lane)

    def dropped(
        self,
        reason: str,
        envelopes: Sequence[Envelope],
        lanes: Sequence[Lane],
        error: Exception | None = None,
    ) -> None:
        """
        Events ended undelivered: count them, say so now and then, and tell `on_error` when delivery itself failed.

        Args:
            reason: A short word for the counter, e.g. ``queue_full``.
            error: What `on_error` gets; None when it is not to be called (it is told of failed deliveries, not of full queues).
        """
        if not envelopes:
            return
        self.count(f"dropped:{reason}", lanes)
        _guard.say(
            self.level,
            "%d event(s) lost (%s)%s. client.stats() has all counts.",
            len(envelopes),
            reason,
            f": {error}" if error is not None else "",
            every=QUIET_SECONDS,
            key=f"dropped:{reason}",
        )
        if error is not None:
            self.failed(error, envelopes)

    def spooled(self, lanes: Sequence[Lane], error: Exception | None) -> None:
        """Events are kept on disk for later: a good end, told now and then."""
        self.count("spooled", lanes)
        _guard.say(
            "info",
            "%d event(s) can't be delivered now%s; they are on disk and will be sent later",
            len(lanes),
            f" ({error})" if error is not None else "",
            every=QUIET_SECONDS,
            key="spooled",
        )

    def too_large(self, envelope: Envelope, lane: Lane) -> None:
        """An event is over the limit: its name and size are told, never its content."""
        self.count("dropped:too_large", [lane])
        _guard.say(
            "warning", "event %r of %d bytes is over the limit and was dropped", envelope.name, envelope.size, every=10
        )

    def failed(self, error: Exception, envelopes: Sequence[Envelope]) -> None:
        """Hand *error* and the events, as dicts, to `on_error`. What that raises, but for Ctrl-C, is logged and ends here."""
        self.last_error = error
        if self._on_error is None:
            return
        try:
            batch = [_decode(one) for one in envelopes]
            with self._away():
                self._on_error(error, batch)
        except KeyboardInterrupt:
            raise
        except BaseException as failure:  # `sys.exit` would end the thread that sends, and nothing else
            _guard.say("error", "on_error raised %s", type(failure).__name__, every=QUIET_SECONDS, exc_info=failure)


def _decode(envelope: Envelope) -> Any:
    import json

    try:
        return json.loads(envelope.body or b"null")
    except ValueError:
        return {"uuid": envelope.uuid, "event": envelope.name}
