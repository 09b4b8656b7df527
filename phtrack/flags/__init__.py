"""
Feature flags: read, locally where possible; told to the server once per user and value.

    verdicts, hashing, text, dates, semver, patterns, operators, rules, ruleset   pure: definitions and a user -> a value
    values, remote, transport                                                     the server's answer
    definitions, providers, redis_store, stale                                    what is kept, and shared
    called, snapshot, service                                                     what a client calls

`Flags` loads with its first use; neither `requests` nor `redis` nor `asyncio` loads before something needs it.
"""

from __future__ import annotations

from phtrack.flags.service import Flags

__all__ = ["Flags"]
