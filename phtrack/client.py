"""
The client: the one place where the parts meet.

    options -> Client -> Pipeline (events), Errors (exceptions), Flags, Delivery, hooks

Every public call is harmless: it logs its own failure and answers None, unless `debug=True`. Methods that build events
forward to the room that knows how; nothing here knows the wire format.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from phtrack import _guard, _process, context
from phtrack import groups as persons
from phtrack.delivery import Delivery
from phtrack.flag_calls import FlagCalls
from phtrack.options import Options, as_hooks, resolve
from phtrack.pipeline import Pipeline, event_name
from phtrack.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Unpack

    from phtrack.arguments import CaptureArguments, ClientOptions, ExceptionArguments, SetArguments
    from phtrack.errors import Errors
    from phtrack.seams import Clock, Lane, Transport

_live: weakref.WeakSet[Client] = weakref.WeakSet()


class Client(FlagCalls):
    """
    Captures events and exceptions for one project.

    Args:
        project_api_key: The project's token; blank disables the client, with one log line.
        host: Where events go; default PostHog's US cloud. `http://127.0.0.1:8970` is the local inbox.
        options: See `phtrack.options`: every option with its default and meaning.
        transport, clock: Seams for tests (`phtrack.testing`).

    Raises:
        TypeError: unknown option or wrong type.
        ValueError: a value out of range. The message has the value.
    """

    _pipeline: Pipeline

    def __init__(
        self,
        project_api_key: str | None = None,
        host: str | None = None,
        *positional: Any,
        transport: Transport | None = None,
        clock: Clock | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        self.options: Options = resolve(project_api_key, host, *positional, **options)
        project = self.options.project
        self.api_key = project.api_key
        self.raw_host = project.host
        self.host = project.ingestion_host
        self.debug = project.debug
        self.disabled = project.disabled
        self.send = self.options.delivery.send
        self.on_error = self.options.delivery.on_error
        self.privacy_mode = self.options.events.privacy_mode
        self.enable_full_ai_capture = self.options.events.enable_full_ai_capture
        self._opted_out = self.options.events.opt_out
        self._closed = False
        self._before_send = self.options.events.before_send
        self._undos: list[Callable[[], None]] = []
        self._errors: Errors | None = None
        self._set_log_level()
        if not self.api_key and not self.disabled:
            self.disabled = True
            _guard.once("error", "no project_api_key: phtrack is disabled and captures nothing")
        self.tally = Tally()
        self._delivery = Delivery(
            self.options.delivery,
            api_key=self.api_key,
            host=self.host,
            tally=self.tally,
            transport=transport,
            clock=clock,
        )
        self._pipeline = Pipeline(
            self.options.events,
            tally=self.tally,
            put=self._delivery.put,
            reshape=_reshape_for(self.options.delivery.protocol),
            surroundings=self._surroundings,
            scrub=self._scrubbed if self.options.errors.scrub_events else None,
        )
        if not self.disabled:
            self._start()

    def _start(self) -> None:
        """What happens beyond building objects; nothing of it when disabled."""
        _process.on_fork(self)
        if any(other.api_key == self.api_key and other.host == self.host and not other._closed for other in _live):
            _guard.once("warning", "another client for the same project and host is alive; one is enough")
        _live.add(self)
        if self.options.errors.enable_exception_autocapture:
            from phtrack import hooks

            self._undos.append(hooks.install(self))

        folder = self.options.errors.crash_dir
        if folder is not None:
            try:
                self.errors.start_crash_recording(folder, dict(self._surroundings()))
            except OSError as error:
                _guard.say("warning", "crash_dir=%r can't be used: %s; crashes are not recorded", str(folder), error)

    def _set_log_level(self) -> None:
        log = _guard.logger()
        if self.debug:
            log.setLevel("DEBUG")
        elif not log.level:
            log.setLevel("WARNING")

    def _surroundings(self) -> Mapping[str, Any]:
        from phtrack.release import describe

        events = self.options.events
        return describe(events.release, events.environment, self.options.errors.project_root)

    # --- events ----------------------------------------------------------------------------------------------------

    def capture(self, event: str, **about: Unpack[CaptureArguments]) -> str | None:
        """
        Capture an event.

        Args:
            event: Its name, e.g. `order placed`; cut at 200 characters.
            about: `distinct_id` (default: the context's, else a personless event), `properties`, `timestamp` (datetime,
                date, ISO text or epoch seconds), `uuid`, `groups` (`{type: key}`), `flags` (a snapshot of
                `evaluate_flags`), `send_feature_flags` (deprecated), `disable_geoip`.

        Returns:
            The event's uuid, or None if it was not admitted.
        """
        return self._capture(event, "errors" if event == "$exception" else "events", about)

    def capture_ai(self, event: str, **about: Unpack[CaptureArguments]) -> str | None:
        """`capture` through the lane for AI events, which may be up to 8 MiB."""
        return self._capture(event, "ai", about)

    def _capture(self, event: Any, lane: Lane, about: Any) -> str | None:
        if self.disabled or self._closed or self._opted_out:
            return self._refuse()
        try:
            name = event_name(event)
            if name is None:
                _guard.say("warning", "capture() without an event name; nothing was sent", every=60)
                return None
            under = self._flag_properties(about)
            return self._pipeline.send(self._pipeline.event(name, under=under, **about), lane)
        except Exception as error:
            return self._failed("capture", error)

    def _flag_properties(self, about: dict[str, Any]) -> Mapping[str, Any] | None:
        """Take the flag arguments out of *about*, and answer with the properties they stand for."""
        if not about:
            return None
        flags = about.pop("flags", None)
        legacy = about.pop("send_feature_flags", False)
        if flags is None and not legacy:
            return None
        return self._flags_on_event(flags, legacy, about)

    def set(self, **about: Unpack[SetArguments]) -> str | None:
        """Set person properties. Without an id (argument or context) or properties nothing is sent."""
        return self._person("$set", about)

    def set_once(self, **about: Unpack[SetArguments]) -> str | None:
        """Set person properties that have no value yet."""
        return self._person("$set_once", about)

    def _person(self, name: str, about: Any) -> str | None:
        if self.disabled or self._closed or self._opted_out:
            return self._refuse()
        try:
            event = persons.person_event(self._pipeline, name, about.pop("properties", None), **about)
            return None if event is None else self._pipeline.send(event, "events")
        except Exception as error:
            return self._failed(name, error)

    def alias(
        self,
        previous_id: Any,
        distinct_id: Any = None,
        timestamp: Any = None,
        uuid: Any = None,
        disable_geoip: bool | None = None,
    ) -> str | None:
        """Say that *previous_id* and *distinct_id* are one person."""
        if self.disabled or self._closed or self._opted_out:
            return self._refuse()
        try:
            event = persons.alias_event(
                self._pipeline, previous_id, distinct_id, timestamp=timestamp, uuid=uuid, disable_geoip=disable_geoip
            )
            return None if event is None else self._pipeline.send(event, "events")
        except Exception as error:
            return self._failed("alias", error)

    def group_identify(
        self,
        group_type: Any,
        group_key: Any,
        properties: Mapping[str, Any] | None = None,
        timestamp: Any = None,
        uuid: Any = None,
        disable_geoip: bool | None = None,
        distinct_id: Any = None,
    ) -> str | None:
        """Set properties of a group, e.g. `group_identify("company", "acme", {"name": "Acme"})`."""
        if self.disabled or self._closed or self._opted_out:
            return self._refuse()
        try:
            event = persons.group_event(
                self._pipeline,
                group_type,
                group_key,
                properties,
                distinct_id=distinct_id,
                timestamp=timestamp,
                uuid=uuid,
                disable_geoip=disable_geoip,
            )
            return None if event is None else self._pipeline.send(event, "events")
        except Exception as error:
            return self._failed("group_identify", error)

    # --- exceptions ------------------------------------------------------------------------------------------------

    def capture_exception(self, exception: Any = None, **about: Unpack[ExceptionArguments]) -> str | None:
        """
        Capture an exception.

        Args:
            exception: An exception, a `(type, value, traceback)` tuple, None for the one being handled, or any other
                object, which is captured with the current stack.
            about: As for `capture`, and what the catcher knows: `level` (fatal, error, warning, info, debug, log),
                `handled`, `fingerprint` (str or list), `source`, `mechanism_type`.

        Returns:
            The event's uuid, or None if it was not admitted: already captured, held back by the throttle, dropped.
        """
        if self.disabled or self._closed or self._opted_out:
            return self._refuse()
        try:
            under = self._flag_properties(about)  # type: ignore[arg-type]
            return self.errors.capture(exception, about, under=under)
        except Exception as error:
            return self._failed("capture_exception", error)

    @property
    def errors(self) -> Errors:
        """The exception side, made at first use."""
        if self._errors is None:
            from phtrack.errors import Errors

            self._errors = Errors(
                self.options, pipeline=self._pipeline, tally=self.tally, project=f"{self.api_key} {self.host}"
            )
        return self._errors

    def _scrubbed(self, properties: dict[str, Any]) -> dict[str, Any]:
        return self.errors.scrubbed(properties)

    # --- contexts --------------------------------------------------------------------------------------------------

    def new_context(self, fresh: bool = False, capture_exceptions: bool | None = None) -> context.new_context:
        """`phtrack.new_context` whose escaping exceptions this client captures."""
        return context.new_context(fresh=fresh, capture_exceptions=capture_exceptions, client=self)

    def scoped(self, fresh: bool = False, capture_exceptions: bool | None = None) -> Any:
        """`phtrack.scoped` whose escaping exceptions this client captures."""
        return context.scoped(fresh=fresh, capture_exceptions=capture_exceptions, client=self)

    tag = staticmethod(context.tag)
    get_tags = staticmethod(context.get_tags)
    identify_context = staticmethod(context.identify_context)
    set_context_session = staticmethod(context.set_context_session)
    set_context_device_id = staticmethod(context.set_context_device_id)

    def get_distinct_id(self) -> str | None:
        """The context's user, or None."""
        return context.get_context_distinct_id()

    # --- switches --------------------------------------------------------------------------------------------------

    @property
    def before_send(self) -> Any:
        """The hook or hooks in use; may be set at run time."""
        return self._before_send

    @before_send.setter
    def before_send(self, before_send: Any) -> None:
        if before_send is not self._before_send:
            self._before_send = before_send
            self._pipeline.hooks = as_hooks(before_send)

    @property
    def super_properties(self) -> Mapping[str, Any] | None:
        """Properties merged into every event; may be set at run time."""
        return self._pipeline.super_properties

    @super_properties.setter
    def super_properties(self, properties: Mapping[str, Any] | None) -> None:
        self._pipeline.forget_super_properties(properties)

    def opt_out(self) -> None:
        """Capture nothing from now on, silently."""
        self._opted_out = True

    def opt_in(self) -> None:
        """Capture again."""
        self._opted_out = False

    def is_opted_out(self) -> bool:
        """True after `opt_out()`, or with the option of that name."""
        return self._opted_out

    # --- life ------------------------------------------------------------------------------------------------------

    def flush(self, timeout_seconds: float | None = 10) -> bool:
        """
        Send what waits now, and wait until it is gone or *timeout_seconds* are over (None: no limit).

        Returns:
            True when nothing waits any more: each event was delivered, is on disk in the spool for later (`spool_dir`), or was
            given up, which `stats()` counts and `on_error` is told. False when the time was up first; what is left goes on. With
            nothing to send there is no network traffic. Never raises.
        """
        if self.disabled or self._closed:
            return True
        with _guard.shield("flush", debug=self.debug):
            return self._delivery.flush(timeout_seconds)
        return False

    def join(self) -> None:
        """Deliver what waits and stop the sending threads."""
        self.shutdown()

    def shutdown(self, timeout: float | None = None) -> None:
        """
        Deliver what waits, put back the hooks and stop; later captures answer None. Idempotent.

        Args:
            timeout: Seconds to wait at most; what is left is spooled or counted. None: as long as delivery takes.
        """
        if self._closed:
            return
        self._closed = True
        with _guard.shield("shutdown", debug=self.debug):
            while self._undos:
                self._undos.pop()()
            self._close_parts()
            self._delivery.close(timeout)

    def _close_parts(self) -> None:
        self._close_flags()
        if self._errors is not None:
            self._errors.close()

    def stats(self) -> dict[str, Any]:
        """What happened to every event: `phtrack.tally.Tally`'s counters, and the queues' depth and last error."""
        return {"counters": self.tally.read(), **self._delivery.stats()}

    def reset_after_fork(self) -> None:
        """In a child process: no context, no counts; the parent's events are the parent's."""
        context.reset_after_fork()
        _guard.reset_after_fork()
        self.tally.reset_after_fork()
        self._fork_flags()
        if self._errors is not None:
            self._errors.reset_after_fork()

    def _refuse(self) -> str | None:
        if self._closed:
            _guard.say("warning", "capture after shutdown(): nothing is sent; make a new client", every=60)
        return None

    def _failed(self, what: str, error: Exception) -> str | None:
        if self.debug:
            raise error
        self.tally.add("dropped:internal_error")
        _guard.swallowed(what, error)
        return None


class Posthog(Client):
    """The name that code written for the `posthog` package uses."""


def _reshape_for(protocol: str) -> Any:
    if protocol == "v0":
        return None
    from phtrack.delivery.v1 import reshape

    return reshape
