"""`phtrack run`: a program can't tell the difference, and its errors arrive. Judged by Python itself, run side by side."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from phtrack.inbox import serve_in_thread
from tests.sink import Sink

HEADER = "import sys, os\n"

PROGRAMS = {
    "ends well": "print(__name__, sys.argv, os.path.basename(sys.path[0]), __spec__, __package__, os.path.isabs(__file__))",
    "exit code": "sys.exit(7)",
    "exit text": "sys.exit('no such order')",
    "exit without code": "sys.exit()",
    "uncaught": "def pay(amount):\n    return 1 / amount\npay(0)",
    "chained": "try:\n    {}['a']\nexcept KeyError as error:\n    raise ValueError('bad') from error",
    "interrupted": "raise KeyboardInterrupt",
    "thread outlives main": (
        "import threading, time\n"
        "def work():\n    go.wait()\n    print('done', flush=True)\n"
        "go = threading.Event()\nthreading.Thread(target=work).start()\ngo.set()"
    ),
    "exit handlers": "import atexit\natexit.register(print, 'bye', __name__)\nprint('working')",
    "own hook": "sys.excepthook = lambda *a: print('mine', a[1], a[2].tb_frame.f_code.co_name)\n1 / 0",
    "pickles what main defines": (
        "import pickle\nclass Order: pass\nprint(type(pickle.loads(pickle.dumps(Order()))) is Order, Order.__module__)"
    ),
    "main is importable": "import __main__\nmark = 5\nprint(__main__.mark, sys.modules['__main__'].__dict__ is globals())",
    "spawns": (
        "import multiprocessing\n"
        "def double(n): return 2 * n\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool: print(pool.map(double, [1, 2]))"
    ),
    "annotations are not inherited": "def f(x: 1 + 1): pass\nprint(f.__annotations__)",
    "reads stdin": "print(sys.stdin.read())",
    "module from its own folder": "import neighbour\nprint(neighbour.__name__, os.path.basename(neighbour.__file__))",
}  # fmt: skip


class Ended(NamedTuple):
    """How a process ended."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    """Takes the events of all programs here."""
    with Sink() as sink:
        yield sink


def python(*arguments: str | os.PathLike[str], cwd: Path, **environment: str) -> Ended:
    """Run the interpreter, with nothing set for phtrack but *environment*."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("POSTHOG_", "PYTHONPATH"))}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env={**env, **environment}, input="typed", capture_output=True, text=True
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def tracked(sink: Sink, *arguments: str | os.PathLike[str], cwd: Path) -> Ended:
    """The same under `phtrack run`."""
    return python("-m", "phtrack", "run", "--key", "k", "--host", sink.url, *arguments, cwd=cwd)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the programs lie, and a folder next to it where one is called from."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "neighbour.py").write_text("")
    return tmp_path


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_file_runs_as_python_runs_it(sink: Sink, place: Path, name: str) -> None:
    """Output, traceback and exit code are what `python app.py` gives."""
    (place / "app" / "main.py").write_text(HEADER + PROGRAMS[name])
    arguments = ("app/main.py", "--inbox", "-m", "x y")
    expected = python(*arguments, cwd=place)
    got = tracked(sink, *arguments, cwd=place)
    if name == "interrupted":  # Python ends itself by the signal; a shell shows both alike
        assert (expected.code, got.code) == (-2, 130)
        expected = expected._replace(code=130)
    assert got == expected


@pytest.mark.parametrize("name", ["ends well", "uncaught", "spawns", "module from its own folder"])
def test_a_module_runs_as_python_runs_it(sink: Sink, place: Path, name: str) -> None:
    """The same for `python -m`, for a module and for a package with `__main__`."""
    (place / "neighbour.py").write_text("")
    (place / "app" / "__init__.py").write_text("")
    for file, module in (("tool.py", "app.tool"), ("__main__.py", "app")):
        if name == "spawns" and file == "__main__.py":
            continue  # multiprocessing doesn't find what the __main__ of a package defines, with or without us
        (place / "app" / file).write_text(HEADER + PROGRAMS[name].replace("__spec__", "__spec__.name"))
        expected = python("-m", module, "-v", cwd=place)
        # Above the program's own frames Python shows those of runpy, which are not ours to show.
        lines = expected.err.splitlines(keepends=True)
        expected = expected._replace(err="".join(line for line in lines if "<frozen runpy>" not in line))
        got = tracked(sink, "-m", module, "-v", cwd=place)
        assert got._replace(err="") == expected._replace(err="")
        assert _without_runpy(got.err) == _without_runpy(expected.err)


