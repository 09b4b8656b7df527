"""
Exceptions to facts, as the recipe takes them, by the shortest way: frames held, statements from `phtrack.frames`.

In-app is what lies under *root*, but not under a folder named `site-packages`.
"""

from __future__ import annotations

import os
from types import TracebackType

from phtrack.fingerprint import ExceptionFacts, FrameFacts, FramePart, frame_part
from phtrack.frames.site import Site
from phtrack.frames.statement import qualname_of, statement_of


def facts_of(error: BaseException, root: str) -> list[ExceptionFacts]:
    """The tree of *error*, parents first."""
    found: list[ExceptionFacts] = []
    seen: set[int] = set()
    pending: list[tuple[BaseException, str | None, int | None]] = [(error, None, None)]
    while pending:
        exception, relation, parent = pending.pop(0)
        if id(exception) in seen:
            continue
        seen.add(id(exception))
        members = getattr(exception, "exceptions", ()) if hasattr(exception, "exceptions") else ()
        found.append(
            ExceptionFacts(
                type=type(exception).__qualname__,
                message=str(exception),
                frames=frames_of(exception.__traceback__, root),
                relation=relation,  # type: ignore[arg-type]
                parent=parent,
                is_group=bool(members),
            )
        )
        here = len(found) - 1
        if exception.__suppress_context__:
            if exception.__cause__ is not None:
                pending.append((exception.__cause__, "cause", here))
        elif exception.__context__ is not None:
            pending.append((exception.__context__, "context", here))
        pending.extend((member, "member", here) for member in members)
    return found


def frames_of(tb: TracebackType | None, root: str) -> list[FrameFacts | FramePart]:
    frames: list[FrameFacts | FramePart] = []
    known: dict[tuple[int, int], FramePart] = {}
    while tb is not None:
        site = (id(tb.tb_frame.f_code), tb.tb_lasti)
        if site not in known:
            known[site] = frame_part(frame_of(tb, root))
        frames.append(known[site])
        tb = tb.tb_next
    return frames


def frame_of(tb: TracebackType, root: str) -> FrameFacts:
    code = tb.tb_frame.f_code
    path = code.co_filename
    in_app = path.startswith(root + os.sep) and "site-packages" not in path
    file = os.path.relpath(path, root).replace(os.sep, "/") if path.startswith(root) else path
    if not in_app:
        return FrameFacts(in_app=False, file=file, function=code.co_name, qualname=code.co_name)
    site = Site(code, tb.tb_lasti, tb.tb_lineno, tb.tb_frame.f_globals)
    statement = statement_of(site)
    return FrameFacts(
        in_app=True,
        file=file,
        function=code.co_name,
        qualname=qualname_of(site),
        statement=statement.node if statement else None,
        scope=statement.function if statement else None,  # type: ignore[arg-type]
        expression=statement.expression_node if statement else None,
        freevars=code.co_freevars,
    )
