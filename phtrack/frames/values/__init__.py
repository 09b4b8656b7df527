"""
The values of a frame: what the variables and the pure expressions of the failing statement were.

    [raising thread]  frame -> which ones (`select`) -> plain data (`formatter`)  = ValueSnapshot.take
    [behind the door] plain data -> scrubbed, cut, as JSON (`render`, `writer`)

The first stage runs no code of the user and keeps no object alive; the second needs none of them.
"""

from __future__ import annotations

from phtrack.frames.values.render import Shown, ValueRenderer
from phtrack.frames.values.snapshot import ValueSnapshot

__all__ = ["Shown", "ValueRenderer", "ValueSnapshot"]
