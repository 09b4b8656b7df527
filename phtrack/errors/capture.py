"""
Capture of an exception, on the thread that has it: decide, look, hand over.

    input -> one exception -> seen before? too often? -> snapshot -> event (encoded) -> PendingException -> queue

What can wait is in `report`, behind the door. A `before_send` hook must see the whole event, so that with one the rendering
happens here as well.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from phtrack import _guard, context, encode, steps
from phtrack.errors import failure
from phtrack.errors.boundary import CRASH, LOGGING, MANUAL, Boundary, overridden
from phtrack.errors.caught import Caught, NotAnException, catch
from phtrack.errors.enrich import enriched
from phtrack.errors.grouping import usable
from phtrack.errors.pending import Draft, PendingException, splice, without_large_properties
from phtrack.errors.report import Report, bare, render
from phtrack.errors.throttle import Buckets, Held, Throttle
from phtrack.event import MAX_EVENT_BYTES, RESERVED
from phtrack.frames import chain, snapshot
from phtrack.frames.asyncchain import awaiting_chain, task_name
from phtrack.frames.in_app import InApp
from phtrack.frames.values import ValueSnapshot
from phtrack.scrub import Rules, scrubber

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType, TracebackType

    from phtrack.errors.crash import Crash, CrashRecorder
    from phtrack.errors.failure import Sighting
    from phtrack.options import Options
    from phtrack.pipeline import Pipeline
    from phtrack.scrub import Scrubber
    from phtrack.tally import Tally

_ROOM = 1_000
"""Bytes kept free below the event limit for what the protocol adds."""


class Errors:
    """The exception side of one client."""

    def __init__(self, options: Options, *, pipeline: Pipeline, tally: Tally, project: str) -> None:
        """
        Args:
            project: Where the events go; what was captured for another one is captured for this one too.
        """
        self._options = options.errors
        self._value_options = options.values
        self._pipeline = pipeline
        self._tally = tally
        self._marks = failure.name_of_marks(project)
        self._is_in_app = InApp(options.errors.project_root, options.errors.in_app_modules)
        self._throttle = Throttle(options.errors.exception_throttle)
        limit = options.errors
        self._buckets = (
            Buckets(
                limit.exception_autocapture_bucket_size,
                limit.exception_autocapture_refill_rate,
                limit.exception_autocapture_refill_interval_seconds,
            )
            if limit.enable_exception_autocapture_rate_limiting
            else None
        )
        self._scrubber = scrubber(_rules(options.values, None))
        fingerprinting = options.errors.fingerprinting
        self._ask: Callable[[dict[str, Any]], Any] | None = fingerprinting if callable(fingerprinting) else None
        self._compute = fingerprinting != "server"
        self._crash: CrashRecorder | None = None

    def capture(
        self,
        exception: Any,
        about: Mapping[str, Any] | None = None,
        *,
        boundary: Boundary = MANUAL,
        under: Mapping[str, Any] | None = None,
    ) -> str | None:
        """
        Capture *exception* as caught at *boundary*.

        Args:
            exception: See `Client.capture_exception`.
            about: The caller's keyword arguments; not changed.
            under: Flag properties, of the lowest precedence.

        Returns:
            The event's uuid, or None when nothing was admitted.
        """
        caught = catch(exception)
        if caught is None:
            _guard.say("warning", "capture_exception() without an exception, and none is being handled", every=60)
            return None
        try:
            return self._capture(caught, dict(about) if about else {}, boundary, under)
        finally:
            # Frames refer to this one while it runs; a cycle would keep the host's objects until the next collection.
            caught.stack = caught.tb = caught.tail = None

    def capture_message(
        self,
        message: str,
        kind: str,
        about: Mapping[str, Any] | None = None,
        *,
        boundary: Boundary,
        stack: FrameType | None,
    ) -> str | None:
        """
        Capture a *message* that was reported as an error, with the *stack* of the report; *kind* stands for its type.
        """
        caught = Caught(NotAnException(kind, message[: chain.MAX_TEXT]), None, stack, True)
        try:
            return self._capture(caught, dict(about) if about else {}, boundary, None)
        finally:
            caught.stack = None

    def _capture(
        self, caught: Caught, about: dict[str, Any], boundary: Boundary, under: Mapping[str, Any] | None
    ) -> str | None:
        exception, tb = caught.exception, caught.tb
        if not caught.made_up and failure.captured_by_posthog(exception):
            return None
        earlier = failure.seen(exception, tb, self._marks)
        if earlier is not None:
            self._again(earlier, caught, about, boundary)
            return None
        held = self._held_back(caught, boundary)
        if held is False:
            self._tally.add("throttled")
            return None
        boundary = overridden(boundary, about) if about else boundary
        properties = about.get("properties")
        fingerprint = about.pop("fingerprint", None)
        if properties:
            about["properties"], fingerprint = _allowed(properties, fingerprint)
        event = self._pipeline.event("$exception", under=self._under(under), **about)
        report = self._report(caught, boundary, fingerprint, held if isinstance(held, Held) else None)
        if self._options.log_captured_exceptions:
            _log(exception, tb)
        uuid: str = event["uuid"]
        if "$exception_steps" in event["properties"]:
            report.steps = []
        return self._send(uuid, Draft(self._pipeline.encode(event), report), None if caught.made_up else caught)

    def _send(self, uuid: str, draft: Draft, caught: Caught | None) -> str | None:
        """Put a draft on its way, and let the exception that was caught remember it."""
        if self._pipeline.hooks:
            # The hooks must see it all, so it is made here and now.
            sealed = self._finish(draft)
            sent = None if sealed is None else self._pipeline.send(encode.loads(sealed), "errors")
            if caught is not None:
                failure.mark(caught.exception, failure.Sighting(uuid, caught.tb, caught.tail, None), self._marks)
            return sent
        pending = PendingException(uuid, draft, self._finish_later)
        if not self._pipeline.put(pending, "errors"):
            return None  # and unmarked: there may be room when the failure is seen again
        if caught is not None:
            sighting = failure.Sighting(uuid, caught.tb, caught.tail, weakref.ref(pending))
            failure.mark(caught.exception, sighting, self._marks)
        return uuid

    def _held_back(self, caught: Caught, boundary: Boundary) -> Held | bool:
        kind = type(caught.exception)
        if (
            boundary.automatic
            and self._buckets is not None
            and not self._buckets.passes(chain.type_name(kind).rpartition(".")[2])
        ):
            return False
        tail = caught.tail
        if tail is not None:
            code = tail.tb_frame.f_code
            return self._throttle.passes((id(kind), id(code), tail.tb_lasti), kind, code)
        stack = caught.stack
        if stack is None:
            return self._throttle.passes((id(kind),), kind)
        return self._throttle.passes((id(kind), id(stack.f_code), stack.f_lasti), kind, stack.f_code)

    def _report(self, caught: Caught, boundary: Boundary, fingerprint: Any, held: Held | None) -> Report:
        scope = context.surroundings()
        hide = self._scrubber if scope is None else self._scrubber_in(scope)
        task = task_name()
        return Report(
            snapshot=self._snapshot(caught, scope, hide),
            boundary=boundary,
            scrubber=hide,
            is_in_app=self._is_in_app,
            roots=self._is_in_app.roots,
            steps=steps.collect(scope.steps, self._options.max_exception_steps_bytes) if scope is not None else [],
            fingerprint=_first(
                fingerprint, scope.fingerprint if scope is not None else None, _own_fingerprint(caught.exception)
            ),
            compute_fingerprint=self._compute,
            held=held,
            task=task,
            awaited_by=awaiting_chain() if task is not None else [],
            # A log record's text and extras were written for a log.
            scrub_properties=self._options.scrub_events or boundary.source == LOGGING.source,
        )

    def _snapshot(self, caught: Caught, scope: context.Scope | None, hide: Scrubber) -> snapshot.Snapshot:
        show = self._value_options.capture_exception_code_variables
        if scope is not None and scope.values is not None:
            show = scope.values
        values = ValueSnapshot(time_ms=self._value_options.code_variables_time_ms, scrubber=hide) if show else None
        taken = snapshot.take(
            caught.exception,
            caught.tb,
            max_frames=self._options.max_frames,
            is_in_app=self._is_in_app,
            take_values=values.take if values is not None else None,
            own_stack=caught.stack,
        )
        if values is not None:
            values.close()
        if caught.made_up:
            link = taken.pictures[0].link
            link.type, link.text = caught.exception.args
            link.module = None
        return taken

    def _scrubber_in(self, scope: context.Scope) -> Scrubber:
        """The scrubber of the options, as the context overrides them."""
        if (
            scope.mask_patterns is None
            and scope.ignore_patterns is None
            and scope.mask_url_credentials is None
            and scope.detect_secrets is None
        ):
            return self._scrubber
        return scrubber(_rules(self._value_options, scope))

    def _under(self, under: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Flag properties: what was passed, and the flags that were read in this context."""
        scope = context.surroundings()
        if scope is None or not scope.flag_reads:
            return under
        reads = {f"$feature/{key}": value for key, value in scope.flag_reads.items()}
        active = sorted(key for key, value in scope.flag_reads.items() if value)
        return {**reads, **({"$active_feature_flags": active} if active else {}), **(under or {})}

    def capture_crash(self, crash: Crash) -> str | None:
        """Report what a crashed process left, as it was then, and let its files go."""
        event = self._pipeline.event(
            "$exception",
            uuid=crash.uuid,
            timestamp=crash.at,
            properties={**crash.about, "$context_tags": []},
        )
        report = Report(
            snapshot=crash.snapshot(),
            boundary=CRASH,
            scrubber=self._scrubber,
            is_in_app=self._is_in_app,
            roots=self._is_in_app.roots,
            steps=crash.steps,
            compute_fingerprint=self._compute,
        )
        sent = self._send(crash.uuid, Draft(self._pipeline.encode(event), report), None)
        if sent is not None:
            crash.forget()
        return sent

    # --- the same failure again ------------------------------------------------------------------------------------

    def _again(self, earlier: Sighting, caught: Caught, about: dict[str, Any], boundary: Boundary) -> None:
        """Another sighting of a captured failure: what it adds is kept while the event still waits, else it is counted."""
        boundary = overridden(boundary, about)
        self._tally.add("merged")
        pending = earlier.pending() if earlier.pending is not None else None
        if pending is None:
            return
        report = self._report(caught, boundary, about.pop("fingerprint", None), None)
        properties = about.get("properties")
        extra, _ = _allowed(properties, None) if properties else ({}, None)
        fresh = self._pipeline.event("$exception", **{**about, "properties": extra})

        if not pending.enrich(lambda draft: enriched(draft, report, boundary, fresh)):
            earlier.pending = None

    def scrubbed(
        self, properties: dict[str, Any], hide: Scrubber | None = None, found: list[str] | None = None
    ) -> dict[str, Any]:
        """
        The *properties* of an event, plain data, without secrets.

        Args:
            hide: By which rules; by those of the options if not told.
            found: Gets the rules that hid something.
        """
        hide = hide or self._scrubber
        return {
            # A flag's key says nothing of its value, which is the name of a variant.
            key: value if key.startswith("$feature/") else hide.value(value, found, name=key)
            for key, value in properties.items()
        }

    # --- behind the door -------------------------------------------------------------------------------------------

    def _finish_later(self, draft: Draft) -> bytes | None:
        """`_finish` for an event that was admitted: its failure is counted, since nobody else can tell it from a decision."""
        try:
            return self._finish(draft)
        except Exception as error:
            self._tally.add("dropped:internal_error", lane="errors")
            _guard.swallowed("rendering an exception", error)
            return None

    def _finish(self, draft: Draft) -> bytes | None:
        """The bytes of a draft: rendered, scrubbed, shrunk to fit; None if it can't be made to fit (counted)."""
        found: list[str] = []
        if draft.report.scrub_properties:
            event = encode.loads(draft.event)
            properties = self.scrubbed(event.pop("properties"), draft.report.scrubber, found)
            draft.event = encode.dumps({**event, "properties": properties})
        room = MAX_EVENT_BYTES - _ROOM - len(draft.event)
        if room < 20_000:
            draft.event = without_large_properties(draft.event)
            room = MAX_EVENT_BYTES - _ROOM - len(draft.event)
        try:
            rendered = render(draft.report, room, ask=self._ask, found=found)
        except Exception as error:
            _guard.swallowed("rendering an exception", error)
            rendered = bare(draft.report)
        if rendered.given_up:
            self._tally.add("shrunk")
        if rendered.found:
            self._tally.add("scrubbed")
        body = splice(draft.event, rendered.body)
        if len(body) > MAX_EVENT_BYTES:
            self._pipeline.too_large("$exception", len(body))
            return None
        return body

    def start_crash_recording(self, folder: Any, about: dict[str, Any]) -> None:
        """
        Report the crashes that earlier processes left in *folder*, and record for this one.

        Raises:
            OSError: the folder can't be used.
        """
        from phtrack.errors import crash

        self._crash = crash.CrashRecorder(folder, about)
        for left in crash.leftovers(folder):
            self.capture_crash(left)

    def close(self) -> None:
        """Stop recording crashes."""
        if self._crash is not None:
            self._crash.close()

    def reset_after_fork(self) -> None:
        """A child throttles for itself."""
        self._throttle.reset_after_fork()
        if self._buckets is not None:
            self._buckets.reset_after_fork()


