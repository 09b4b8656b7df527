"""
gRPC servers: one context per call, and errors that leave a method. Interceptors, which are gRPC's own extension point.

    grpc.server(pool, interceptors=[phtrack.integrations.grpc.interceptor()])
    grpc.aio.server(interceptors=[phtrack.integrations.grpc.async_interceptor()])

`install` adds them to every server made from then on. What `context.abort` raises is an answer, not a failure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._http import HttpOptions, RequestFacts, capture, request_context
from ._outbound import replace

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = "grpc.interceptor"
_KINDS = {
    (False, False): ("unary_unary", "unary_unary_rpc_method_handler"),
    (False, True): ("unary_stream", "unary_stream_rpc_method_handler"),
    (True, False): ("stream_unary", "stream_unary_rpc_method_handler"),
    (True, True): ("stream_stream", "stream_stream_rpc_method_handler"),
}


def install(options: HttpOptions | None = None) -> Callable[[], None]:
    """Add an interceptor to every server, sync and asyncio, that is made from now on. Returns the undo."""
    import grpc
    import grpc.aio

    chosen = options or HttpOptions()

    def adding(make: Callable[[HttpOptions], Any]) -> Any:
        def wrap(server: Any) -> Any:
            def wrapper(*args: Any, interceptors: Any = None, **kwargs: Any) -> Any:
                return server(*args, interceptors=[make(chosen), *(interceptors or ())], **kwargs)

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
            handler = continuation(details)
            return None if handler is None else _handler(handler, details, chosen, _call, _stream)

    return Interceptor()


def async_interceptor(options: HttpOptions | None = None) -> Any:
    """An interceptor for `grpc.aio.server`."""
    import grpc.aio

    chosen = options or HttpOptions()

    class Interceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
        async def intercept_service(self, continuation: Any, details: Any) -> Any:
            handler = await continuation(details)
            return None if handler is None else _handler(handler, details, chosen, _call_async, _stream_async)

    return Interceptor()


def _handler(handler: Any, details: Any, options: HttpOptions, call: Any, stream: Any) -> Any:
    """The handler with its method inside a context."""
    import grpc

    name, make = _KINDS[bool(handler.request_streaming), bool(handler.response_streaming)]
    method = getattr(handler, name)
    wrapped = (stream if handler.response_streaming else call)(method, details, options)
    return getattr(grpc, make)(wrapped, handler.request_deserializer, handler.response_serializer)


def _facts(details: Any, context: Any) -> RequestFacts:
    metadata = {key.lower(): value for key, value in details.invocation_metadata or ()}
    peer = str(context.peer())
    return RequestFacts(
        method="POST",
        path=details.method,
        route=details.method,
        get_header=metadata.get,
        peer=peer.split(":", 1)[1].rpartition(":")[0].strip("[]") if peer.startswith(("ipv4:", "ipv6:")) else None,
    )


def _failed(error: Exception, details: Any, options: HttpOptions) -> None:
    import grpc
    import grpc.aio

    # `abort` of a sync context raises a bare `Exception`, the asyncio one an `AbortError`.
    if isinstance(error, (grpc.aio.AbortError, grpc.RpcError)) or (type(error) is Exception and not error.args):
        return
    capture(error, options, source=SOURCE, route=details.method)


def _call(method: Any, details: Any, options: HttpOptions) -> Any:
    def wrapper(request: Any, context: Any) -> Any:
        with request_context(_facts(details, context), options, fresh=True):
            try:
                return method(request, context)
            except Exception as error:
                _failed(error, details, options)
                raise

    return wrapper


def _stream(method: Any, details: Any, options: HttpOptions) -> Any:
    def wrapper(request: Any, context: Any) -> Any:
        with request_context(_facts(details, context), options, fresh=True):
            try:
                yield from method(request, context)
            except Exception as error:
                _failed(error, details, options)
                raise

    return wrapper


def _call_async(method: Any, details: Any, options: HttpOptions) -> Any:
    async def wrapper(request: Any, context: Any) -> Any:
        with request_context(_facts(details, context), options, fresh=True):
            try:
                return await method(request, context)
            except Exception as error:
                _failed(error, details, options)
                raise

    return wrapper


def _stream_async(method: Any, details: Any, options: HttpOptions) -> Any:
    async def wrapper(request: Any, context: Any) -> Any:
        with request_context(_facts(details, context), options, fresh=True):
            try:
                produced = method(request, context)
                if hasattr(produced, "__aiter__"):
                    async for one in produced:
                        yield one
                else:  # a coroutine that writes with `context.write`
                    await produced
            except Exception as error:
                _failed(error, details, options)
                raise

    return wrapper
