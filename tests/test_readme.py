"""What README.md says is true: its first example does what the text below it claims, and its commands exist."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import phtrack
from phtrack.inbox import serve_in_thread

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_first_example_arrives_in_the_inbox(tmp_path: Path) -> None:
    """The traceback and the exit code are Python's own, and the page shows the raised line and the value that explains it."""
    script = tmp_path / "app.py"
    with serve_in_thread() as inbox:
        example = EXAMPLES[0].replace("http://127.0.0.1:8970", inbox.url)
        # A machine that runs many tests at once may need longer than the second that the end waits by default.
        script.write_text(example.replace("autocapture=True", "autocapture=True, shutdown_timeout=30"))
        done = subprocess.run([sys.executable, script], capture_output=True, text=True)
        bare = tmp_path / "bare" / "app.py"
        bare.parent.mkdir()
        # The same lines without phtrack, on the same places.
        bare.write_text(re.sub(r"^(import phtrack|phtrack\.init.*)$", "pass", script.read_text(), flags=re.MULTILINE))
        expected = subprocess.run([sys.executable, bare], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (1, expected.stdout)
        assert done.stderr == expected.stderr.replace(str(bare), str(script))

        (issue,) = inbox.issues()
        assert (issue["type"], issue["level"], issue["handled"]) == ("ZeroDivisionError", "fatal", False)
        with urllib.request.urlopen(f"{inbox.url}/issues/{issue['id']}", timeout=30) as answer:
            page = answer.read().decode()
    text = re.sub(r"<[^>]+>", "", page)
    assert "print(visitors / buyers)" in text
    assert re.search(r"<mark[^>]*>visitors / buyers</mark>", page), "the failing expression is marked"
    assert re.search(r"buyers\s*=?\s*0", text), "its value stands beside it"


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_name_what_exists(example: str) -> None:
    """Each `phtrack.<name>` of an example is there."""
    tree = ast.parse(example)
    names = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "phtrack"
    }
    assert names
    assert not [name for name in names if not hasattr(phtrack, name)]


def test_make_targets_exist() -> None:
    """Each `make <target>` of the text is one of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z]+)", README, re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


def test_links_lead_somewhere() -> None:
    """Files that the text links to are there."""
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
