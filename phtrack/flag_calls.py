"""
The flag methods of a client, with the signatures of the `posthog` package 7.x. They forward to `phtrack.flags.Flags`.

Values: True, False, the key of a variant, or None where there is none (unknown flag, no answer, no user). No call raises, unless
the client has ``debug=True``. A user that isn't given is the context's.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

from phtrack import _guard, context

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from phtrack.flags import Flags
    from phtrack.flags.snapshot import FeatureFlagEvaluations
    from phtrack.flags.values import (
        FeatureFlagEvaluationRuntime,
        FeatureFlagResult,
        FlagsAndPayloads,
        FlagsResponse,
        FlagValue,
    )
    from phtrack.options import Options
    from phtrack.tally import Tally

    Groups = Mapping[str, Any] | None
    Person = Mapping[str, Any] | None
    GroupProperties = Mapping[str, Mapping[str, Any]] | None


_making = threading.Lock()


class FlagCalls:
    """
    What `Client` inherits.

    It reads `options`, `api_key`, `host`, `tally`, `debug`, `disabled` and the pipeline of the class that inherits it, which in
    turn calls `_close_flags` at shutdown and `_fork_flags` in a child process.
    """

    if TYPE_CHECKING:
        options: Options
        api_key: str
        host: str
        tally: Tally
        debug: bool
        disabled: bool
        _closed: bool
        _opted_out: bool
        _pipeline: Any

    _flags: Flags | None = None

    @property
    def flags(self) -> Flags:
        """The room behind these methods, made at first use; making it starts nothing."""
        made = self._flags
        return made if made is not None else self._make_flags()

    def _make_flags(self) -> Flags:
        from phtrack.flags import Flags

        with _making:
            if self._flags is None:
                me = weakref.ref(self)
                self._flags = Flags(
                    self.options,
                    api_key=self.api_key,
                    host=self.host,
                    capture=lambda event, **about: (client := me()) and client._capture_flag_event(event, **about),
                    is_disabled=lambda: (client := me()) is None or client.disabled or client._closed,
                    tally=self.tally,
                )
            return self._flags

    def _capture_flag_event(
        self,
        name: str,
        *,
        distinct_id: str,
        properties: dict[str, Any],
        groups: Mapping[str, Any] | None,
        disable_geoip: bool | None,
        only: frozenset[str] | None,
    ) -> Any:
        """Send an event about flags; *only* names the properties it may keep. False if there was no room for it."""
        if self.disabled or self._closed or self._opted_out:
            return None
        event = self._pipeline.event(
            name, distinct_id=distinct_id, properties=properties, groups=groups, disable_geoip=disable_geoip
        )
        if only is not None:
            event["properties"] = {key: value for key, value in event["properties"].items() if key in only}
        uuid = self._pipeline.send(event, "events")
        # Without hooks there is one reason for None: no room. With them it may have been dropped on purpose, for good.
        return False if uuid is None and not self._pipeline.hooks else uuid

    def _flags_on_event(self, flags: Any, legacy: Any, about: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The properties that ``capture(flags=..., send_feature_flags=...)`` stand for. May ask the server for the second."""
        if legacy:
            _warn_deprecated("capture(send_feature_flags=...)", "capture(flags=evaluate_flags(...))")
        try:
            return self.flags.properties_for_capture(flags, legacy, about)
        except Exception as error:
            self._flags_failed("the flags of an event", error)
            return None

    def _close_flags(self) -> None:
        if self._flags is not None:
            self._flags.close()

    def _fork_flags(self) -> None:
        if self._flags is not None:
            self._flags.reset_after_fork()

    def _flags_failed(self, what: str, error: Exception) -> None:
        if self.debug:
            raise error
        _guard.swallowed(what, error)

    # --- one flag ----------------------------------------------------------------------------------------------------

    def get_feature_flag(
        self,
        key: str,
        distinct_id: Any = None,
        *,
        groups: Groups = None,
        person_properties: Person = None,
        group_properties: GroupProperties = None,
        only_evaluate_locally: bool = False,
        send_feature_flag_events: bool = True,
        disable_geoip: bool | None = None,
        device_id: Any = None,
    ) -> FlagValue | None:
        """
        The value of flag *key* for a user.

        Args:
            distinct_id: Default: the context's.
            groups: Group type -> key, for flags about groups.
            person_properties: Override what the server knows; needed for local evaluation of filters.
            group_properties: Group type -> properties.
            only_evaluate_locally: Never ask the server.
            send_feature_flag_events: Report the read (`$feature_flag_called`), once per user and value.
            disable_geoip: Default: the client's.
            device_id: For flags that are bucketed by device. Default: the context's.
        """
        try:
            return self.flags.value(
                key,
                send_feature_flag_events,
                only_evaluate_locally,
                distinct_id,
                groups,
                person_properties,
                group_properties,
                disable_geoip,
                device_id,
            )
        except Exception as error:
            self._flags_failed("get_feature_flag", error)
            return None

    def feature_enabled(
        self,
        key: str,
        distinct_id: Any = None,
        *,
        groups: Groups = None,
        person_properties: Person = None,
        group_properties: GroupProperties = None,
        only_evaluate_locally: bool = False,
        send_feature_flag_events: bool = True,
        disable_geoip: bool | None = None,
        device_id: Any = None,
        default_value: bool | None = None,
    ) -> bool | None:
        """Whether flag *key* is on (any variant counts); *default_value* if it has no value. Arguments as `get_feature_flag`."""
        value = self.get_feature_flag(
            key,
            distinct_id,
            groups=groups,
            person_properties=person_properties,
            group_properties=group_properties,
            only_evaluate_locally=only_evaluate_locally,
            send_feature_flag_events=send_feature_flag_events,
            disable_geoip=disable_geoip,
            device_id=device_id,
        )
        return default_value if value is None else bool(value)

    is_feature_enabled = feature_enabled

    def get_feature_flag_result(
        self,
        key: str,
        distinct_id: Any = None,
        *,
        groups: Groups = None,
        person_properties: Person = None,
        group_properties: GroupProperties = None,
        only_evaluate_locally: bool = False,
        send_feature_flag_events: bool = True,
        disable_geoip: bool | None = None,
        device_id: Any = None,
    ) -> FeatureFlagResult | None:
        """Value, payload and reason of flag *key*, or None without a value. Arguments as `get_feature_flag`."""
        from phtrack.flags.service import result_of

        try:
            return result_of(
                self.flags.read(
                    key,
                    distinct_id,
                    send=send_feature_flag_events,
                    only_locally=only_evaluate_locally,
                    groups=groups,
                    person_properties=person_properties,
                    group_properties=group_properties,
                    device_id=device_id,
                    disable_geoip=disable_geoip,
                )
            )
        except Exception as error:
            self._flags_failed("get_feature_flag_result", error)
            return None

    def get_feature_flag_payload(
        self,
        key: str,
        distinct_id: Any = None,
        *,
        match_value: FlagValue | None = None,
        groups: Groups = None,
        person_properties: Person = None,
        group_properties: GroupProperties = None,
        only_evaluate_locally: bool = False,
        send_feature_flag_events: bool = False,
        disable_geoip: bool | None = None,
        device_id: Any = None,
    ) -> Any:
        """
        The decoded payload of flag *key*, or None.

        Args:
            match_value: The payload of this value, where the definitions are at hand; else of the user's value.
            send_feature_flag_events: Deprecated; reading a payload is no exposure.
        """
        from phtrack.flags.values import decode_payload

        if send_feature_flag_events:
            _warn_deprecated("get_feature_flag_payload(send_feature_flag_events=True)", "get_feature_flag_result()")
        try:
            if match_value is not None:
                found = self.flags.payload_of_value(key, match_value)
                if found is not None:
                    return decode_payload(found)
            reading = self.flags.read(
                key,
                distinct_id,
                send=send_feature_flag_events,
                only_locally=only_evaluate_locally,
                groups=groups,
                person_properties=person_properties,
                group_properties=group_properties,
                device_id=device_id,
                disable_geoip=disable_geoip,
            )
            return None if reading is None or reading.value is None else decode_payload(reading.payload)
        except Exception as error:
            self._flags_failed("get_feature_flag_payload", error)
            return None

    # --- many flags --------------------------------------------------------------------------------------------------

    def evaluate_flags(
        self,
        distinct_id: Any = None,
        *,
        groups: Groups = None,
        person_properties: Person = None,
        group_properties: GroupProperties = None,
        only_evaluate_locally: bool = False,
        disable_geoip: bool | None = None,
        flag_keys: Iterable[str] | None = None,
        device_id: Any = None,
    ) -> FeatureFlagEvaluations:
        """
        All flags of a user at once, or *flag_keys*: at most one request, and none for what is read from the result.

        Pass the result to ``capture(..., flags=...)`` to attach the values to an event.
        """
        from phtrack.flags.snapshot import FeatureFlagEvaluations

        try:
            return self.flags.snapshot(
                distinct_id,
                only_locally=only_evaluate_locally,
                keys=flag_keys,
                groups=groups,
                person_properties=person_properties,
                group_properties=group_properties,
                device_id=device_id,
                disable_geoip=disable_geoip,
            )
        except Exception as error:
            self._flags_failed("evaluate_flags", error)
        return FeatureFlagEvaluations()

    def get_all_flags(
        self,
        distinct_id: Any = None,
        *,
        groups: Groups = None,
        person_properties: Person = None,
        group_properties: GroupProperties = None,
        only_evaluate_locally: bool = False,
        disable_geoip: bool | None = None,
        flag_keys_to_evaluate: Sequence[str] | None = None,
        device_id: Any = None,
    ) -> dict[str, FlagValue] | None:
        """Key -> value of all flags, or of *flag_keys_to_evaluate*; None if neither definitions nor server answer. No events."""
        return self.get_all_flags_and_payloads(
            distinct_id,
            groups=groups,
            person_properties=person_properties,
            group_properties=group_properties,
            only_evaluate_locally=only_evaluate_locally,
            disable_geoip=disable_geoip,
            flag_keys_to_evaluate=flag_keys_to_evaluate,
            device_id=device_id,
        )["featureFlags"]

    def get_all_flags_and_payloads(
        self,
        distinct_id: Any = None,
        *,
        groups: Groups = None,
        person_properties: Person = None,
        group_properties: GroupProperties = None,
        only_evaluate_locally: bool = False,
        disable_geoip: bool | None = None,
        flag_keys_to_evaluate: Sequence[str] | None = None,
        device_id: Any = None,
    ) -> FlagsAndPayloads:
        """``{"featureFlags": values, "featureFlagPayloads": JSON texts}``; None in place of both if nobody answers. No events."""
        try:
            found = self.flags.all_values(
                distinct_id,
                only_locally=only_evaluate_locally,
                keys=flag_keys_to_evaluate,
                groups=groups,
                person_properties=person_properties,
                group_properties=group_properties,
                device_id=device_id,
                disable_geoip=disable_geoip,
            )
            if found is not None:
                return {"featureFlags": found[0], "featureFlagPayloads": found[1]}
        except Exception as error:
            self._flags_failed("get_all_flags_and_payloads", error)
        return {"featureFlags": None, "featureFlagPayloads": None}

    # --- the older getters: always the server --------------------------------------------------------------------------

    def get_flags_decision(
        self,
        distinct_id: Any = None,
        groups: Groups = None,
        person_properties: Person = None,
        group_properties: GroupProperties = None,
        disable_geoip: bool | None = None,
        flag_keys_to_evaluate: Sequence[str] | None = None,
        device_id: Any = None,
    ) -> FlagsResponse:
        """The server's answer; without ``flags`` in it if there was none."""
        try:
            answer = self.flags.ask(
                distinct_id,
                keys=flag_keys_to_evaluate,
                groups=groups,
                person_properties=person_properties,
                group_properties=group_properties,
                device_id=device_id,
                disable_geoip=disable_geoip,
            )
            if answer is not None and answer.failure is None:
                return {
                    "flags": dict(answer.flags),
                    "errorsWhileComputingFlags": answer.computing_errors,
                    "requestId": answer.request_id,
                    "evaluatedAt": answer.evaluated_at,
                    "quotaLimited": list(answer.quota_limited),
                    "minimalFlagCalledEvents": answer.minimal_events,
                }
        except Exception as error:
            self._flags_failed("get_flags_decision", error)
        return {"flags": {}}

    def get_feature_flags_and_payloads(
        self,
        distinct_id: Any = None,
        groups: Groups = None,
        person_properties: Person = None,
        group_properties: GroupProperties = None,
        disable_geoip: bool | None = None,
        flag_keys_to_evaluate: Sequence[str] | None = None,
        device_id: Any = None,
    ) -> FlagsAndPayloads:
        """The server's values and payloads, whatever could be evaluated locally."""
        from phtrack.flags.remote import RemoteAnswer
        from phtrack.flags.service import answer_values

        decision = self.get_flags_decision(
            distinct_id, groups, person_properties, group_properties, disable_geoip, flag_keys_to_evaluate, device_id
        )
        values, payloads = answer_values(RemoteAnswer(decision["flags"]))
        return {"featureFlags": values, "featureFlagPayloads": payloads}

    def get_feature_variants(
        self,
        distinct_id: Any = None,
        groups: Groups = None,
        person_properties: Person = None,
        group_properties: GroupProperties = None,
        disable_geoip: bool | None = None,
        flag_keys_to_evaluate: Sequence[str] | None = None,
        device_id: Any = None,
    ) -> dict[str, FlagValue]:
        """The server's values."""
        both = self.get_feature_flags_and_payloads(
            distinct_id, groups, person_properties, group_properties, disable_geoip, flag_keys_to_evaluate, device_id
        )
        return both["featureFlags"] or {}

    def get_feature_payloads(
        self,
        distinct_id: Any = None,
        groups: Groups = None,
        person_properties: Person = None,
        group_properties: GroupProperties = None,
        disable_geoip: bool | None = None,
        flag_keys_to_evaluate: Sequence[str] | None = None,
        device_id: Any = None,
    ) -> dict[str, Any]:
        """The server's payloads, as JSON text."""
        both = self.get_feature_flags_and_payloads(
            distinct_id, groups, person_properties, group_properties, disable_geoip, flag_keys_to_evaluate, device_id
        )
        return both["featureFlagPayloads"] or {}

    def get_remote_config_payload(self, key: str) -> Any:
        """The decrypted payload of remote config *key*. Needs `secret_key`; None without an answer."""
        try:
            return self.flags.remote_config(key)
        except Exception as error:
            self._flags_failed("get_remote_config_payload", error)
            return None

    # --- definitions -------------------------------------------------------------------------------------------------

    def load_feature_flags(self) -> None:
        """
        Load the flag definitions now, and keep them fresh from now on.

        Raises:
            APIError: only with ``debug=True``: the secret key was refused.
        """
        refusal = None
        try:
            _, refusal = self.flags.load()
        except Exception as error:
            self._flags_failed("load_feature_flags", error)
        if refusal is not None and self.debug:
            raise refusal

    def feature_flag_definitions(self) -> list[dict[str, Any]] | None:
        """The definitions in force, or None while there are none. Not to be changed."""
        return self.feature_flags

    def get_feature_flag_evaluation_runtime(self, key: str) -> FeatureFlagEvaluationRuntime | None:
        """Where flag *key* is meant to be evaluated; None if its definition isn't known."""
        try:
            return self.flags.runtime_of(key)
        except Exception as error:
            self._flags_failed("get_feature_flag_evaluation_runtime", error)
            return None

    def get_feature_flag_keys_by_evaluation_runtime(
        self, evaluation_runtime: FeatureFlagEvaluationRuntime | str
    ) -> list[str]:
        """
        Keys of the flags for that runtime (``all``, ``client``, ``server``); those for all runtimes count for each.

        Raises:
            ValueError: no such runtime.
        """
        return self.flags.keys_by_runtime(evaluation_runtime)

    @property
    def feature_flags(self) -> list[dict[str, Any]] | None:
        """The definitions in force. Setting them puts others in force, e.g. in a test."""
        rules = self.flags.definitions.current
        return None if rules is None else rules.data.get("flags")

    @feature_flags.setter
    def feature_flags(self, flags: list[dict[str, Any]] | None) -> None:
        self.flags.definitions.replace(lambda data: data.update(flags=flags or []))

    @property
    def feature_flags_by_key(self) -> dict[str, dict[str, Any]] | None:
        """The definitions in force, by key."""
        flags = self.feature_flags
        return None if flags is None else {one["key"]: one for one in flags if isinstance(one, dict) and "key" in one}

    @property
    def group_type_mapping(self) -> dict[str, str] | None:
        """Index -> name of group types, as the definitions have it."""
        rules = self.flags.definitions.current
        return None if rules is None else rules.data.get("group_type_mapping")

    @group_type_mapping.setter
    def group_type_mapping(self, mapping: dict[str, str] | None) -> None:
        self.flags.definitions.replace(lambda data: data.update(group_type_mapping=mapping or {}))

    @property
    def cohorts(self) -> dict[str, Any] | None:
        """Cohort id -> definition."""
        rules = self.flags.definitions.current
        return None if rules is None else rules.data.get("cohorts")

    @cohorts.setter
    def cohorts(self, cohorts: dict[str, Any] | None) -> None:
        self.flags.definitions.replace(lambda data: data.update(cohorts=cohorts or {}))

    @property
    def poller(self) -> Any:
        """The thread that keeps the definitions fresh; None before it was needed."""
        return self.flags.definitions.poller

    @property
    def distinct_ids_feature_flags_reported(self) -> dict[str, Any]:
        """User -> reads of flags that were reported."""
        return self.flags.called.sent

    # --- defaults of the context ---------------------------------------------------------------------------------------

    set_person_properties_for_flags = staticmethod(context.set_person_properties_for_flags)
    reset_person_properties_for_flags = staticmethod(context.reset_person_properties_for_flags)
    set_group_properties_for_flags = staticmethod(context.set_group_properties_for_flags)
    reset_group_properties_for_flags = staticmethod(context.reset_group_properties_for_flags)


def _warn_deprecated(old: str, new: str) -> None:
    import warnings

    warnings.warn(f"{old} is deprecated; use {new}", DeprecationWarning, stacklevel=4)
