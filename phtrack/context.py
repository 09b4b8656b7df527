"""
Who, in which session, with which tags: what surrounds the code that runs, without passing it along.

    with new_context():            -> a Scope in a context variable
        identify_context("u1")     -> a new Scope in its place
        tag("plan", "pro")
        capture(...)               -> reads the Scope

A `Scope` is replaced, not changed, when something is set: a task or thread that got a copy of the surroundings goes its
own way, and nothing it sets shows up in its siblings. The exception is a *shared* scope, which integrations open around a
request: there a handler that runs in a worker thread sets the user, and the middleware outside must see it; one request is
one user, so its own tasks may share. Rules: wire contract, context-and-headers.md §1.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from phtrack import _guard, encode, event, steps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextvars import Token
    from types import TracebackType

F = TypeVar("F", bound="Callable[..., Any]")

_NOTHING: dict[str, Any] = {}
MAX_STEP_BYTES = 32_768
MAX_STEP_MESSAGE = 2_000


class Scope:
    """What one context holds. Mappings in it are replaced, never changed."""

    __slots__ = (
        "capture_exceptions",
        "client",
        "detect_secrets",
        "device_id",
        "distinct_id",
        "fingerprint",
        "flag_reads",
        "group_properties",
        "ignore_patterns",
        "mask_patterns",
        "mask_url_credentials",
        "person_properties",
        "session_id",
        "shared",
        "steps",
        "tags",
        "values",
    )

    def __init__(self) -> None:
        self.client: Any = None
        """The client that captures what leaves the block; None is the default client."""
        self.capture_exceptions: bool | None = None
        """False: what leaves the block is not captured."""
        self.shared = False
        self.distinct_id: str | None = None
        self.session_id: str | None = None
        self.device_id: str | None = None
        self.tags: Mapping[str, Any] = _NOTHING
        self.values: bool | None = None
        """Overrides of the client's options for values and scrubbing; None inherits."""
        self.mask_patterns: tuple[str, ...] | None = None
        self.ignore_patterns: tuple[str, ...] | None = None
        self.mask_url_credentials: bool | None = None
        self.detect_secrets: bool | None = None
        self.fingerprint: Any = None
        """Fingerprint of exceptions captured in here, or None."""
        self.flag_reads: Mapping[str, Any] = _NOTHING
        """Flag key -> value read in this context."""
        self.person_properties: Mapping[str, Any] = _NOTHING
        """Defaults for flag evaluation."""
        self.group_properties: Mapping[str, Mapping[str, Any]] = _NOTHING
        self.steps: steps.Cell | None = None
        """The newest step, linked to the ones before it."""

    def copy(self) -> Scope:
        """An independent scope with the same content."""
        twin = Scope.__new__(Scope)
        for name in Scope.__slots__:
            setattr(twin, name, getattr(self, name))
        return twin


_scope: ContextVar[Scope | None] = ContextVar("phtrack_scope", default=None)
_base: ContextVar[Scope | None] = ContextVar("phtrack_base", default=None)
"""Outside of any context: steps and flag reads still find a place, per thread and task; ids and tags do not."""


def current() -> Scope | None:
    """The scope of the innermost context, or None outside of any."""
    return _scope.get()


def surroundings() -> Scope | None:
    """The current scope, or outside of any context the place that holds steps and flag reads; None if nothing was noted."""
    return _scope.get() or _base.get()


def default_client() -> Any:
    """The client behind `phtrack`'s own functions, if it was made or configured; asked by name, since it stands above."""
    find = getattr(sys.modules.get("phtrack"), "_client_if_any", None)
    return find() if find is not None else None


def change(**values: Any) -> bool:
    """Set fields of the current scope. False, and nothing happens, outside of any context."""
    scope = _scope.get()
    if scope is None:
        return False
    if not scope.shared:
        scope = scope.copy()
        _scope.set(scope)
    for name, value in values.items():
        setattr(scope, name, value)
    return True


