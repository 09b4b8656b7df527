"""What the tests of all frameworks share: a client whose events they look at."""

from __future__ import annotations

from .behaviours import watched

__all__ = ["watched"]
