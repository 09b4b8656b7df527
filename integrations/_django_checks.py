"""What `manage.py check` says of phtrack's settings: a middleware in a place where it can't do its work, and typing errors."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning

OURS = "PosthogContextMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
FUNCTIONS = (
    "POSTHOG_MW_REQUEST_FILTER",
    "POSTHOG_MW_EXTRA_PROPERTIES",
    "POSTHOG_MW_EXTRA_TAGS",
    "POSTHOG_MW_PROPERTIES_MAP",
    "POSTHOG_MW_TAG_MAP",
)
SWITCHES = (
    "POSTHOG_MW_CAPTURE_EXCEPTIONS",
    "POSTHOG_MW_CAPTURE_TRACING_HEADERS",
    "POSTHOG_MW_TRUST_TRACING_HEADERS",
)


def check_settings(app_configs: Any = None, **_: Any) -> list[CheckMessage]:
    """
    The warnings.

    W001: the middleware stands before `AuthenticationMiddleware` while a callback may want the user.
    W002: it is listed more than once.  W003: posthog's own is listed beside it.
    W004: a setting that has to be a function is none.  W005: one that has to be True or False is something else.
    """
    return [*_order(), *_types()]


def _order() -> list[CheckMessage]:
    listed = [path for path in getattr(settings, "MIDDLEWARE", None) or () if isinstance(path, str)]
    ours = [n for n, path in enumerate(listed) if path.endswith(f".{OURS}") and not path.startswith("posthog.")]
    theirs = [path for path in listed if path == f"posthog.integrations.django.{OURS}"]
    found: list[CheckMessage] = []
    if not ours:
        return found
    callbacks = [name for name in FUNCTIONS[:3] if getattr(settings, name, None) is not None]
    if callbacks and AUTHENTICATION in listed[ours[0] + 1 :]:
        found.append(
            Warning(
                f"{listed[ours[0]]} stands before AuthenticationMiddleware in MIDDLEWARE, so {' and '.join(callbacks)} "
                "can't see request.user.",
                hint="Move it below AuthenticationMiddleware.",
                id="phtrack.W001",
            )
        )
    if len(ours) > 1:
        found.append(
            Warning(
                f"{OURS} is listed {len(ours)} times in MIDDLEWARE; the first one counts.",
                hint="Remove the others.",
                id="phtrack.W002",
            )
        )
    if theirs:
        found.append(
            Warning(
                f"{theirs[0]} is listed in MIDDLEWARE beside phtrack's; each error is reported by both.",
                hint="Remove one of them.",
                id="phtrack.W003",
            )
        )
    return found


def _types() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for name in FUNCTIONS:
        value = getattr(settings, name, None)
        if value is not None and not callable(value):
            found.append(Warning(f"{name} has to be a function, got {value!r}; it is ignored.", id="phtrack.W004"))
    for name in SWITCHES:
        value = getattr(settings, name, None)
        if value is not None and not isinstance(value, bool):
            found.append(Warning(f"{name} has to be True or False, got {value!r}.", id="phtrack.W005"))
    return found
