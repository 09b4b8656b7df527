"""
Exceptions: from what was caught to an `$exception` event.

`Errors` is the room's face; the client has one. The parts: `boundary` (what the catcher knows), `failure` (is this the
same failure again?), `throttle` (too often?), `pending` (the event until it is rendered), `steps` (what led here).
"""

from __future__ import annotations

from phtrack.errors.boundary import Boundary
from phtrack.errors.capture import Errors

__all__ = ["Boundary", "Errors"]
