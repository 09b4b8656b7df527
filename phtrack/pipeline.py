"""
The one way of every event: assemble, ask `before_send`, encode once, hand over.

    name, ids, properties + surroundings -> event dict -> before_send -> bytes -> Envelope -> put

What goes in is what a caller said; what comes out is an `Envelope` in a queue, or a counted drop. Exceptions use the same
steps and add their own part (`errors`). Nothing here sends. Rules: wire contract, capture.md §5-§11.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import time_ns
from typing import TYPE_CHECKING, Any

from phtrack import _guard, context, encode
from phtrack import event as facts
from phtrack.event import MAX_AI_EVENT_BYTES, MAX_EVENT_BYTES, MAX_NAME, RESERVED
from phtrack.seams import Envelope

if TYPE_CHECKING:
    from collections.abc import Callable

    from phtrack.options import EventOptions
    from phtrack.seams import Lane
    from phtrack.tally import Tally

_OURS = frozenset(("$lib", "$lib_version", "$is_server")) | RESERVED
"""What super properties never change."""
_TOLD = ("properties", "$set", "$set_once")
"""Members of an event that the application fills."""


class Pipeline:
    """Makes events for one client and puts them on their way."""

    def __init__(
        self,
        options: EventOptions,
        *,
        tally: Tally,
        put: Callable[[Envelope, Lane], bool],
        reshape: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        surroundings: Callable[[], Mapping[str, Any]] | None = None,
        scrub: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> None:
        """
        Args:
            put: Takes a finished envelope; False if there was no room (it has counted that).
            reshape: Turns an event of protocol v0 into the shape that travels; None leaves it.
            surroundings: Asked once, at the first event: properties that only fill gaps (release, environment).
            scrub: Takes the secrets out of an event's properties, plain data; None leaves them. Exceptions do it for themselves.
        """
        self.hooks = options.hooks
        self._options = options
        self._tally = tally
        self._put = put
        self._reshape = reshape
        self._surroundings = surroundings
        self._scrub = scrub
        self._tails: dict[tuple[bool, bool], dict[str, Any]] = {}
        self._fills: dict[str, Any] | None = None
        self.super_properties = options.super_properties

    # --- assembling ------------------------------------------------------------------------------------------------

    def event(
        self,
        name: str,
        *,
        distinct_id: Any = None,
        properties: Mapping[str, Any] | None = None,
        timestamp: Any = None,
        uuid: Any = None,
        groups: Mapping[str, Any] | None = None,
        disable_geoip: bool | None = None,
        under: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """
        The event of the capture family for *name*: what the caller said, the context, the program's facts.

        Args:
            under: Properties of the lowest precedence (flags).
        """
        scope = context.current()
        nanos = time_ns()
        given = self._fills.copy() if self._fills is not None else self._find_fills()
        if under:
            given.update(under)
        if scope is not None and scope.tags:
            given.update(scope.tags)
        if properties:
            given.update(_as_dict(properties))
        who = facts.distinct_id_text(distinct_id)
        if scope is not None:
            given["$context_tags"] = sorted(map(str, scope.tags))
            if who is None:
                who = scope.distinct_id
            if scope.session_id is not None and "$session_id" not in given:
                given["$session_id"] = scope.session_id
        if groups:
            given["$groups"] = dict(groups)
        if who is None:
            who = facts.uuid7(nanos)
            given.setdefault("$process_person_profile", False)
        if self._options.capture_trace_context or name == "$exception":
            self._add_span(given)
        self._finish_properties(given, True, disable_geoip)
        return {
            "event": name,
            "distinct_id": who,
            "uuid": facts.uuid7(nanos) if uuid is None else _caller_uuid(uuid),
            "timestamp": facts.now_text(nanos) if timestamp is None else facts.timestamp_text(timestamp),
            "properties": given,
        }

    def special(
        self,
        name: str,
        who: str,
        *,
        properties: dict[str, Any],
        top: Mapping[str, Any] | None = None,
        timestamp: Any = None,
        uuid: Any = None,
        disable_geoip: bool | None = None,
        session: bool = False,
    ) -> dict[str, Any]:
        """An event about persons and groups: no tags and no system facts; *top* goes beside `properties`."""
        scope = context.current()
        if session and scope is not None and scope.session_id is not None:
            properties.setdefault("$session_id", scope.session_id)
        properties = {**(self._fills if self._fills is not None else self._find_fills()), **properties}
        self._finish_properties(properties, False, disable_geoip)
        return {
            "event": name,
            "distinct_id": who,
            "uuid": facts.uuid7() if uuid is None else _caller_uuid(uuid),
            "timestamp": facts.timestamp_text(timestamp),
            **(top or {}),
            "properties": properties,
        }

    def _finish_properties(self, given: dict[str, Any], system: bool, disable_geoip: bool | None) -> None:
        if disable_geoip is None:
            disable_geoip = self._options.disable_geoip
        tail = self._tails.get((system, disable_geoip))
        if tail is None:
            tail = self._tail(system, disable_geoip)
        given.update(tail)

    def _find_fills(self) -> dict[str, Any]:
        """Properties that only fill gaps, looked for once; a copy."""
        fills: dict[str, Any] = dict(self._surroundings()) if self._surroundings is not None else {}
        release_id = facts.release_id()
        if release_id is not None:
            fills["$release_id"] = release_id
        self._fills = fills
        return fills.copy()

    def _tail(self, system: bool, disable_geoip: bool) -> dict[str, Any]:
        """The properties that end every event of one kind, in order of precedence; computed once."""
        tail: dict[str, Any] = {}
        if system:
            tail.update(facts.system_properties())
        tail.update(facts.lib_properties())
        if disable_geoip:
            tail["$geoip_disable"] = True
        for key, value in (self.super_properties or {}).items():
            if key not in _OURS:
                tail[key] = value
        if self._options.is_server:
            tail["$is_server"] = True
        self._tails[(system, disable_geoip)] = tail
        return tail

    def forget_super_properties(self, properties: Mapping[str, Any] | None) -> None:
        """Use other super properties from now on."""
        self.super_properties = properties
        self._tails = {}

    def _add_span(self, given: dict[str, Any]) -> None:
        span = facts.active_span()
        if span is not None:
            given.setdefault("$trace_id", span[0])
            given.setdefault("$span_id", span[1])

    # --- sending on ------------------------------------------------------------------------------------------------

    def send(self, event: dict[str, Any], lane: Lane) -> str | None:
        """
        Put *event* on its way.

        Returns:
            The uuid it has on the wire, or None if it was dropped, which is then counted.
        """
        if self.hooks:
            decided = self.decide(event)
            if decided is None:
                return None
            event = decided
        name, uuid = event["event"], event["uuid"]
        if self._scrub is not None and name != "$exception":
            told = {key: encode.clean(event[key]) for key in _TOLD if key in event}
            event = {**event, **{key: self._scrub(one) for key, one in told.items() if isinstance(one, dict)}}
        # The AI lane has one protocol, whatever the others speak.
        body = encode.dumps(event) if lane == "ai" else self.encode(event)
        limit = MAX_AI_EVENT_BYTES if lane == "ai" else MAX_EVENT_BYTES
        if len(body) > limit:
            self.too_large(name, len(body))
            return None
        return uuid if self._put(Envelope(uuid, name, body), lane) else None

    def put(self, envelope: Envelope, lane: Lane) -> bool:
        """Hand over an envelope that was made elsewhere."""
        return self._put(envelope, lane)

    def encode(self, event: dict[str, Any]) -> bytes:
        """The event's bytes in the protocol that is in use."""
        return encode.dumps(event if self._reshape is None else self._reshape(event))

    def too_large(self, name: str, size: int) -> None:
        """Count and tell the drop of an event over the limit: its name and size, never its content."""
        self._tally.add("dropped:too_large")
        _guard.say("warning", "event %r of %d bytes is over the limit and was dropped", name, size, every=10)

    def decide(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """
        The event as `before_send` leaves it, cleaned; None if it was dropped (and counted).

        A hook that raises or answers with something else than a dict or None drops the event: what it was meant to remove
        must not leave.
        """
        decided: Any = encode.clean(event)
        for hook in self.hooks:
            try:
                decided = hook(decided)
            except Exception as error:
                self._tally.add("dropped:before_send_failed")
                _guard.say(
                    "warning",
                    "before_send raised %s; the event was dropped",
                    type(error).__name__,
                    every=10,
                    exc_info=error,
                )
                return None
            if decided is None:
                self._tally.add("dropped:before_send")
                _guard.say("debug", "before_send dropped %r", event["event"])
                return None
            if not isinstance(decided, dict):
                self._tally.add("dropped:before_send_failed")
                _guard.say(
                    "warning", "before_send answered with %s; the event was dropped", type(decided).__name__, every=10
                )
                return None
        decided = encode.clean(decided)
        for key in ("event", "distinct_id"):
            decided[key] = str(decided.get(key) or event[key])
        decided["uuid"] = facts.valid_uuid(decided.get("uuid")) or event["uuid"]
        if decided.get("timestamp") != event["timestamp"]:
            decided["timestamp"] = facts.timestamp_text(decided.get("timestamp"))
        properties = decided.pop("properties", None)
        decided["properties"] = properties if isinstance(properties, dict) else {}
        return decided  # type: ignore[no-any-return]


def event_name(name: Any) -> str | None:
    """An event's name as it travels: at most 200 characters; None when there is none."""
    if type(name) is not str:
        name = str(name) if name is not None else ""
    return name[:MAX_NAME] or None


def _as_dict(properties: Any) -> dict[str, Any]:
    """The caller's properties as a dict, which is never the caller's own."""
    if type(properties) is dict:
        return properties
    if isinstance(properties, Mapping):
        return dict(properties)
    _guard.say(
        "warning", "properties must be a dict, got %s; the event goes without them", type(properties).__name__, every=60
    )
    return {}


def _caller_uuid(uuid: Any) -> str:
    valid = facts.valid_uuid(uuid)
    if valid is None:
        _guard.say("warning", "uuid %.60r is no RFC 4122 UUID; the event gets another", uuid, every=60)
        return facts.uuid7()
    return valid
