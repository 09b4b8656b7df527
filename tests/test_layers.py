"""
Holds the drawing of ARCHITECTURE.md: imports point down only.

Reads every import with `ast`, those inside functions too: a late import hides a wrong direction, it doesn't mend it. Only
imports that the type checker alone sees (`if TYPE_CHECKING:`) are free. What is reached by name at run time (the CLI
reaching its commands) is no import, and that is the point of doing so.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FLOORS: dict[int, str] = {
    -1: "_guard _locks version",
    0: "options arguments capture_modes seams wire _process _imports",
    1: "scrub fingerprint encode event steps tally release request",
    2: "context frames http capture_v1",
    3: "errors flags delivery",
    4: "pipeline groups flag_calls hooks logging auto",
    5: "client testing",
    6: "__init__ async_client cli contexts types feature_flags flag_definition_cache exception_capture",
    7: "__main__ inbox integrations",
    8: "demo",
    9: "commands",
}
"""Floor -> rooms. A room is a module or a folder directly under `phtrack`; `integrations/` and `demo/` are installed there."""

FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms.split()}
OUTSIDE = {"integrations": ROOT / "integrations", "demo": ROOT / "demo"}
"""Rooms that lie beside `phtrack/` in the sources."""


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of the package, as its dotted name below `phtrack` (`frames.source`, `__init__`) and its file."""
    for base, prefix in [(ROOT / "phtrack", ())] + [(folder, (room,)) for room, folder in OUTSIDE.items()]:
        for path in sorted(base.rglob("*.py")):
            yield ".".join(prefix + path.relative_to(base).with_suffix("").parts), path


def room_of(name: str) -> str:
    """The room of a module name below `phtrack`."""
    return name.partition(".")[0]


def imports(name: str, path: Path) -> Iterator[tuple[int, str]]:
    """(line, room) of everything that module *name* imports from phtrack at run time."""
    package = ["phtrack", *name.split(".")[:-1]]
    for node in _running(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                if parts[0] == "phtrack":
                    yield node.lineno, parts[1] if len(parts) > 1 else "__init__"
        elif isinstance(node, ast.ImportFrom):
            parts = package[: len(package) - node.level + 1] if node.level else []
            parts = parts + (node.module.split(".") if node.module else [])
            if parts[:1] != ["phtrack"]:
                continue
            if len(parts) > 1:
                yield node.lineno, parts[1]
            else:  # `from phtrack import x`: a room of that name, or a name of the package itself
                for alias in node.names:
                    yield node.lineno, alias.name if alias.name in FLOOR_OF else "__init__"


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes except those that only a type checker sees."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for other in child.orelse:
                yield other
                yield from _running(other)
            continue
        yield child
        yield from _running(child)


MODULES = list(modules())


@pytest.mark.parametrize(("name", "path"), MODULES, ids=[name for name, _ in MODULES])
def test_imports_point_down(name: str, path: Path) -> None:
    """A module imports from floors below its own and from its own room, nothing else."""
    room = room_of(name)
    assert room in FLOOR_OF, f"{path} has no floor: add {room!r} to FLOORS here and to the drawing in ARCHITECTURE.md"
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {room} (floor {FLOOR_OF[room]}) imports {other} (floor {FLOOR_OF.get(other)})"
        for line, other in imports(name, path)
        if other != room and FLOOR_OF.get(other, 99) >= FLOOR_OF[room]
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("name", "path"), [one for one in MODULES if room_of(one[0]) in OUTSIDE], ids=lambda one: str(one)
)
def test_what_lies_outside_uses_public_names(name: str, path: Path) -> None:
    """Integrations and the demo can do nothing that a user of the public API can't."""
    room = room_of(name)
    # `_guard` is how a failure of ours stays away from the host; it gives no power over events.
    allowed = {"__init__", "contexts", "_guard", room} | ({"inbox"} if room == "demo" else set())
    wrong = [f"{path.relative_to(ROOT)}:{line}: {other}" for line, other in imports(name, path) if other not in allowed]
    assert not wrong, f"only `phtrack` itself and siblings may be imported here: {wrong}"


def test_the_test_sees_what_it_should(tmp_path: Path) -> None:
    """Imports in functions and relative ones count; those for the type checker don't."""
    source = tmp_path / "probe.py"
    source.write_text(
        "from typing import TYPE_CHECKING\n"
        "from phtrack import _guard, init\n"
        "if TYPE_CHECKING:\n    from phtrack.client import Client\n"
        "else:\n    import phtrack.options\n"
        "def late():\n    from phtrack.inbox import store\n    from .source import lines\n    from .. import encode\n"
    )
    assert list(imports("frames.probe", source)) == [
        (2, "_guard"), (2, "__init__"), (6, "options"), (8, "inbox"), (9, "frames"), (10, "encode"),
    ]  # fmt: skip


def test_no_room_is_drawn_twice() -> None:
    """Each room has one floor."""
    rooms = " ".join(FLOORS.values()).split()
    assert len(rooms) == len(set(rooms))


def test_the_drawing_has_every_room() -> None:
    """ARCHITECTURE.md draws each room that there is on its floor."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    drawing = text[text.index("## Floors") : text.index("## The sources")]
    drawn: set[tuple[int, str]] = set()
    floor = -1
    for line in drawing[drawing.index("```") :].splitlines()[1:]:
        if line.startswith("```"):
            break
        if found := re.match(r" (\d) ", line):
            floor = int(found[1])
        elif "----" in line:
            floor = -1
        drawn |= {(floor, word) for word in re.findall(r"\w+", line)}
    there = {room_of(name) for name, _ in MODULES}
    missing = [f"{room} on floor {FLOOR_OF[room]}" for room in sorted(there) if (FLOOR_OF[room], room) not in drawn]
    assert not missing, f"not drawn in ARCHITECTURE.md: {missing}"
