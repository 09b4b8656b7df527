"""
GraphQL: errors of resolvers, which the library turns into a part of the response. For everything that stands on graphql-core:
Strawberry, Ariadne, Graphene.

graphql-core sends every field's error through `ExecutionContext.handle_field_error`, and starts every subscription in
`execute_subscription`; these two places are wrapped. An error that a resolver raises as `GraphQLError` is an answer to the
client, not a failure. What a library runs around all resolvers (Strawberry's and Ariadne's extensions, but for their `resolve`)
it answers and logs by itself: see `phtrack.logging.PosthogLoggingHandler`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from phtrack import _guard

from . import _http
from ._http import HttpOptions, clean_text
from ._outbound import replace

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = "graphql.field_error"
SUBSCRIPTION_SOURCE = "graphql.subscription"
_options = HttpOptions()


def install(options: HttpOptions | None = None) -> Callable[[], None]:
    """Capture resolver errors of every schema, as handled ones. Returns the undo."""
    global _options
    from graphql.execution.execute import ExecutionContext

    if options is not None:
        _options = options
    undos = [replace(ExecutionContext, "handle_field_error", _wrap_handling)]
    # By its full name: the package has a function of the same name in the module's place.
    subscribe = sys.modules.get("graphql.execution.subscribe")
    if hasattr(subscribe, "execute_subscription"):
        undos.append(replace(subscribe, "execute_subscription", _wrap_subscribing))

    def undo() -> None:
        for one in undos:
            one()

    return undo


install_auto = install


def _wrap_handling(handle: Any) -> Any:
    def wrapper(self: Any, error: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        with _guard.shield("a GraphQL error"):
            _report(self, error, SOURCE)
        return handle(self, error, *args, **kwargs)

    return wrapper


def _wrap_subscribing(subscribe: Any) -> Any:
    async def wrapper(execution: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        try:
            stream = await subscribe(execution, *args, **kwargs)
        except Exception as error:
            with _guard.shield("a GraphQL subscription"):
                _report(execution, error, SUBSCRIPTION_SOURCE)
            raise
        return _Stream(stream, execution) if hasattr(type(stream), "__aiter__") else stream

    return wrapper


class _Stream:
    """A subscription's stream of events as it is, but that its error is captured."""

    def __init__(self, stream: Any, execution: Any) -> None:
        self._stream = stream
        self._execution = execution

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __aiter__(self) -> _Stream:
        self._stream = self._stream.__aiter__()
        return self

    async def __anext__(self) -> Any:
        __tracebackhide__ = True
        try:
            return await self._stream.__anext__()
        except StopAsyncIteration:
            raise
        except Exception as error:
            with _guard.shield("a GraphQL subscription"):
                _report(self._execution, error, SUBSCRIPTION_SOURCE)
            raise


def _report(execution: Any, error: Any, source: str) -> None:
    """Capture *error*, which has a path if graphql-core has met it already, or what is behind it."""
    from graphql import GraphQLError

    failure = getattr(error, "original_error", None) or error
    if not isinstance(failure, Exception) or isinstance(failure, GraphQLError):
        return
    operation = getattr(execution, "operation", None)
    path = getattr(error, "path", None) or _root_field(operation)
    about = {
        "$graphql_path": clean_text(".".join(map(str, path))),
        "$graphql_operation": clean_text(getattr(getattr(operation, "name", None), "value", None)),
        "$graphql_operation_type": clean_text(getattr(getattr(operation, "operation", None), "value", None)),
    }
    more = {name: value for name, value in about.items() if value is not None}
    _http.capture(failure, _options, source=source, handled=True, more=more)


def _root_field(operation: Any) -> list[str]:
    """The path of the field that a subscription is for; it has only one."""
    selections = getattr(getattr(operation, "selection_set", None), "selections", ())
    return [(one.alias or one.name).value for one in selections[:1] if hasattr(one, "alias")]
