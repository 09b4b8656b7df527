"""FastAPI: as Starlette, which it is built on. `install(app) -> undo`; see `phtrack.integrations.starlette`."""

from __future__ import annotations

from .starlette import install, install_auto

__all__ = ["install", "install_auto"]