def note(**values: Any) -> None:
    """Like `change`, but kept outside of a context too (for what only describes the surroundings: steps, flag reads)."""
    if change(**values):
        return
    base = _base.get()
    base = Scope() if base is None else base.copy()
    for name, value in values.items():
        setattr(base, name, value)
    _base.set(base)


def reset_after_fork() -> None:
    """A child process starts with no context."""
    _scope.set(None)
    _base.set(None)


# --- blocks --------------------------------------------------------------------------------------------------------


class new_context:  # noqa: N801 - the name of the public API
    """
    A context around a block: what is set inside applies inside, and what escapes it is captured.

    Args:
        fresh: True inherits nothing from the surrounding context.
        capture_exceptions: False leaves escaping exceptions alone. Default: an `Exception` that leaves the block is
            captured with the block's tags and ids, and raised on unchanged.
        client: Captures what escapes; default the surrounding context's, then the default client.

    Works with `with` and `async with`, and as a decorator see `scoped`.
    """

    __slots__ = ("_before", "_capture", "_client", "_fresh", "_shared", "_token")

    def __init__(
        self, fresh: bool = False, capture_exceptions: bool | None = None, client: Any = None, *, _shared: bool = False
    ) -> None:
        self._fresh = fresh
        self._capture = capture_exceptions
        self._client = client
        self._shared = _shared

    def __enter__(self) -> None:
        before = _scope.get()
        # What only describes the surroundings (steps, flag reads) is inherited from outside of any context too.
        parent = None if self._fresh else before or _base.get()
        scope = Scope() if parent is None else parent.copy()
        if self._client is not None:
            scope.client = self._client
        scope.capture_exceptions = self._capture
        scope.shared = self._shared
        self._before = before
        self._token: Token[Scope | None] = _scope.set(scope)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            if error is not None and self._capture is not False and isinstance(error, Exception):
                _capture_escaped(error)
        finally:
            self._leave()

    def _leave(self) -> None:
        try:
            _scope.reset(self._token)
        except ValueError:  # entered in another task or thread (async generators, fixtures)
            _scope.set(self._before)

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, tb)

    def __call__(self, function: F) -> F:
        return scoped(fresh=self._fresh, capture_exceptions=self._capture, client=self._client)(function)


def _capture_escaped(error: Exception) -> None:
    """Hand *error* to the scope's client, else to the default one if it was made; phtrack is not started by a crash."""
    with _guard.shield("capturing what left a context"):
        scope = _scope.get()
        client = (scope.client if scope is not None else None) or default_client()
        if client is not None:
            client.capture_exception(error)


def scoped(
    fresh: bool = False, capture_exceptions: bool | None = None, client: Any = None
) -> Callable[[F], F]:
    """
    `new_context` around every call of a function: plain, async, generator or async generator.

    A generator's context is entered around each of its resumptions and keeps what was set inside between them.
    """

    def decorate(function: F) -> F:
        import inspect

        def block() -> new_context:
            return new_context(fresh=fresh, capture_exceptions=capture_exceptions, client=client)

        if inspect.isasyncgenfunction(function):
            wrapper = _around_async_generator(function, block)
        elif inspect.isgeneratorfunction(function):
            wrapper = _around_generator(function, block)
        elif inspect.iscoroutinefunction(function):

            @wraps(function)
            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                with block():
                    return await function(*args, **kwargs)

        else:

            @wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                with block():
                    return function(*args, **kwargs)

        return wrapper  # type: ignore[no-any-return, return-value]

    return decorate


class _Resumptions:
    """The block of one generator: entered for each resumption with the scope that the last one left."""

    def __init__(self, block: new_context) -> None:
        self._block = block
        self._scope: Scope | None = None

    def __enter__(self) -> None:
        self._block.__enter__()
        if self._scope is not None:
            _scope.set(self._scope)

    def __exit__(self, kind: Any, error: BaseException | None, tb: Any) -> None:
        self._scope = _scope.get()
        ended = isinstance(error, (StopIteration, StopAsyncIteration))
        self._block.__exit__(None if ended else kind, None if ended else error, tb)


