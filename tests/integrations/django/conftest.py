"""Django is set up before anything that needs its settings is imported."""

from __future__ import annotations

from . import project

project.configure()
