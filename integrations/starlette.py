"""
Starlette and FastAPI: one event for what escapes an application, with its route and the status that went out; one that says
`handled` for an error that a handler answers with a server error.

    install(app) -> undo            install_auto() -> undo, for every application

Goes around the whole stack of an application's middleware, so that the 500 that the framework makes of an error has been
sent when it is seen, and errors of the application's own middleware and of background tasks are seen too. Errors while the
application starts and stops (lifespan) are fatal ones.
"""

from __future__ import annotations

import inspect
from functools import partial, wraps
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from starlette.applications import Starlette
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import Mount

from phtrack import _guard

from . import _http
from .asgi import KEY, Exchange, PosthogASGIMiddleware, is_disconnect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .asgi import App, Receive, Scope, Send

HANDLED_SOURCES = {"fastapi": "fastapi.exception_handler", "starlette": "starlette.exception_handler"}


def install(
    app: Starlette,
    *,
    request_filter: Callable[[Scope], Any] | None = None,
    extra_properties: Callable[[Scope], Any] | None = None,
    capture_exceptions: bool = True,
    **http: Any,
) -> Callable[[], None]:
    """
    Report errors of *app*, a Starlette or FastAPI application, and return a function that stops it.

    Args:
        request_filter: `f(scope) -> bool`, may be async; False leaves a request alone.
        extra_properties: `f(scope) -> dict`, may be async; merged over the request's tags.
        capture_exceptions: False: only the context, no events.
        http: Fields of `HttpOptions`: `client`, `capture_tracing_headers`, `headers`, `trusted_proxies`.

    Raises:
        TypeError: an option that there is not.

    Installing again changes nothing and returns the same function. While the application starts, too (`phtrack.init` in its
    lifespan).
    """
    installed = _undo_of(app)
    if installed is not None:
        return installed

    def around(stack: App) -> Around:
        return Around(
            stack,
            request_filter=request_filter,
            extra_properties=extra_properties,
            capture_exceptions=capture_exceptions,
            **http,
        )

    around(app)  # what is wrong with the options shows now, not at the first request
    before = app.__dict__.get("build_middleware_stack")
    build = app.build_middleware_stack

    def build_middleware_stack() -> Any:
        handlers = app.exception_handlers
        app.exception_handlers = _watched(app, handlers)
        try:
            return around(build())
        finally:
            app.exception_handlers = handlers

    def undo() -> None:
        if app.__dict__.get("build_middleware_stack") is build_middleware_stack:
            del app.build_middleware_stack
            if before is not None:
                app.build_middleware_stack = before  # type: ignore[method-assign]
        if isinstance(app.middleware_stack, Around):
            app.middleware_stack = app.middleware_stack.app
            _put_handlers(app.middleware_stack, app.exception_handlers)
        if _undo_of(app) is undo:
            del app.state.phtrack

    app.build_middleware_stack = build_middleware_stack  # type: ignore[method-assign]
    if app.middleware_stack is not None:
        _put_handlers(app.middleware_stack, _watched(app, app.exception_handlers))
        app.middleware_stack = around(app.middleware_stack)
    app.state.phtrack = undo
    return undo


def _undo_of(app: Starlette) -> Callable[[], None] | None:
    return getattr(app.state, "phtrack", None)


_auto: list[Callable[[], None]] = []
"""The undo of `install_auto` while it is in force."""


def install_auto() -> Callable[[], None]:
    """Install on every application when it is first called, and return a function that takes all of it back."""
    if _auto:
        return _auto[0]
    call = Starlette.__call__
    seen: WeakSet[Starlette] = WeakSet()

    @wraps(call)
    async def call_watched(self: Starlette, scope: Scope, receive: Receive, send: Send) -> None:
        __tracebackhide__ = True
        if self not in seen:
            seen.add(self)
            with _guard.shield("installing on a Starlette application"):
                install(self)
        await call(self, scope, receive, send)

    def undo() -> None:
        if Starlette.__call__ is call_watched:
            Starlette.__call__ = call  # type: ignore[method-assign]
        for app in list(seen):
            uninstall = _undo_of(app)
            if uninstall is not None:
                uninstall()
        _auto.clear()

    Starlette.__call__ = call_watched  # type: ignore[method-assign]
    _auto.append(undo)
    return undo