def _around_generator(function: Any, block: Callable[[], new_context]) -> Any:
    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        inside = _Resumptions(block())
        with inside:
            generator = function(*args, **kwargs)
        step, given = generator.send, None
        try:
            while True:
                try:
                    with inside:
                        produced = step(given)
                except StopIteration as end:
                    return end.value
                try:
                    given = yield produced
                    step = generator.send
                except GeneratorExit:
                    raise
                except BaseException as error:
                    step, given = generator.throw, error
        finally:
            with inside:
                generator.close()

    return wrapper


def _around_async_generator(function: Any, block: Callable[[], new_context]) -> Any:
    @wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        inside = _Resumptions(block())
        generator = function(*args, **kwargs)
        step, given = generator.asend, None
        try:
            while True:
                try:
                    with inside:
                        produced = await step(given)
                except StopAsyncIteration:
                    return
                try:
                    given = yield produced
                    step = generator.asend
                except GeneratorExit:
                    raise
                except BaseException as error:
                    step, given = generator.athrow, error
        finally:
            with inside:
                await generator.aclose()

    return wrapper


# --- setters and readers -------------------------------------------------------------------------------------------


def _set(what: str, **values: Any) -> None:
    if not change(**values):
        _guard.say("debug", "%s outside of a context has no effect; open one with new_context()", what, every=60)


def tag(name: str, value: Any) -> None:
    """Attach *value* under *name* to everything captured in this context and below. No effect outside of one."""
    scope = _scope.get()
    _set("tag()", tags={**(scope.tags if scope is not None else {}), name: value})


def get_tags() -> dict[str, Any]:
    """A copy of the tags in force here; empty outside of a context."""
    scope = _scope.get()
    return dict(scope.tags) if scope is not None else {}


def identify_context(distinct_id: Any) -> None:
    """Say who the user is, for everything captured in this context and below."""
    _set("identify_context()", distinct_id=_id_or_none(distinct_id))


def set_context_session(session_id: Any) -> None:
    """Say which session this is (`$session_id`)."""
    _set("set_context_session()", session_id=_id_or_none(session_id))


def set_context_device_id(device_id: Any) -> None:
    """Say which device this is, for flags that are bucketed by it."""
    _set("set_context_device_id()", device_id=_id_or_none(device_id))


def set_context_fingerprint(fingerprint: str | list[str] | None) -> None:
    """Group every exception captured in this context under *fingerprint*; None leaves it to phtrack again."""
    _set("set_context_fingerprint()", fingerprint=fingerprint)


def _id_or_none(value: Any) -> str | None:
    if value is None:
        return None
    text = value if type(value) is str else str(value)
    return text or None


def get_context_distinct_id() -> str | None:
    """The user of this context, or None."""
    scope = _scope.get()
    return scope.distinct_id if scope is not None else None


def get_context_session_id() -> str | None:
    """The session of this context, or None."""
    scope = _scope.get()
    return scope.session_id if scope is not None else None


def get_context_device_id() -> str | None:
    """The device of this context, or None."""
    scope = _scope.get()
    return scope.device_id if scope is not None else None


def set_capture_exception_code_variables_context(enabled: bool) -> None:
    """Show values in frames, or not, in this context and below."""
    _set("set_capture_exception_code_variables_context()", values=bool(enabled))


def set_code_variables_mask_patterns_context(mask_patterns: list[str]) -> None:
    """Replace the patterns of what is hidden, in this context and below. A pattern that is no regular expression raises."""
    _set("set_code_variables_mask_patterns_context()", mask_patterns=_patterns(mask_patterns))


def set_code_variables_ignore_patterns_context(ignore_patterns: list[str]) -> None:
    """Replace the patterns of what is left out, in this context and below."""
    _set("set_code_variables_ignore_patterns_context()", ignore_patterns=_patterns(ignore_patterns))


