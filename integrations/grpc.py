"""
gRPC servers: one context per call, and errors that leave a method. Interceptors, which are gRPC's own extension point.

    grpc.server(pool, interceptors=[phtrack.integrations.grpc.interceptor()])
    grpc.aio.server(interceptors=[phtrack.integrations.grpc.async_interceptor()])

`install` adds them to every server made from then on, outside of the application's own. What `context.abort` raises is an
answer, not a failure, and so is what gRPC raises in a method whose caller has gone. The failed call of another service that
nobody handles is a failure. Callbacks of a call and its serializers are gRPC's to run and to log: no interceptor sees them.
"""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from phtrack import _guard

from . import _http
from ._http import HttpOptions, RequestFacts
from ._outbound import replace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

SOURCE = "grpc.interceptor"
_KINDS = {
    (False, False): ("unary_unary", "unary_unary_rpc_method_handler"),
    (False, True): ("unary_stream", "unary_stream_rpc_method_handler"),
    (True, False): ("stream_unary", "stream_unary_rpc_method_handler"),
    (True, True): ("stream_stream", "stream_stream_rpc_method_handler"),
}
_INTERCEPTORS = 2
"""Where `interceptors` stands among the positional arguments of both kinds of servers."""


def install(options: HttpOptions | None = None) -> Callable[[], None]:
    """Add an interceptor to every server, sync and asyncio, that is made from now on. Returns the undo."""
    import grpc
    import grpc.aio

    chosen = options or HttpOptions()

    def adding(make: Callable[[HttpOptions], Any]) -> Any:
        def wrap(server: Any) -> Any:
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                if len(args) > _INTERCEPTORS:
                    ours = [make(chosen), *(args[_INTERCEPTORS] or ())]
                    args = (*args[:_INTERCEPTORS], ours, *args[_INTERCEPTORS + 1 :])
                else:
                    kwargs["interceptors"] = [make(chosen), *(kwargs.get("interceptors") or ())]
                return server(*args, **kwargs)

            return wrapper

        return wrap

    undos = [
        replace(grpc, "server", adding(interceptor)),
        replace(grpc.aio, "server", adding(async_interceptor)),
    ]

    def undo() -> None:
        for one in undos:
            one()

    return undo


install_auto = install


def interceptor(options: HttpOptions | None = None) -> Any:
    """An interceptor for `grpc.server`."""
    import grpc

    chosen = options or HttpOptions()

    class Interceptor(grpc.ServerInterceptor):  # type: ignore[misc]
        def intercept_service(self, continuation: Any, details: Any) -> Any:
            try:
                handler = continuation(details)
            except Exception:  # of another interceptor
                with _Call(details, None, chosen):
                    raise
            return _watched(handler, details, chosen)

    return Interceptor()


def async_interceptor(options: HttpOptions | None = None) -> Any:
    """An interceptor for `grpc.aio.server`."""
    import grpc.aio

    chosen = options or HttpOptions()

    class Interceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
        async def intercept_service(self, continuation: Any, details: Any) -> Any:
            try:
                handler = await continuation(details)
            except Exception:  # of another interceptor
                with _Call(details, None, chosen):
                    raise
            return _watched(handler, details, chosen)

    return Interceptor()


def _watched(handler: Any, details: Any, options: HttpOptions) -> Any:
    """The handler with its method inside a context; None (there is no such method) stays None."""
    import grpc

    if handler is None:
        return None
    name, make = _KINDS[bool(handler.request_streaming), bool(handler.response_streaming)]
    method = getattr(handler, name)
    wrapped = _wrapper_for(method, bool(handler.response_streaming))(method, details, options)
    return getattr(grpc, make)(wrapped, handler.request_deserializer, handler.response_serializer)


def _wrapper_for(method: Any, streaming: bool) -> Any:
    """By what kind of function the method is: servers for asyncio, which take plain ones too, tell them apart like this."""
    if inspect.isasyncgenfunction(method):
        return _stream_async
    if inspect.iscoroutinefunction(method):  # answers, or writes its stream with `context.write`
        return _call_async
    if streaming and not getattr(method, "experimental_non_blocking", False):
        return _stream
    return _call


# --- one call --------------------------------------------------------------------------------------------------------


class _Call:
    """
    A call's context, and what escapes it is captured: `with call:` around each stretch of its code.

    The pieces of a stream may be made by one thread after the other, so that the context is entered anew for each.
    """

    __slots__ = ("_context", "_details", "_options", "_servicer_context")

    def __init__(self, details: Any, servicer_context: Any, options: HttpOptions) -> None:
        self._details = details
        self._options = options
        self._servicer_context = servicer_context
        self._context = _http.open_request(_facts(details, servicer_context), options, fresh=True)

    def __enter__(self) -> None:
        self._context.__enter__()

    def __exit__(self, kind: Any, error: BaseException | None, tb: Any) -> None:
        try:
            if isinstance(error, Exception):
                with _guard.shield("capturing what left a gRPC method"):
                    if not _is_answer(error):
                        self._capture(error)
        finally:
            self._context.__exit__(kind, error, tb)

    def _capture(self, error: Exception) -> None:
        route = self._details.method
        more = {"$grpc_status": _status(self._servicer_context)}
        _http.capture(error, self._options, source=SOURCE, route=route, more=more)


