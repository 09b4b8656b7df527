"""Lines and windows, from every place source can live in; and honest absence where it can't be known."""

from __future__ import annotations

import importlib
import importlib.util
import linecache
import os
import pathlib
import py_compile
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from phtrack.frames import source
from tests.frames.sites_here import failing, failing_code

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _fresh() -> None:
    source.forget_all()


def module_from(path: Path, text: str | bytes, name: str = "phtrack_sample") -> Any:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def line_of(site: Any) -> str | None:
    found = source.window(site)
    return None if found is None else found[1]


def test_a_window_has_five_lines_on_each_side_in_file_order(tmp_path: Path) -> None:
    """The line itself with its indentation, five before, five after, none lost at the edges of the file."""
    body = "".join(f"    x{n} = {n}\n" for n in range(7))
    module = module_from(tmp_path / "a.py", f"def f():\n{body}    1 / 0\n    y = 1\n    z = 2\n")
    (site,) = failing(module.f)
    before, line, after = source.window(site) or pytest.fail("no window")
    assert before == [f"    x{n} = {n}" for n in range(2, 7)]
    assert line == "    1 / 0"
    assert after == ["    y = 1", "    z = 2"]
    assert (source.window(site, around=1) or ([], "", []))[0] == ["    x6 = 6"]


def test_long_lines_are_cut_and_stay_strings(tmp_path: Path) -> None:
    """A 40 KB line travels as its first 300 characters; a null there would cost the whole event on the server."""
    module = module_from(
        tmp_path / "a.py", "def f():\n    x = '" + "a" * 40_000 + "'\n    1 / 0\n    y = '" + "b" * 999 + "'\n"
    )
    (site,) = failing(module.f)
    before, line, after = source.window(site) or pytest.fail("no window")
    assert [len(text) for text in (*before, line, *after)] == [8, 300, 9, 300]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_as_the_compiler_counts_them(tmp_path: Path, end: str) -> None:
    """Form feeds, vertical tabs and Unicode separators end no line; all three line ends do."""
    text = end.join(
        ["# one \x0c two \x0b three", "s = 'a\u2028b\x1cc\x85d'", "\x0cdef f():", "\tif s:", "\t\t1 / 0", ""]
    )
    module = module_from(tmp_path / "a.py", text)
    (site,) = failing(module.f)
    assert line_of(site) == "\t\t1 / 0"
    assert len(source.lines_of(site) or ()) == 5


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ("# -*- coding: latin-1 -*-\n", "latin-1"),
        ("\n# vim: set fileencoding=cp1252 :\n", "cp1252"),
        ("\ufeff", "utf-8"),
    ],
)
def test_the_declared_encoding_is_used(tmp_path: Path, head: str, encoding: str) -> None:
    """A source file may declare its encoding in one of its first two lines or start with a byte order mark."""
    module = module_from(tmp_path / "a.py", (head + "def f():\n    return 'größe' + 1\n").encode(encoding))
    (site,) = failing(module.f)
    assert line_of(site) == "    return 'größe' + 1"


def test_a_file_that_turned_undecodable_has_no_lines(tmp_path: Path) -> None:
    """Bytes that are no text are absent, not mangled."""
    path = tmp_path / "a.py"
    module = module_from(path, "def f():\n    1 / 0\n")
    path.write_bytes(b"def f():\n    1 / 0 # \xff\xfe\n")
    (site,) = failing(module.f)
    assert source.lines_of(site) is None
    path.write_bytes(b"# coding: no-such-thing\n\n\n")
    assert source.lines_of(site) is None


def test_a_vanished_file_has_no_lines_but_what_was_read_before_stays(tmp_path: Path) -> None:
    """A deploy that removes the old release must not take the source of a running process that had read it."""
    path = tmp_path / "a.py"
    module = module_from(path, "def f():\n    1 / 0\n")
    (site,) = failing(module.f)
    assert line_of(site) == "    1 / 0"
    path.unlink()
    assert line_of(site) == "    1 / 0"
    source.forget_all()
    assert source.lines_of(site) is None


def test_a_changed_file_is_read_again_and_too_short_a_one_is_refused(tmp_path: Path) -> None:
    """The cache knows time and size of the file; a line beyond its end proves that the text isn't the code's."""
    path = tmp_path / "a.py"
    module = module_from(path, "\n\n\ndef f():\n    1 / 0\n")
    (site,) = failing(module.f)
    assert line_of(site) == "    1 / 0"
    path.write_text("\n\n\ndef f():\n    1 / 0  # now with a remark\n")
    assert line_of(site) == "    1 / 0  # now with a remark"
    path.write_text("\n")
    assert source.lines_of(site) is None


