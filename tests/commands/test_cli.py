"""The `phtrack` command itself: finding commands, help, and mistakes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from phtrack import cli
from phtrack.version import VERSION


def test_every_command_has_its_parts() -> None:
    """A summary of one line, a docstring for its help, and the two functions."""
    assert {"demo", "inbox", "run"} <= set(cli.names())
    for name in cli.names():
        command = cli.load(name)
        assert command.SUMMARY and "\n" not in command.SUMMARY, name
        assert command.__doc__, name
        assert callable(command.add_arguments) and callable(command.run), name


@pytest.mark.parametrize("name", cli.names())
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`phtrack NAME --help` ends with 0 and shows the docstring."""
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0
    assert (cli.load(name).__doc__ or "").strip().splitlines()[0] in capsys.readouterr().out


def test_help_lists_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """Asked for, it is an answer; without any argument it is a mistake."""
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in cli.names())
    assert cli.main([]) == 2


def test_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The nearest name is offered, on stderr."""
    assert cli.main(["inbx"]) == 2
    shown = capsys.readouterr()
    assert "unknown command 'inbx'; did you mean inbox?" in shown.err and not shown.out


def test_version() -> None:
    """`python -m phtrack` is the same command."""
    done = subprocess.run([sys.executable, "-m", "phtrack", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"phtrack {VERSION} (Python {sys.version.split()[0]}")


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Who installed phtrack without the inbox's packages is told what to install."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.setitem(sys.modules, "starlette", None)
    monkeypatch.delitem(sys.modules, "phtrack.inbox.serve", raising=False)
    monkeypatch.delitem(sys.modules, "phtrack.inbox.app", raising=False)
    assert cli.main(["demo", "--once"]) == 1
    assert "pip install 'phtrack[inbox]'" in capsys.readouterr().err
