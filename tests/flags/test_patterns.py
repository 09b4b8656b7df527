"""Which regular expressions are evaluated here, and which are left to the server."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phtrack.flags.patterns import INVALID, UNSHARED, compile_pattern


def search(pattern: str, words: str) -> bool | None | str:
    """The result of the search, or why there is none."""
    find = compile_pattern(pattern)
    return find if isinstance(find, str) else find(words)


@pytest.mark.parametrize(
    ("pattern", "words", "expected"),
    [
        (r"^[\w.+-]+@acme\.(com|org)$", "jo.doe+x@acme.org", True),
        (r"^[\w.+-]+@acme\.(com|org)$", "jo@acme.net", False),
        (r"^(?:foo|bar)+$", "foobarfoo", True),
        (r"^\d{3}-\d{2,}$", "123-4567", True),
        (r"^\d{3}-\d{2,}$", "123-4", False),
        (r"\x41\x62", "xAbx", True),
        (r"a{2,3}?$", "caaa", True),
        (r"(\.\d+)?$", "1.5", True),
        (r"[]x]", "]", True),
        (r"[^]x]", "]", False),
        (r"[a-]", "-", True),
        (r"[-a]", "-", True),
        (r"a]}", "a]}", True),
        (r"\/\@\-\ ", "/@- ", True),
        (r"a|", "zzz", True),
        (r"()", "", True),
        (r"a$|b", "a\n", False),
        (r"a.c", "a\nc", False),
        (r"\$5", "$5", True),
        (r"[$]", "$", True),
        (r"Ä+", "ÄÄ", True),
        (r"^\w+$", "größe٣", True),
    ],
)
def test_shared_syntax_is_searched(pattern: str, words: str, expected: bool) -> None:
    """What both engines read alike is evaluated locally; `$` is the end of the text only."""
    assert search(pattern, words) is expected


@pytest.mark.parametrize(
    "pattern",
    ["(?i)a", "(?=a)", "(?!a)", "(?<=a)b", "(?P<n>a)", "(?<n>a)", "(?#x)", r"\bfoo\b", r"\Bx", r"(a)\1", r"\Aa", r"a\Z", r"a\z",
     r"\p{L}", "[[:alpha:]]", "[a&&b]", "[a--b]", "[a~~b]", "[a||b]", "[[a]]", "a*+", "a++", "a**", "(a+)+", "(a*)*b", "(?:a{2})+",
     "((a+)b)*", "(a|a)+", "(a|ab)*c", "(.|a)*", "(|a)+", "a{,3}", "a{", "{", "a{x}", "a{1001}", "a{99999999999}", r"\0", r"\12", r"\u0041",
     r"\N{DASH}", r"\x4", r"\x{41}", "^*", "$?", r"[\w-z]", r"[a-\d]", "[a-c-e]", r"\<a", r"\é", r"[\b]"],
)  # fmt: skip
def test_what_the_engines_read_differently_is_left_to_the_server(pattern: str) -> None:
    """Look-around, flags, back-references, POSIX classes, repeated repetitions: never a local answer."""
    assert compile_pattern(pattern) == UNSHARED


@pytest.mark.parametrize(
    "pattern",
    ["(", ")", "a(b", "a)b", "[", "[a", "[]", "[^]", "[b-a]", "*a", "+", "?", "a|*", "(*a)", "a{3,2}", "\\", "a\\"],
)
def test_what_no_engine_reads_is_invalid(pattern: str) -> None:
    """A broken pattern matches nobody, as on the server."""
    assert compile_pattern(pattern) == INVALID


def test_text_that_the_engines_read_differently_is_left_to_the_server() -> None:
    """`\\w` beyond letters and digits, and control characters under `\\s`, depend on the engine."""
    assert search(r"^\w+$", "x²") is None
    assert search(r"^.+$", "x²") is True
    assert search(r"a\sb", "a\x1cb") is None
    assert search(r"a\sb", "a\u00a0b") is True


@pytest.mark.parametrize("pattern", ["a*b", "a*a*b", "a*a*a*a*b", "^(a|b)*c"])
def test_a_pattern_that_backtracks_gets_no_long_text(pattern: str) -> None:
    """A definition and a long property together can't hang the application."""
    assert search(pattern, "a" * 100_000) is None
    assert search(pattern, "a" * 40) is False


shared = st.lists(
    st.sampled_from(["a", "b", "1", ".", r"\d", r"\w", "[ab]", "[^a]", "[0-9]", "^", "$", "|", "(", ")", "(?:", "a*", "b+", "1?", "a{2}", r"\."]),
    max_size=8,
).map("".join)  # fmt: skip


@given(shared, st.text("ab1.", max_size=8))
def test_a_local_search_is_what_python_finds(pattern: str, words: str) -> None:
    """Where there is an answer it is the engine's own; where the engine refuses there is none."""
    found = search(pattern, words)
    if found == INVALID:
        with pytest.raises(re.error):
            re.compile(pattern)
    elif found != UNSHARED:
        assert found is (re.search(pattern.replace("$", r"\Z"), words) is not None)


@given(st.text(max_size=20))
def test_no_pattern_makes_the_scanner_fail(pattern: str) -> None:
    """Any text at all is invalid, unshared, or searchable."""
    find = compile_pattern(pattern)
    assert find in (INVALID, UNSHARED) or callable(find)