def test_a_change_since_import_is_told(tmp_path: Path) -> None:
    """
    The window of an edited file is shown, and said to be newer than what runs; a fresh import clears that. Where no compiled
    file tells, nothing is claimed.
    """
    path = tmp_path / "changing_sample.py"
    path.write_text("def f():\n    1 / 0\n")
    os.utime(path, (1_000_000_000, 1_000_000_000))
    sys.path.insert(0, str(tmp_path))
    try:
        importlib.invalidate_caches()
        compiled = pathlib.Path(py_compile.compile(str(path)) or "")
        module = importlib.import_module("changing_sample")
        (site,) = failing(module.f)
        assert not source.changed_since_import(site)
        path.write_text("def f():\n    1 / 1\n    return 4\n")
        os.utime(path, (4_000_000_000, 4_000_000_000))
        assert source.changed_since_import(site)
        py_compile.compile(str(path))
        assert not source.changed_since_import(site)
        compiled.unlink()
        assert not source.changed_since_import(site)
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("changing_sample", None)


def test_files_over_the_limit_are_never_read(tmp_path: Path) -> None:
    """More than 2 MiB of source costs more time than the reader gains."""
    module = module_from(tmp_path / "a.py", "def f():\n    1 / 0\n" + "#" * source.MAX_FILE)
    (site,) = failing(module.f)
    assert source.lines_of(site) is None


def test_something_that_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    """Opening a named pipe would wait for its writer for ever."""
    os.mkfifo(tmp_path / "pipe.py")
    (_, site) = failing_code("def f():\n    1 / 0\nf()", str(tmp_path / "pipe.py"))
    assert source.lines_of(site) is None


@pytest.mark.parametrize("filename", ["<string>", "<stdin>", "<frozen os>", "", "no/such/\ud800.py", "x" * 5000])
def test_code_without_source_never_shows_lines_of_its_module(filename: str) -> None:
    """`exec` in a module shares the module's `__file__` and loader; their lines are not the code's."""
    here = {"__name__": __name__, "__file__": __file__, "__loader__": __loader__}  # type: ignore[name-defined]
    for site in failing_code("def f():\n    1 / 0\nf()", filename, **here):
        assert source.lines_of(site) is None


def test_file_names_that_are_no_paths_are_absence() -> None:
    """`code.replace` sets any name, and a subclass of str must not get its methods called."""

    class Name(str):
        def __eq__(self, other: object) -> bool:
            raise SystemExit

        __hash__ = str.__hash__
        startswith = endswith = __getitem__ = __len__ = __str__ = __eq__  # type: ignore[assignment]

    for name in ("a\x00b", Name("/no/such.py")):
        (site,) = failing_code(compile("1 / 0", "x", "exec").replace(co_filename=name))
        assert source.lines_of(site) is None


def test_registered_source_is_found() -> None:
    """Whoever runs generated code and registers its text with `linecache` gets it shown."""
    text = "def f(a):\n    return a / 0\nf(1)\n"
    linecache.cache["<made 1>"] = (len(text), None, text.splitlines(True), "<made 1>")
    try:
        sites = failing_code(text, "<made 1>", __name__=__name__, __file__=__file__)
        assert [line_of(site) for site in sites] == ["f(1)", "    return a / 0"]
    finally:
        del linecache.cache["<made 1>"]


def test_a_cell_with_a_path_that_was_never_written_is_found() -> None:
    """Jupyter names cells like files in a temporary folder, and registers their text."""
    name, text = "/tmp/ipykernel_4711/1234567.py", "x = 1\nx / 0\n"
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    try:
        (site,) = failing_code(text, name, __name__="__main__")
        assert line_of(site) == "x / 0"
    finally:
        del linecache.cache[name]


@pytest.mark.parametrize(
    "entry",
    [
        None,
        7,
        (),
        (1, None, 3, 4),
        (1, None, [b"bytes"], ""),
        (1, None, [1], ""),
        (1, 2),
        (lambda: 1 / 0,),
        (1, None, [], ""),
    ],
)
def test_nonsense_in_linecache_is_absence(entry: Any) -> None:
    """Anything may stand in a public dictionary."""
    linecache.cache["<odd>"] = entry
    try:
        (site,) = failing_code("1 / 0", "<odd>")
        assert source.lines_of(site) is None
    finally:
        del linecache.cache["<odd>"]


class _Loader:
    """Answers what the test says, and counts how often it was asked."""

    def __init__(self, answer: Any, filename: Any = "memory://shop.py") -> None:
        self.answer, self.filename, self.asked = answer, filename, 0

    def get_filename(self, name: str) -> Any:
        return self.filename

    def get_source(self, name: str) -> Any:
        self.asked += 1
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def in_memory(loader: Any, **more: Any) -> Any:
    names = {"__name__": "shop", "__file__": "memory://shop.py", "__loader__": loader, **more}
    (site,) = failing_code("\n1 / 0", "memory://shop.py", **names)
    return site


