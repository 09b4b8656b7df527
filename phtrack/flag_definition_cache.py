"""
Sharing flag definitions between processes: the protocol for providers, and the two that come with phtrack.

    from phtrack.flag_definition_cache import RedisFlagDefinitionCache
    phtrack.init(..., secret_key=..., flag_definition_cache_provider=RedisFlagDefinitionCache("redis://localhost/0"))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phtrack.flags.providers import FileFlagDefinitionCache, FlagDefinitionCacheData, FlagDefinitionCacheProvider

if TYPE_CHECKING:
    from phtrack.flags.redis_store import RedisFlagDefinitionCache

__all__ = [
    "FileFlagDefinitionCache",
    "FlagDefinitionCacheData",
    "FlagDefinitionCacheProvider",
    "RedisFlagDefinitionCache",
]


def __getattr__(name: str) -> Any:
    if name == "RedisFlagDefinitionCache":  # loads with what it needs
        from phtrack.flags.redis_store import RedisFlagDefinitionCache

        return RedisFlagDefinitionCache
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
