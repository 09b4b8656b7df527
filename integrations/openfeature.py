"""
OpenFeature: phtrack as the provider behind the ecosystem's standard interface for feature flags.

    from openfeature import api
    from phtrack.integrations.openfeature import PhtrackProvider

    api.set_provider(PhtrackProvider())
    api.get_client().get_boolean_value("new-nav", False, EvaluationContext("user-1", {"plan": "pro"}))

The targeting key is the distinct id (default: the phtrack context's). Of the attributes, ``groups``, ``group_properties`` and
``device_id`` are what they say; all others are person properties. What kind of value is asked for decides where it comes from:

    bool            on or off; any variant is on
    str             the variant's key, else a payload that is text
    int, float      a payload that is a number, else the variant's key as a number
    object          a payload that is an object or a list

A flag that is off has no variant and no payload: asked for anything but a bool it gives the default. Needs ``openfeature-sdk``.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider import AbstractProvider, Metadata

import phtrack

if TYPE_CHECKING:
    from collections.abc import Callable

    from openfeature.evaluation_context import EvaluationContext
    from openfeature.track import TrackingEventDetails

    from phtrack.async_client import AsyncClient
    from phtrack.client import Client
    from phtrack.flags.called import Reading

_NOT_PERSON = ("groups", "group_properties", "device_id")
_NOTHING: Any = object()


class PhtrackProvider(AbstractProvider):
    """
    Resolves flags with a phtrack client.

    Args:
        client: A `Client` or an `AsyncClient`; default is the default client at the time of each call.
        send_feature_flag_events: Report reads (`$feature_flag_called`).
    """

    def __init__(self, client: Client | AsyncClient | None = None, *, send_feature_flag_events: bool = True) -> None:
        super().__init__()
        self._given = client
        self._send = send_feature_flag_events

    def get_metadata(self) -> Metadata:
        """The provider's name."""
        return Metadata(name="phtrack")

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Load the definitions, where there is a secret key, so that the first reads are local."""
        client = self._client()
        if not client.disabled:
            client.flags.definitions.ensure()

    def shutdown(self) -> None:
        """Nothing: the client belongs to the application, which may use it elsewhere."""

    def track(
        self,
        tracking_event_name: str,
        evaluation_context: EvaluationContext | None = None,
        tracking_event_details: TrackingEventDetails | None = None,
    ) -> None:
        """Capture *tracking_event_name* for the targeting key, with the details as properties."""
        properties: dict[str, Any] = {}
        if tracking_event_details is not None:
            properties.update(tracking_event_details.attributes)
            if tracking_event_details.value is not None:
                properties["value"] = tracking_event_details.value
        who, about = _subject(evaluation_context)
        self._client().capture(tracking_event_name, distinct_id=who, properties=properties, groups=about.get("groups"))

    # --- the five kinds of values ------------------------------------------------------------------------------------

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        """On or off."""
        return self._resolve(flag_key, default_value, evaluation_context, _as_bool)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """The variant's key, or a payload of text."""
        return self._resolve(flag_key, default_value, evaluation_context, _as_text)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """A payload that is a whole number, or a variant that reads like one."""
        return self._resolve(flag_key, default_value, evaluation_context, _as_int)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        """A payload that is a number, or a variant that reads like one."""
        return self._resolve(flag_key, default_value, evaluation_context, _as_float)

    def resolve_object_details(
        self, flag_key: str, default_value: Any, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[Any]:
        """A payload that is an object or a list."""
        return self._resolve(flag_key, default_value, evaluation_context, _as_object)

    async def resolve_boolean_details_async(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        """On or off, without blocking the loop."""
        return await self._resolve_async(flag_key, default_value, evaluation_context, _as_bool)

    async def resolve_string_details_async(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """The variant's key or a payload of text, without blocking the loop."""
        return await self._resolve_async(flag_key, default_value, evaluation_context, _as_text)

    async def resolve_integer_details_async(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """A whole number, without blocking the loop."""
        return await self._resolve_async(flag_key, default_value, evaluation_context, _as_int)

    async def resolve_float_details_async(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        """A number, without blocking the loop."""
        return await self._resolve_async(flag_key, default_value, evaluation_context, _as_float)

    async def resolve_object_details_async(
        self, flag_key: str, default_value: Any, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[Any]:
        """An object or a list, without blocking the loop."""
        return await self._resolve_async(flag_key, default_value, evaluation_context, _as_object)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _client(self) -> Client:
        given: Any = self._given if self._given is not None else phtrack.setup()
        behind: Client = getattr(given, "client", given)  # an AsyncClient has one behind it
        return behind

    def _resolve(
        self, key: str, default: Any, evaluation: EvaluationContext | None, convert: Callable[[Any, Any], Any]
    ) -> FlagResolutionDetails[Any]:
        who, about = _subject(evaluation)
        reading = self._client().flags.read(key, who, send=self._send, only_locally=False, **about)
        return _details(reading, default, convert)

    async def _resolve_async(
        self, key: str, default: Any, evaluation: EvaluationContext | None, convert: Callable[[Any, Any], Any]
    ) -> FlagResolutionDetails[Any]:
        who, about = _subject(evaluation)
        flags = self._client().flags
        subject = flags.subject(who, **about)
        if subject is None:
            return _details(None, default, convert)
        waits = flags.definitions.would_wait
        rules = await asyncio.to_thread(flags.definitions.ensure) if waits else flags.definitions.ensure()
        reading = flags.locally(key, subject, rules)
        if reading is None:
            reading = await asyncio.to_thread(flags.remotely, key, subject, rules, False)
        return _details(flags.finish(reading, subject, self._send), default, convert)


def _subject(evaluation: EvaluationContext | None) -> tuple[str | None, Any]:
    """(distinct id, who else and with which properties) of an evaluation context."""
    if evaluation is None:
        return None, {}
    attributes = evaluation.attributes or {}
    about: dict[str, Any] = {name: attributes[name] for name in _NOT_PERSON if name in attributes}
    about["person_properties"] = {name: value for name, value in attributes.items() if name not in _NOT_PERSON}
    return evaluation.targeting_key, about


def _details(reading: Reading | None, default: Any, convert: Callable[[Any, Any], Any]) -> FlagResolutionDetails[Any]:
    if reading is None:
        message = "no targeting key, and none in the phtrack context; or the client is disabled"
        return _failed(default, ErrorCode.TARGETING_KEY_MISSING, message)
    value = reading.value
    if value is None:
        missing = reading.error == "flag_missing"
        code = ErrorCode.FLAG_NOT_FOUND if missing else ErrorCode.GENERAL
        return _failed(default, code, reading.error or "no value")
    variant = value if isinstance(value, str) else None
    about: dict[str, Any] = {"locally_evaluated": reading.local}
    if reading.id is not None:
        about["id"] = reading.id
    if reading.version is not None:
        about["version"] = reading.version
    if value is False and convert is not _as_bool:
        return FlagResolutionDetails(default, reason=Reason.DEFAULT, flag_metadata=about)
    converted = convert(value, reading.decoded_payload())
    if converted is _NOTHING:
        return _failed(default, ErrorCode.TYPE_MISMATCH, "the flag has no value of this kind")
    return FlagResolutionDetails(converted, reason=_reason(reading), variant=variant, flag_metadata=about)


def _reason(reading: Reading) -> Reason:
    if reading.error is not None and not reading.error.startswith("errors_while_computing"):
        return Reason.STALE  # the server didn't answer, and the last known value stands in
    if isinstance(reading.value, str):
        return Reason.SPLIT
    return Reason.TARGETING_MATCH if reading.value else Reason.DEFAULT


def _failed(default: Any, code: ErrorCode, message: str) -> FlagResolutionDetails[Any]:
    return FlagResolutionDetails(default, error_code=code, error_message=message, reason=Reason.ERROR)


def _as_bool(value: bool | str, payload: Any) -> Any:
    return bool(value)


def _as_text(value: bool | str, payload: Any) -> Any:
    if isinstance(value, str):
        return value
    return payload if isinstance(payload, str) else _NOTHING


def _as_int(value: bool | str, payload: Any) -> Any:
    number = _as_float(value, payload)
    return int(number) if number is not _NOTHING and float(number).is_integer() else _NOTHING


def _as_float(value: bool | str, payload: Any) -> Any:
    if isinstance(payload, (int, float)) and not isinstance(payload, bool):
        return payload
    try:
        found = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        return _NOTHING
    return found if math.isfinite(found) else _NOTHING


def _as_object(value: bool | str, payload: Any) -> Any:
    return payload if isinstance(payload, (Mapping, Sequence)) and not isinstance(payload, str) else _NOTHING
