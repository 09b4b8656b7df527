"""
Protocol v1: the shape of its events, and its word per event.

    event of v0 -> event of v1          batch, results -> what is delivered, given up, or to be sent again

Pure functions over plain data; headers and requests are in `http`. The rules are those of the wire contract.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from phtrack.capture_v1 import CaptureV1Error
from phtrack.seams import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from phtrack.seams import Envelope, Lane, Outcome

_MOVED = {"$session_id": "session_id", "$window_id": "window_id"}
_FLAGS = {
    "$process_person_profile": "process_person_profile",
    "$cookieless_mode": "cookieless_mode",
    "$ignore_sent_at": "disable_skew_correction",
}
_SPECIAL = frozenset((*_MOVED, *_FLAGS, "$product_tour_id", "$lib", "$lib_version"))
_WORDS = {"true": True, "1": True, "false": False, "0": False}


def reshape(event: dict[str, Any]) -> dict[str, Any]:
    """
    An event of protocol v0 as protocol v1 wants it: a new dict, *event* is left alone.

    What v1 has fields or options for leaves `properties`; an option of the wrong type is dropped, since it would cost the whole
    batch; `$set` and `$set_once` of the top level move into `properties`, where existing keys win. `properties` is the last key.
    """
    given = event.get("properties") or {}
    properties = {key: value for key, value in given.items() if key not in _SPECIAL}
    options: dict[str, Any] = {}
    for key, name in _FLAGS.items():
        if key in given:
            flag = _as_bool(given[key])
            if flag is not None:
                options[name] = flag
    tour = given.get("$product_tour_id")
    if isinstance(tour, str):
        options["product_tour_id"] = tour
    shaped = {key: value for key, value in event.items() if key not in ("properties", "$set", "$set_once")}
    for key, name in _MOVED.items():
        value = given.get(key)
        if value is not None:
            shaped[name] = value if isinstance(value, str) else str(value)
    for key in ("$set", "$set_once"):
        top = event.get(key)
        if isinstance(top, dict):
            inner = properties.get(key)
            properties[key] = {**top, **inner} if isinstance(inner, dict) else dict(top)
    shaped["options"] = options
    shaped["properties"] = properties
    return shaped


def _as_bool(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return value != 0
    if isinstance(value, str):
        return _WORDS.get(value.strip().lower())
    return None


@dataclass
class Verdicts:
    """What the results of one answer say, by event."""

    delivered: list[tuple[Envelope, Lane]] = field(default_factory=list)
    dropped: list[tuple[Envelope, Lane, str | None]] = field(default_factory=list)
    """Events the server gave up, with its details."""
    exhausted: list[tuple[Envelope, Lane]] = field(default_factory=list)
    """Events it wanted once more than we try."""
    again: Batch | None = None
    """A batch of the events to send again: same request, next attempt."""

    @property
    def ended(self) -> list[tuple[Envelope, Lane]]:
        """All events but those that go again."""
        return [*self.delivered, *(one[:2] for one in self.dropped), *self.exhausted]

    def losses(
        self, batch: Batch, outcome: Outcome
    ) -> Iterator[tuple[str, list[tuple[Envelope, Lane]], CaptureV1Error]]:
        """What did not arrive, by reason: ``(reason, events, error for on_error)``."""
        if self.dropped:
            drops = [(envelope.uuid, details) for envelope, _, details in self.dropped]
            message = f"the server gave up {len(drops)} event(s): {', '.join(sorted({str(one[1]) for one in drops}))}"
            error = CaptureV1Error(
                outcome.status, message, request_id=batch.request_id, attempts=batch.attempt, drops=drops
            )
            yield "server_drop", [one[:2] for one in self.dropped], error
        if self.exhausted:
            uuids = [envelope.uuid for envelope, _ in self.exhausted]
            error = CaptureV1Error(
                outcome.status,
                f"the server asked for {len(uuids)} event(s) again after the last attempt",
                outcome.retry_after,
                request_id=batch.request_id,
                attempts=batch.attempt,
                retry_exhausted=uuids,
            )
            yield "retries_exhausted", self.exhausted, error

    def without_hope(self) -> Verdicts:
        """The same when there are no attempts left."""
        rest = self.again
        lost = [] if rest is None else list(zip(rest.envelopes, rest.lanes))
        return Verdicts(self.delivered, self.dropped, lost, None)


def partition(batch: Batch, results: Mapping[str, tuple[str, str | None]]) -> Verdicts:
    """
    Sort the events of *batch* by what *results* (uuid -> (word, details)) say of them.

    `ok`, `warning`, any unknown word and no word at all are delivered; only `retry` goes again and only `drop` is given up.
    """
    verdicts = Verdicts()
    envelopes: list[Envelope] = []
    lanes: list[Lane] = []
    for envelope, lane in zip(batch.envelopes, batch.lanes):
        word, details = results.get(envelope.uuid, ("ok", None))
        if word == "retry":
            envelopes.append(envelope)
            lanes.append(lane)
        elif word == "drop":
            verdicts.dropped.append((envelope, lane, details))
        else:
            verdicts.delivered.append((envelope, lane))
    if envelopes:
        again = Batch(batch.route, batch.protocol, envelopes, lanes, batch.created, request_id=batch.request_id)
        again.attempt = batch.attempt
        again.recovered = batch.recovered
        verdicts.again = again
    return verdicts


def results_of(answer: Any) -> dict[str, tuple[str, str | None]] | None:
    """
    The results in a decoded answer of status 200: uuid -> (word, details). None when it hasn't the promised shape.
    """
    results = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(results, dict):
        return None
    read: dict[str, tuple[str, str | None]] = {}
    for uuid, entry in results.items():
        word = entry.get("result") if isinstance(entry, dict) else None
        if not isinstance(word, str):
            return None
        details = entry.get("details")
        read[uuid] = (word, details if isinstance(details, str) else None)
    return read