# --- what the caller says --------------------------------------------------------------------------------------------


def _allowed(properties: Any, fingerprint: Any) -> tuple[dict[str, Any], Any]:
    """The caller's properties without the reserved ones, and the fingerprint that may be among them."""
    if not isinstance(properties, dict):
        return properties, fingerprint
    kept = {}
    for key, value in properties.items():
        if key == "$exception_fingerprint":
            fingerprint = fingerprint if fingerprint is not None else value
        elif key in RESERVED:
            _guard.say("debug", "%s can't be set by the caller of capture_exception(); ignored", key, every=60)
        else:
            kept[key] = value
    return kept, fingerprint


def _first(*candidates: Any) -> Any:
    """The first that is a usable fingerprint."""
    for one in candidates:
        if one is not None and (found := usable(one)) is not None:
            return found
    return None


def _own_fingerprint(exception: BaseException) -> Any:
    """`__fingerprint__` of the exception itself or of its class, if it is plain data."""
    in_class = chain.kind_of(type(exception)).fingerprint
    return dict.get(chain.instance_dict(exception), "__fingerprint__", in_class)


def _rules(options: Any, scope: context.Scope | None) -> Rules:
    """Scrubbing rules of the options, overridden by the context's."""
    from phtrack.options import DEFAULT_IGNORE_PATTERNS, DEFAULT_MASK_PATTERNS

    def pick(name: str, default: Any) -> Any:
        inside = getattr(scope, name) if scope is not None else None
        if inside is not None:
            return inside
        given = getattr(options, f"code_variables_{name}")
        return given if given is not None else default

    return Rules(
        mask_patterns=tuple(pick("mask_patterns", DEFAULT_MASK_PATTERNS)),
        ignore_patterns=tuple(pick("ignore_patterns", DEFAULT_IGNORE_PATTERNS)),
        mask_url_credentials=pick("mask_url_credentials", True),
        detect_secrets=pick("detect_secrets", True),
    )


def _log(exception: BaseException, tb: TracebackType | None) -> None:
    _guard.say("error", "captured exception", exc_info=(type(exception), exception, tb))