class Around(PosthogASGIMiddleware):
    """The whole of an application's middleware, watched."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the stack."""
        __tracebackhide__ = True
        if scope["type"] != "lifespan":
            await super().__call__(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            if self.captures():
                with _guard.shield("capturing a failed start or stop"):
                    _http.capture(
                        error, self.options, source="starlette.lifespan", mechanism="onuncaughtexception", level="fatal"
                    )
            raise

    def route(self, scope: Scope) -> str | None:
        """The pattern of the route that was taken."""
        return route_of(scope)


# --- errors that handlers answer -------------------------------------------------------------------------------------


def _watched(app: Starlette, handlers: Any) -> Any:
    """*handlers* that look at what they answer; the ones of last resort answer errors that reach `Around` anyway."""
    source = HANDLED_SOURCES["fastapi" if _is_fastapi(app) else "starlette"]
    return {
        key: handler if key in (500, Exception) else _watch(handler, source) for key, handler in dict(handlers).items()
    }


def _put_handlers(stack: Any, handlers: Any) -> None:
    """Put *handlers* into a *stack* that is built already, which has its own dict of them."""
    while stack is not None and not isinstance(stack, ExceptionMiddleware):
        stack = getattr(stack, "app", None)
    if stack is not None:
        for key, handler in dict(handlers).items():
            if key not in (500, Exception):
                stack.add_exception_handler(key, handler)


def _is_fastapi(app: Starlette) -> bool:
    return any(kind.__module__.partition(".")[0] == "fastapi" for kind in type(app).__mro__)


def _watch(handler: Any, source: str) -> Any:
    if _is_async(handler):

        @wraps(handler)
        async def watched(request: Any, error: Exception) -> Any:
            response = await handler(request, error)
            _answered(request.scope, error, response, source)
            return response

    else:

        @wraps(handler)
        def watched(request: Any, error: Exception) -> Any:
            response = handler(request, error)
            _answered(request.scope, error, response, source)
            return response

    return watched


def _is_async(handler: Any) -> bool:
    while isinstance(handler, partial):
        handler = handler.func
    # A callable object with an async `__call__` counts, as it does for Starlette.
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__dict__.get("__call__"))


def _answered(scope: Scope, error: Exception, response: Any, source: str) -> None:
    """Capture an error that was answered with a server error; other answers are the application's decision."""
    exchange = scope.get(KEY)
    status = getattr(response, "status_code", None)
    if not isinstance(exchange, Exchange) or not isinstance(status, int) or status < 500 or is_disconnect(error):
        return
    with _guard.shield("capturing an error that a handler answered"):
        exchange.capture(error, source=source, handled=True, status=status, route=route_of(scope))


# --- the route -------------------------------------------------------------------------------------------------------


def route_of(scope: Scope) -> str | None:
    """
    The pattern of the route that *scope* was given to, with what it is mounted or included under; None if there is none.

    What stands in front of the route's own pattern is taken from the path, with the values of parameters put back to names:
    that holds for mounts and for included routers alike, in all versions.
    """
    route = scope.get("route") or _route_by_endpoint(scope)
    pattern = getattr(route, "path_format", None)
    path = scope.get("path")
    if not isinstance(pattern, str) or not isinstance(path, str):
        return None
    mount = scope.get("root_path") or ""
    at = _start_of(route, path, len(mount) if path.startswith(mount) else 0)
    if at is None:
        return pattern
    own = getattr(route, "param_convertors", ())
    given = (scope.get("path_params") or {}).items()
    names = {str(value): name for name, value in given if name not in own and type(value) in (str, int)}
    prefix = (f"{{{names[part]}}}" if part in names else part for part in path[:at].split("/"))
    return "/".join(prefix) + pattern


def _start_of(route: Any, path: str, first: int = 0) -> int | None:
    """Where in *path*, from *first* on, the part begins that *route* matches; None if there is no such part."""
    regex = getattr(route, "path_regex", None)
    if regex is None:
        return None
    return next((at for at in range(first, len(path)) if path[at] == "/" and regex.match(path[at:])), None)


def _route_by_endpoint(scope: Scope) -> Any:
    """Older versions don't say which route was taken, only the endpoint."""
    endpoint, path = scope.get("endpoint"), scope.get("path")
    if endpoint is None or not isinstance(path, str):
        return None
    return _find(getattr(scope.get("app"), "routes", ()), endpoint, path, 0)


def _find(routes: Iterable[Any], endpoint: Any, path: str, depth: int) -> Any:
    for route in routes or ():
        ends = getattr(route, "endpoint", None) is endpoint or (isinstance(route, Mount) and route.app is endpoint)
        if ends and _start_of(route, path) is not None:
            return route
        found = _find(getattr(route, "routes", ()), endpoint, path, depth + 1) if depth < 10 else None
        if found is not None:
            return found
    return None
