"""
Acting on a module that the application has imported, or when it does; never importing one for it.

    when_imported("flask", act) -> undo

One finder on `sys.meta_path` waits for all names at once. It lets the other finders find the module, and acts after the
module's own code ran. When nothing is waited for any more it is gone.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from phtrack import _guard

if TYPE_CHECKING:
    from collections.abc import Callable

    Act = Callable[[Any], Callable[[], None] | None]


class _Wish:
    """One act that waits for a module, or was done to it."""

    def __init__(self, name: str, act: Act) -> None:
        self.name = name
        self.act = act
        self._undo: Callable[[], None] | None = None

    def fulfil(self, module: Any) -> None:
        """Act now. A failing act is phtrack's problem, not the import's."""
        with _guard.shield(f"acting on the import of {self.name}"):
            self._undo = self.act(module)

    def undo(self) -> None:
        """Wait no longer, and take back what was done."""
        waiting = _waiting.get(self.name, [])
        if self in waiting:
            waiting.remove(self)
            _leave_if_idle()
        if self._undo is not None:
            self._undo()
            self._undo = None


_waiting: dict[str, list[_Wish]] = {}


def when_imported(name: str, act: Act) -> Callable[[], None]:
    """
    Run *act* on module *name*: now if it is loaded, else right after it is imported.

    Args:
        act: Gets the module; may answer with a function that takes back what it did.

    Returns:
        The undo, which may be called at any time.
    """
    wish = _Wish(name, act)
    module = sys.modules.get(name)
    if module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False):
        wish.fulfil(module)
    else:
        _waiting.setdefault(name, []).append(wish)
        if _finder not in sys.meta_path:
            sys.meta_path.insert(0, _finder)
    return wish.undo


def _arrived(name: str, module: Any) -> None:
    for wish in _waiting.pop(name, []):
        wish.fulfil(module)
    _leave_if_idle()


def _leave_if_idle() -> None:
    if not any(_waiting.values()) and _finder in sys.meta_path:
        sys.meta_path.remove(_finder)


class _Finder:
    """Stands first on `sys.meta_path` and answers only for the names that are waited for."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The spec that the other finders have for a name that is waited for, with our act after its code."""
        if not _waiting.get(name):
            return None
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec = find(name, path, target)
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader, name)
                return spec
        return None


class _Loader:
    """A loader that acts after the module's code ran; in all else the loader it stands for."""

    def __init__(self, loader: Any, name: str) -> None:
        self._loader = loader
        self._name = name

    def exec_module(self, module: Any) -> None:
        """Run the module, put its own loader back in place, and act."""
        spec = getattr(module, "__spec__", None)
        if spec is not None:
            spec.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        _arrived(self._name, module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


_finder = _Finder()