def _without_runpy(text: str) -> str:
    lines, skip = [], False
    for line in text.splitlines():
        if line.startswith('  File "'):
            skip = "runpy" in line
        if not skip:
            lines.append(line)
    return "\n".join(lines)


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_folder_or_zip_file_runs(sink: Sink, place: Path, kind: str) -> None:
    """Python runs a `__main__.py` in either, and so does `phtrack run`."""
    source = (
        HEADER + "import neighbour\nprint(__name__, sys.argv, sys.path[0].endswith(sys.argv[0]), neighbour.__name__)"
    )
    (place / "app" / "__main__.py").write_text(source)
    if kind == "zip":
        with zipfile.ZipFile(place / "app.zip", "w") as archive:
            archive.write(place / "app" / "__main__.py", "__main__.py")
            archive.write(place / "app" / "neighbour.py", "neighbour.py")
    target = "app.zip" if kind == "zip" else "app"
    assert tracked(sink, target, "1", cwd=place) == python(target, "1", cwd=place)


def test_a_syntax_error_looks_as_ever(sink: Sink, place: Path) -> None:
    """And is reported like any other error."""
    (place / "app" / "main.py").write_text("def broken(:\n")
    assert tracked(sink, "app/main.py", cwd=place) == python("app/main.py", cwd=place)
    assert any(one["$exception_type"] == "SyntaxError" for one in sink.exceptions())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.py"], "can't open file"),
        (["-m", "no.such.module"], "no module named no.such.module"),
        (["-m", "app"], "package without a __main__ module"),
        (["app"], "can't find '__main__' module in 'app'"),
    ],
)
def test_no_such_program(sink: Sink, place: Path, arguments: list[str], said: str) -> None:
    """One line and exit code 2, no traceback."""
    (place / "app" / "__init__.py").write_text("")
    ended = tracked(sink, *arguments, cwd=place)
    assert (ended.code, ended.err.count("\n")) == (2, 1) and said in ended.err


def test_the_error_arrives(place: Path) -> None:
    """With the program's frames alone, as a fatal, unhandled one."""
    (place / "app" / "main.py").write_text(HEADER + PROGRAMS["uncaught"])
    with Sink() as sink:
        tracked(sink, "app/main.py", cwd=place)
        sink.wait(1)
        (found,) = sink.exceptions()
    assert (found["$exception_type"], found["$exception_level"]) == ("ZeroDivisionError", "fatal")
    assert found["$exception_source"] == "python.sys_excepthook"
    (entry,) = found["$exception_list"]
    assert entry["mechanism"]["handled"] is False
    frames = entry["stacktrace"]["frames"]
    assert [(frame["filename"], frame["function"], frame["in_app"]) for frame in frames] == [
        ("main.py", "<module>", True),
        ("main.py", "pay", True),
    ]


def test_settings_from_the_environment(place: Path) -> None:
    """A key and a host that are set for the whole machine need no argument."""
    (place / "app" / "main.py").write_text("1 / 0")
    with Sink() as sink:
        python(
            "-m", "phtrack", "run", "app/main.py",
            cwd=place, POSTHOG_PROJECT_API_KEY="phc_env", POSTHOG_HOST=sink.url,
        )  # fmt: skip
        sink.wait(1)
        assert sink.requests[0][2]["api_key"] == "phc_env"


class TestWithoutAKey:
    """Errors go to the inbox on this machine, and stay there."""

    @pytest.fixture
    def port(self) -> int:
        """One that is free."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            return int(listening.getsockname()[1])

    def run(self, place: Path, port: int) -> Ended:
        """The failing program, with the user's state directory in *place*."""
        (place / "app" / "main.py").write_text(HEADER + PROGRAMS["uncaught"])
        return python(
            "-m", "phtrack", "run", "--port", str(port), "app/main.py", cwd=place, XDG_STATE_HOME=str(place / "state")
        )

    def test_an_inbox_of_its_own(self, place: Path, port: int) -> None:
        """It is started for the program, and `phtrack inbox` shows what it got."""
        ended = self.run(place, port)
        expected = python("app/main.py", cwd=place)
        assert (ended.code, ended.out) == (1, expected.out)
        assert ended.err == f"phtrack: errors go to the inbox at http://127.0.0.1:{port}\n" + expected.err
        listed = python("-m", "phtrack", "inbox", "--json", cwd=place, XDG_STATE_HOME=str(place / "state"))
        assert [one["type"] for one in json.loads(listed.out)] == ["ZeroDivisionError"]

    def test_an_inbox_that_is_running(self, place: Path, port: int) -> None:
        """It gets them, and keeps running."""
        with serve_in_thread(place / "inbox.db", port) as inbox:
            assert self.run(place, port).code == 1
            assert [one["type"] for one in inbox.issues()] == ["ZeroDivisionError"]
        assert not (place / "state").exists()

    def test_a_port_that_is_taken(self, place: Path) -> None:
        """By something that is no inbox: one line, and the program does not run."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            ended = self.run(place, other.getsockname()[1])
        assert (ended.code, ended.out) == (2, "")
        assert "no inbox on 127.0.0.1" in ended.err and ended.err.count("\n") == 1