def test_a_loader_of_the_codes_own_file_is_asked_once() -> None:
    """Modules from a database or an archive show their source; the answer is kept."""
    loader = _Loader("# hello\r\n1 / 0\r\n")
    site = in_memory(loader)
    assert [line_of(site), line_of(site)] == ["1 / 0", "1 / 0"]
    assert loader.asked == 1
    assert line_of(in_memory(_Loader("#\n1 / 0"), __file__=None)) == "1 / 0"


@pytest.mark.parametrize(
    "answer",
    [
        b"\n1 / 0",
        None,
        5,
        ["\n", "1 / 0"],
        SystemExit(3),
        ImportError("no"),
        "x" * (source.MAX_FILE + 1),
        GeneratorExit(),
    ],
)
def test_a_loader_that_answers_nonsense_is_absence(answer: Any) -> None:
    """Wrong types, exceptions and SystemExit of a loader never get out, and are never shown."""
    assert source.lines_of(in_memory(_Loader(answer))) is None


def test_a_loader_that_looks_broken_from_every_side_is_absence() -> None:
    """Attribute access on a loader is its author's code, too."""

    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise SystemExit(name)

    class Text(str):
        pass

    assert source.lines_of(in_memory(Broken())) is None
    assert source.lines_of(in_memory(object())) is None
    assert source.lines_of(in_memory(_Loader(Text("\n1 / 0")))) is None
    assert source.lines_of(in_memory(_Loader("\n1 / 0", filename=b"memory://shop.py"), __file__=None)) is None


def test_a_loader_of_another_file_is_not_asked() -> None:
    """The same line numbers of an unrelated file are worse than none."""
    loader = _Loader("\n'a line of another file'")
    (site,) = failing_code(
        "\n1 / 0", "elsewhere://x.py", __name__="shop", __file__="memory://shop.py", __loader__=loader
    )
    assert source.lines_of(site) is None
    assert loader.asked == 0


@pytest.mark.parametrize("package", [False, True])
def test_source_in_a_zip_archive(tmp_path: Path, package: bool) -> None:
    """Zip applications and eggs keep their source in the archive."""
    archive, name = tmp_path / "app.zip", "zipped_sample.inner" if package else "zipped_sample"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("zipped_sample/__init__.py" if package else "zipped_sample.py", "def f():\n    1 / 0\n")
        if package:
            file.writestr("zipped_sample/inner.py", "\ndef f():\n    1 / 0\n")
    sys.path.insert(0, str(archive))
    try:
        (site,) = failing(importlib.import_module(name).f)
        assert line_of(site) == "    1 / 0"
    finally:
        sys.path.remove(str(archive))
        for name in ("zipped_sample", "zipped_sample.inner"):
            sys.modules.pop(name, None)


def test_only_compiled_code_has_no_lines_until_its_source_lies_beside_it(tmp_path: Path) -> None:
    """A sourceless distribution is honest absence."""
    path = tmp_path / "compiled_sample.py"
    path.write_text("def f():\n    1 / 0\n")
    py_compile.compile(str(path), cfile=str(tmp_path / "compiled_sample.pyc"))
    path.unlink()
    sys.path.insert(0, str(tmp_path))
    try:
        importlib.invalidate_caches()
        (site,) = failing(importlib.import_module("compiled_sample").f)
        assert source.lines_of(site) is None
        path.write_text("def f():\n    1 / 0\n")
        assert line_of(site) == "    1 / 0"
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("compiled_sample", None)


def test_frozen_modules_have_no_lines() -> None:
    """The import system's own frames come without source."""
    sites = [site for site in failing(importlib.import_module, "phtrack.no_such") if "frozen" in site.code.co_filename]
    assert sites
    assert [source.lines_of(site) for site in sites] == [None] * len(sites)


def test_the_cache_is_bounded_in_entries_and_bytes(tmp_path: Path) -> None:
    """A process that imports for weeks keeps a bounded amount of text."""
    big = "#" * 1_500_000
    for number in range(source.MAX_ENTRIES + 30):
        path = tmp_path / f"m{number}.py"
        path.write_text("1 / 0\n" + (big if number < 20 else ""))
        (site,) = failing_code("1 / 0", str(path))
        assert line_of(site) == "1 / 0"
        assert sum(kept.size for kept in source._kept.values()) <= source.MAX_KEPT
    assert len(source._kept) <= source.MAX_ENTRIES


def test_a_doctest_example_has_its_lines() -> None:
    """While doctest runs, its patched `linecache` answers for the examples."""
    import doctest

    seen: list[Any] = []

    def show() -> None:
        import inspect

        from phtrack.frames.site import site_of

        frame = inspect.currentframe()
        assert frame is not None and frame.f_back is not None
        seen.append(line_of(site_of(frame.f_back, frame.f_back.f_lasti)))

    example = doctest.DocTestParser().get_doctest(
        ">>> x = 1\n>>> show(); x + 1\n2\n", {"show": show}, "sample", None, 0
    )
    result = doctest.DocTestRunner(verbose=False).run(example)
    assert result.failed == 0
    assert seen == ["show(); x + 1"]