def set_code_variables_mask_url_credentials_context(enabled: bool) -> None:
    """Hide `user:password@`, or not, in this context and below."""
    _set("set_code_variables_mask_url_credentials_context()", mask_url_credentials=bool(enabled))


def set_code_variables_detect_secrets_context(enabled: bool) -> None:
    """Hide what looks like a secret, or not, in this context and below."""
    _set("set_code_variables_detect_secrets_context()", detect_secrets=bool(enabled))


def _patterns(patterns: Any) -> tuple[str, ...] | None:
    if patterns is None:
        return None
    import re

    for pattern in patterns:
        re.compile(pattern)
    return tuple(patterns)


# --- steps and flags -----------------------------------------------------------------------------------------------


def step(message: Any, **properties: Any) -> None:
    """
    Note what happens now; exceptions captured later in this context carry it (`$exception_steps`).

    Args:
        message: One line, e.g. `cart loaded`.
        properties: Anything JSON has a form for; frozen at the call.

    Works outside of a context too: then it belongs to the current thread or task. The oldest steps give way.
    """
    with _guard.shield("step"):
        body = _step_body(message, properties)
        if body is not None:
            around = surroundings()
            note(steps=steps.add(around.steps if around is not None else None, body))


def _step_body(message: Any, properties: Mapping[str, Any]) -> bytes | None:
    """The JSON object of a step that happens now; None if it alone is over the budget."""
    text = message if type(message) is str else str(message)
    step: dict[str, Any] = {"$message": text[:MAX_STEP_MESSAGE], "$timestamp": event.now_text()}
    for name, value in properties.items():
        if name in step:
            _guard.once("warning", "a step can't have a property named %s; it is left out", name)
        else:
            step[name] = value
    body = encode.dumps(step)
    if len(body) > MAX_STEP_BYTES:
        _guard.say("warning", "a step of %d bytes is over the limit and was left out", len(body), every=60)
        return None
    return body


def note_flag_read(key: str, value: Any) -> None:
    """Remember that flag *key* was read as *value* here, as a step and as what exceptions of this context carry."""
    around = surroundings()
    reads = around.flag_reads if around is not None else _NOTHING
    if reads.get(key, _NOTHING) is not value:
        note(flag_reads={**reads, key: value})
        step(f"flag {key}", kind="flag", value=value)


def flag_properties() -> tuple[Mapping[str, Any], Mapping[str, Mapping[str, Any]]]:
    """Person and group properties that this context adds to flag evaluations. Not to be changed."""
    scope = _scope.get()
    return (scope.person_properties, scope.group_properties) if scope is not None else (_NOTHING, _NOTHING)


def set_person_properties_for_flags(properties: Mapping[str, Any]) -> None:
    """Person properties that flag evaluations in this context use, under those given per call."""
    scope = _scope.get()
    known = scope.person_properties if scope is not None else {}
    _set("set_person_properties_for_flags()", person_properties={**known, **properties})


def reset_person_properties_for_flags() -> None:
    """Forget what `set_person_properties_for_flags` set in this context."""
    _set("reset_person_properties_for_flags()", person_properties=_NOTHING)


def set_group_properties_for_flags(properties: Mapping[str, Mapping[str, Any]]) -> None:
    """Group properties by group type that flag evaluations in this context use, under those given per call."""
    scope = _scope.get()
    known = scope.group_properties if scope is not None else {}
    merged = {kind: {**known.get(kind, {}), **given} for kind, given in properties.items()}
    _set("set_group_properties_for_flags()", group_properties={**known, **merged})


def reset_group_properties_for_flags(group_type: str | None = None) -> None:
    """Forget group properties set in this context: of *group_type*, or all."""
    scope = _scope.get()
    known = scope.group_properties if scope is not None else {}
    kept = {kind: given for kind, given in known.items() if group_type is not None and kind != group_type}
    _set("reset_group_properties_for_flags()", group_properties=kept)