def _facts(details: Any, context: Any) -> RequestFacts:
    """What is known of the call; nothing where a context of another make has no answer."""
    try:
        metadata = details.invocation_metadata or ()

        def get_header(name: str) -> Any:
            return next((value for key, value in metadata if key.lower() == name and _http.clean_text(value)), None)

        return RequestFacts(
            method="POST",
            path=details.method,
            route=details.method,
            get_header=get_header,
            peer=_address(str(context.peer())) if context is not None else None,
        )
    except Exception as error:
        _guard.swallowed("reading a gRPC call", error)
        return RequestFacts()


def _address(peer: str) -> str | None:
    """`ipv6:%5B::1%5D:4711` -> `::1`; None for what is no internet address."""
    kind, _, rest = peer.partition(":")
    return unquote(rest).rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else None


def _status(context: Any) -> str:
    """The name of the status that the caller gets for an error: UNKNOWN, unless the method has set another one before."""
    import grpc

    code = context.code() if hasattr(context, "code") else None
    if isinstance(code, int):  # as asyncio's contexts have it
        code = next((one for one in grpc.StatusCode if one.value[0] == code), None)
    return code.name if isinstance(code, grpc.StatusCode) and code is not grpc.StatusCode.OK else "UNKNOWN"


def _is_answer(error: Exception) -> bool:
    """
    True for what `abort` raises, and for what gRPC raises in a method whose caller has gone.

    The sync `abort` raises a bare `Exception`, known by where it comes from, the asyncio one an `AbortError`. A bare `RpcError`
    is how gRPC leaves a call that is over; one that is a `Call` is the failed call of another service.
    """
    import grpc
    import grpc.aio

    if isinstance(error, (grpc.aio.AbortError, grpc.aio.InternalError)):
        return True
    if isinstance(error, grpc.RpcError):
        if not isinstance(error, (grpc.Call, grpc.aio.AioRpcError)):
            return True
        return error.code() is grpc.StatusCode.CANCELLED
    return type(error) is Exception and _raised_by_abort(error)


def _raised_by_abort(error: Exception) -> bool:
    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    if tb is None:
        return False
    frame = tb.tb_frame
    return frame.f_code.co_name == "abort" and str(frame.f_globals.get("__name__")).startswith("grpc.")


# --- the four kinds of methods ---------------------------------------------------------------------------------------


def _call(method: Any, details: Any, options: HttpOptions) -> Any:
    @wraps(method)
    def wrapper(request: Any, context: Any, *more: Any) -> Any:
        __tracebackhide__ = True
        with _Call(details, context, options):
            return method(request, context, *more)

    return wrapper


def _stream(method: Any, details: Any, options: HttpOptions) -> Any:
    @wraps(method)
    def wrapper(request: Any, context: Any) -> Any:
        __tracebackhide__ = True
        call = _Call(details, context, options)
        with call:
            return _Responses(method(request, context), call)

    return wrapper


class _Responses:
    """A stream whose messages are each made inside of the call's context."""

    __slots__ = ("_call", "_responses")

    def __init__(self, responses: Any, call: _Call) -> None:
        self._responses = responses
        self._call = call

    def __iter__(self) -> _Responses:
        __tracebackhide__ = True
        with self._call:
            self._responses = iter(
                self._responses
            )  # what is iterable without being an iterator suits some servers only
        return self

    def __next__(self) -> Any:
        __tracebackhide__ = True
        with self._call:
            one = next(self._responses, self)
        if one is self:
            raise StopIteration
        return one


def _call_async(method: Any, details: Any, options: HttpOptions) -> Any:
    @wraps(method)
    async def wrapper(request: Any, context: Any) -> Any:
        __tracebackhide__ = True
        with _Call(details, context, options):
            return await method(request, context)

    return wrapper


def _stream_async(method: Any, details: Any, options: HttpOptions) -> Any:
    @wraps(method)
    async def wrapper(request: Any, context: Any) -> AsyncIterator[Any]:
        __tracebackhide__ = True
        call = _Call(details, context, options)
        with call:
            responses = method(request, context)
        try:
            while True:
                with call:
                    try:
                        one = await responses.__anext__()
                    except StopAsyncIteration:
                        return
                yield one
        finally:
            with call:
                await responses.aclose()

    return wrapper
