"""The decorator: `@scoped()` opens a context around every call of a function, and around every resumption of a generator."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from phtrack.context.block import new_context
from phtrack.context.scope import Scope, scope_var

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


def scoped(fresh: bool = False, capture_exceptions: bool | None = None, client: Any = None) -> Callable[[F], F]:
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

        return wrapper  # type: ignore[no-any-return]

    return decorate


class _Resumptions:
    """The block of one generator: entered for each resumption with the scope that the last one left."""

    def __init__(self, block: new_context) -> None:
        self._block = block
        self._scope: Scope | None = None

    def __enter__(self) -> None:
        self._block.__enter__()
        if self._scope is not None:
            scope_var.set(self._scope)

    def __exit__(self, kind: Any, error: BaseException | None, tb: Any) -> None:
        self._scope = scope_var.get()
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
