"""in_app decides which frames are shown first, which values are read and how issues group."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from phtrack.frames.in_app import InApp, editable_folders, project_roots
from tests.frames.sites_here import failing, failing_code

if TYPE_CHECKING:
    from pathlib import Path


def at(filename: str | Path, module: str | None = "shop", **names: Any) -> Any:
    if module is not None:
        names["__name__"] = module
    (site,) = failing_code("1 / 0", str(filename), **names)
    return site


def written(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("1 / 0\n")
    return path


def test_modules_named_by_the_user_win(tmp_path: Path) -> None:
    """Rule 1: even inside site-packages, and by whole names."""
    decide = InApp(project_root=tmp_path, in_app_modules=["shop", "tools.cli"])
    assert decide(at("/venv/lib/site-packages/shop/a.py", "shop.a"))
    assert decide(at("<string>", "shop"))
    assert decide(at("/x/tools/cli.py", "tools.cli"))
    assert not decide(at("/x/shopping.py", "shopping"))
    assert not decide(at("/x/tools/other.py", "tools.other"))


def test_installed_packages_are_libraries(tmp_path: Path) -> None:
    """Rule 2: a component named site-packages or dist-packages, also inside the project (a .venv in it)."""
    decide = InApp(project_root=tmp_path)
    for folder in ("site-packages", "dist-packages"):
        assert not decide(at(tmp_path / ".venv/lib" / folder / "x/y.py", "x.y"))
    assert decide(at(tmp_path / "site-packages-mirror/y.py", "y"))


def test_the_standard_library_is_a_library() -> None:
    """Rule 3: its directory, and frozen modules."""
    decide = InApp()
    assert [decide(site) for site in failing(json.loads, "{")] == [False, False, False][: len(failing(json.loads, "{"))]
    assert not decide(at("<frozen importlib._bootstrap>", "importlib._bootstrap"))


def test_the_project_root_is_compared_by_components(tmp_path: Path) -> None:
    """Rule 4: `/app2` is not below `/app`."""
    decide = InApp(project_root=tmp_path / "app")
    assert decide(at(tmp_path / "app/x.py"))
    assert not decide(at(written(tmp_path / "app2/x.py")))


def test_links_to_the_project_are_followed(tmp_path: Path) -> None:
    """Deploys link `current` to a release: either name is the project, whichever the option and the frames use."""
    written(tmp_path / "releases/7/shop/x.py")
    (tmp_path / "current").symlink_to(tmp_path / "releases/7")
    assert InApp(project_root=tmp_path / "current")(at(tmp_path / "releases/7/shop/x.py"))
    assert InApp(project_root=tmp_path / "releases/7")(at(tmp_path / "current/shop/x.py"))


def test_code_that_is_in_no_file(tmp_path: Path) -> None:
    """Rule 5: generated code isn't the application's, and neither is a file that doesn't exist."""
    decide = InApp()
    assert not decide(at("<string>"))
    assert not decide(at("<stdin>", "__main__"))
    assert not decide(at("/no/such/file.py"))
    assert not decide(at(""))
    assert not decide(at("<string>", None))


def test_what_nobody_configured_is_the_applications(tmp_path: Path) -> None:
    """Rule 6: without configuration other existing files are in_app; with one they are not."""
    path = written(tmp_path / "elsewhere/x.py")
    assert InApp()(at(path))
    assert not InApp(project_root=tmp_path / "app")(at(path))
    assert not InApp(in_app_modules=["other"])(at(path))


def test_cells_are_the_users_own_code() -> None:
    """What someone typed into a notebook or the REPL is what they want to see."""
    decide = InApp()
    for name in ("/tmp/ipykernel_12/34.py", "<ipython-input-1-abc>", "<python-input-3>", "<doctest shop[0]>"):
        assert decide(at(name, "__main__"))


def test_archives_count_as_files(tmp_path: Path) -> None:
    """A member of a zip application exists when the archive does."""
    written(tmp_path / "app.zip")
    assert InApp()(at(tmp_path / "app.zip/shop/x.py"))


def test_editable_installs_are_in_app(tmp_path: Path) -> None:
    """PEP 660: a library checked out next to the project and installed editable is code under work."""
    site_packages = tmp_path / "venv/lib/site-packages"
    for name, about in {
        "good": {"url": (tmp_path / "my lib").as_uri(), "dir_info": {"editable": True}},
        "fixed": {"url": (tmp_path / "fixed").as_uri(), "dir_info": {}},
        "remote": {"url": "https://example.invalid/x", "dir_info": {"editable": True}},
        "odd": ["nonsense"],
    }.items():
        info = site_packages / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "direct_url.json").write_text(json.dumps(about))
    (site_packages / "broken-1.0.dist-info").mkdir()
    (site_packages / "broken-1.0.dist-info/direct_url.json").write_bytes(b"\xff{")
    (site_packages / "older.egg-link").write_text(f"{tmp_path / 'older'}\n.\n")
    assert sorted(editable_folders([str(site_packages), "/no/site-packages", str(tmp_path)])) == [
        str(tmp_path / "my lib"),
        str(tmp_path / "older"),
    ]
    sys.path.append(str(site_packages))
    try:
        decide = InApp(project_root=tmp_path / "app")
        assert decide(at(tmp_path / "my lib/src/lib/x.py", "lib.x"))
        assert not decide(at(tmp_path / "fixed/x.py", "x"))
    finally:
        sys.path.remove(str(site_packages))


@pytest.mark.parametrize("mark", ["pyproject.toml", ".git"])
def test_the_root_is_found_upwards_from_where_the_program_runs(tmp_path: Path, mark: str) -> None:
    """A worker started in a subdirectory belongs to the project around it; a script elsewhere brings its own project."""
    for project in ("project", "tools"):
        (tmp_path / project / mark).mkdir(parents=True)
    (tmp_path / "project/deep/er").mkdir(parents=True)
    script = tmp_path / "tools/bin/run.py"
    script.parent.mkdir(parents=True)
    script.write_text("from phtrack.frames.in_app import project_roots\nprint(*project_roots(), sep='\\n')\n")
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path / "project/deep/er", capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [str(tmp_path / "project"), str(tmp_path / "tools")]


def test_without_a_mark_the_root_is_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the wire contract's default says."""
    monkeypatch.chdir(tmp_path)
    assert project_roots()[0] == str(tmp_path)


def test_a_removed_working_directory_hurts_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`os.getcwd` raises then; the rest of the rules goes on."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    decide = InApp()
    assert not decide(at("/venv/site-packages/x.py"))
    assert decide(at("relative.py")) is False


def test_commands_of_the_environment_are_not_the_application(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The three lines of `venv/bin/gunicorn` lie in the project when its environment does."""
    script = written(tmp_path / ".venv/bin/gunicorn")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    assert not InApp(project_root=tmp_path)(at(script, "__main__"))


def test_phtracks_own_frames_are_not_the_application() -> None:
    """Also in a checkout of phtrack, so that a frame of an integration is never taken for the culprit."""
    assert not InApp()(at(__file__, "phtrack.integrations.flask"))


def test_decisions_are_kept_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One look at the disk per file and module; generated file names don't fill the memory."""
    monkeypatch.setattr("phtrack.frames.in_app.MAX_DECISIONS", 10)
    decide = InApp()
    path = written(tmp_path / "x.py")
    assert decide(at(path))
    path.unlink()
    assert decide(at(path))
    for number in range(30):
        decide(at(f"<made {number}>"))
    assert len(decide._decisions) <= 10
