"""`phtrack scrub`: the rules, tried from the command line."""

from __future__ import annotations

import io
import json
import sys

import pytest

from phtrack import cli
from phtrack.scrub import MARKER


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]):
    """Runs the command on a text; answers exit code, stdout, stderr."""

    def run(text: str | bytes, *arguments: str) -> tuple[int, str, str]:
        raw = text if isinstance(text, bytes) else text.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8"))
        code = cli.main(["scrub", *arguments])
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        return code, out.decode("utf-8", "surrogateescape"), err.decode()

    return run


def test_text(run) -> None:
    """Printed as it would be sent; on stderr the line and the rule."""
    code, out, err = run("hello\nlogin with password=hunter2 failed\nbye")
    assert (code, out) == (0, f"hello\nlogin with password={MARKER} failed\nbye")
    assert err == "line 2: name:password\n1 place hidden\n"


def test_a_secret_over_several_lines_is_one_place(run) -> None:
    """A private key is reported as the lines it takes."""
    _, out, err = run("a\n-----BEGIN PRIVATE KEY-----\nabc\ndef\n-----END PRIVATE KEY-----\nb\n")
    assert out == f"a\n{MARKER}\nb\n"
    assert err == "lines 2-5: pem\n1 place hidden\n"


def test_json(run) -> None:
    """JSON is recognised, stays JSON, and places are paths."""
    given = {"user": "bob", "auth": {"password": "x"}, "url": ["amqp://a:b@c/"], "headers": [["Cookie", "a=b"]]}
    code, out, err = run(json.dumps(given), "--check")
    assert code == 1
    assert json.loads(out) == {
        "user": "bob", "auth": MARKER, "url": [f"amqp://{MARKER}@c/"], "headers": [["Cookie", MARKER]],
    }  # fmt: skip
    assert "$.auth: name:auth\n" in err and "$.url[0]: url_credentials\n" in err and "$.headers[0][1]: " in err
    assert err.endswith("3 places hidden\n")


@pytest.mark.parametrize(
    ("kind", "given", "shown"),
    [
        ("source", 'token = "abc"\nx = 1\n', f'token = "{MARKER}"\nx = 1\n'),
        ("sql", "SELECT 1 WHERE token = 'abc'", f"SELECT 1 WHERE token = '{MARKER}'"),
        ("argv", "app --token abc -v", f"app --token '{MARKER}' -v\n"),
        ("text", '{"token": "abc"}', f'{{"token": "{MARKER}"}}'),
    ],
)
def test_kinds(run, kind: str, given: str, shown: str) -> None:
    """Each reader of the scrubber can be tried."""
    assert run(given, "--as", kind)[:2] == (0, shown)


def test_own_patterns(run) -> None:
    """--mask adds to the defaults, --only replaces them."""
    assert run("kundennummer 17", "--mask", "kundennummer")[1] == MARKER
    assert run("password=abc", "--mask", "x{9}", "--only")[1] == "password=abc"
    assert run("amqp://a:b@c/", "--no-url-credentials")[1] == "amqp://a:b@c/"
    assert run("AKIA" + "A" * 16, "--no-detection")[1] == "AKIA" + "A" * 16
    assert run("abc", "--name", "db_password")[1] == MARKER


def test_nothing_hidden(run) -> None:
    """Then --check is content, and bytes that are no UTF-8 come through."""
    code, out, err = run(b"caf\xe9 \xff ok", "--check")
    assert (code, out.encode("utf-8", "surrogateescape"), err) == (0, b"caf\xe9 \xff ok", "0 places hidden\n")


def test_mistakes(run) -> None:
    """A pattern that is none, and JSON that is none, are one line on stderr and exit code 2."""
    code, out, err = run("x", "--mask", "(")
    assert (code, out) == (2, "") and "'('" in err
    code, out, err = run("{no json", "--as", "json")
    assert (code, out) == (2, "") and "not json" in err
