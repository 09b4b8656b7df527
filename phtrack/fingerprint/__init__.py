"""
Fingerprints: under which key an exception is grouped, and why.

    exceptions and frames as plain data -> `fingerprint` -> `Fingerprint` (value, parts, rule)

Pure functions over plain data: no frame, no file, no clock. They run behind the door, where the syntax trees are at hand.
See `recipe` for what counts and why.
"""

from __future__ import annotations

from phtrack.fingerprint.facts import ExceptionFacts, Fingerprint, FrameFacts
from phtrack.fingerprint.recipe import VERSION, FramePart, explicit, fingerprint, frame_part

__all__ = [
    "VERSION",
    "ExceptionFacts",
    "Fingerprint",
    "FrameFacts",
    "FramePart",
    "explicit",
    "fingerprint",
    "frame_part",
]
