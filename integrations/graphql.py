"""
GraphQL: errors of resolvers, which the library turns into a part of the response. For everything that stands on graphql-core:
Strawberry, Ariadne, Graphene.

graphql-core sends every field's error through `ExecutionContext.handle_field_error`; that one place is wrapped. An error that
a resolver raises as `GraphQLError` is an answer to the client, not a failure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import phtrack
from phtrack import _guard

from ._http import HttpOptions, clean_text
from ._outbound import replace

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = "graphql.field_error"
_options = HttpOptions()


def install(options: HttpOptions | None = None) -> Callable[[], None]:
    """Capture resolver errors of every schema, as handled ones. Returns the undo."""
    global _options
    from graphql.execution.execute import ExecutionContext

    if options is not None:
        _options = options
    return replace(ExecutionContext, "handle_field_error", _wrap)


install_auto = install


def _wrap(handle: Any) -> Any:
    def wrapper(self: Any, error: Any, *args: Any, **kwargs: Any) -> Any:
        with _guard.shield("a GraphQL error"):
            _report(self, error)
        return handle(self, error, *args, **kwargs)

    return wrapper


def _report(execution: Any, error: Any) -> None:
    from graphql import GraphQLError

    failure = getattr(error, "original_error", None) or error
    if not isinstance(failure, Exception) or isinstance(failure, GraphQLError) or _options.capture_exceptions is False:
        return
    path = getattr(error, "path", None)
    name = getattr(getattr(getattr(execution, "operation", None), "name", None), "value", None)
    about = {
        "$graphql_path": clean_text(".".join(map(str, path))) if path else None,
        "$graphql_operation": clean_text(name),
    }
    target: Any = _options.client or phtrack
    target.capture_exception(
        failure,
        properties={key: value for key, value in about.items() if value is not None},
        source=SOURCE,
        handled=True,
        mechanism_type="middleware",
    )
