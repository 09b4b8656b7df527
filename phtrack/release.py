"""
Which release, in which environment: from options, environment variables, and git's files. No subprocess.

    describe(release, environment, root) -> {"release": ..., "environment": ...}, whatever is known
"""

from __future__ import annotations

import os
from pathlib import Path

from phtrack import _guard

_RELEASE_VARIABLES = (
    "PHTRACK_RELEASE", "POSTHOG_RELEASE", "RELEASE", "GIT_SHA", "GIT_COMMIT", "COMMIT_SHA", "SOURCE_VERSION", "HEROKU_SLUG_COMMIT",
    "RENDER_GIT_COMMIT", "VERCEL_GIT_COMMIT_SHA", "CI_COMMIT_SHA", "GITHUB_SHA", "K_REVISION",
)  # fmt: skip
_ENVIRONMENT_VARIABLES = (
    "PHTRACK_ENVIRONMENT",
    "POSTHOG_ENVIRONMENT",
    "APP_ENV",
    "ENVIRONMENT",
    "DJANGO_ENV",
    "FLASK_ENV",
)
_SHORT = 12


def describe(
    release: str | None = None, environment: str | None = None, root: str | os.PathLike[str] | None = None
) -> dict[str, str]:
    """
    The properties `release` and `environment` of every event, absent when unknown. Never raises.

    Args:
        root: Where to look for git's files; the working directory and its parents by default.
    """
    known: dict[str, str] = {}
    with _guard.shield("finding the release"):
        found = release or _variable(_RELEASE_VARIABLES) or git_release(Path(root) if root is not None else Path.cwd())
        if found:
            known["release"] = found
    environment = environment or _variable(_ENVIRONMENT_VARIABLES)
    if environment:
        known["environment"] = environment
    return known


def _variable(names: tuple[str, ...]) -> str | None:
    for name in names:
        value = os.environ.get(name, "").strip()
        if value:
            return value[:200]
    return None


def git_release(start: Path) -> str | None:
    """
    The commit that is checked out around *start*, 12 hex digits, with `+dirty` when a tracked file has changed since; None
    outside of a repository.
    """
    git = _git_dir(start)
    if git is None:
        return None
    commit = _commit(git)
    if commit is None:
        return None
    return commit[:_SHORT] + ("+dirty" if _dirty(git) else "")


def _git_dir(start: Path) -> Path | None:
    for folder in (start, *start.parents):
        found = folder / ".git"
        try:
            if found.is_dir():
                return found
            if found.is_file():  # a worktree or submodule: `gitdir: <path>`
                target = _read(found).partition("gitdir:")[2].strip()
                return (folder / target).resolve() if target else None
        except OSError:
            return None
    return None


def _commit(git: Path) -> str | None:
    head = _read(git / "HEAD")
    name = head.partition("ref:")[2].strip()
    if not name:
        return _hex(head)
    common = _read(git / "commondir")
    folders = [git, (git / common).resolve()] if common else [git]
    for folder in folders:
        commit = _hex(_read(folder / name))
        if commit:
            return commit
    for folder in folders:
        for line in _read(folder / "packed-refs", 1_000_000).splitlines():
            commit, _, ref = line.partition(" ")
            if ref == name:
                return _hex(commit)
    return None


def _hex(text: str) -> str | None:
    text = text.strip()
    return text if len(text) >= 40 and all(one in "0123456789abcdef" for one in text) else None


def _read(path: Path, limit: int = 10_000) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(limit).strip()
    except OSError:
        return ""


# --- dirty or not --------------------------------------------------------------------------------------------------

_MAX_ENTRIES = 3_000
_MAX_INDEX = 2 * 1024 * 1024


def _dirty(git: Path) -> bool:
    """
    True if a tracked file differs in size or time from what the index says; only looked for in a repository small enough
    for that to be cheap. A file that was only touched counts as changed, as long as git has not refreshed its index.
    """
    from struct import unpack_from

    try:
        if (git / "index").stat().st_size > _MAX_INDEX:
            return False
        data = (git / "index").read_bytes()
        magic, version, count = unpack_from(">4sII", data)
        if magic != b"DIRC" or version not in (2, 3) or count > _MAX_ENTRIES:
            return False
        top = git.parent
        at = 12
        for _ in range(count):
            _, _, mtime, mtime_nanos = unpack_from(">IIII", data, at)
            (size,) = unpack_from(">I", data, at + 36)
            (flags,) = unpack_from(">H", data, at + 60)
            start = at + (64 if flags & 0x4000 else 62)
            end = data.index(b"\0", start)
            if _changed(top / os.fsdecode(data[start:end]), mtime, mtime_nanos, size):
                return True
            at += (end - at + 8) & ~7
    except Exception:
        return False
    return False


def _changed(path: Path, mtime: int, nanos: int, size: int) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return True
    if found.st_size & 0xFFFFFFFF != size:
        return True
    seconds, rest = divmod(found.st_mtime_ns, 1_000_000_000)
    return seconds & 0xFFFFFFFF != mtime or (nanos != 0 and rest != nanos)
