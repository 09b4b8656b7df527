"""
Feature flags from a file: what `/flags/` and `/flags/definitions` answer, so that flags can be tried without an account.

    flags.toml -> load -> FlagFile -> evaluate(request body) | definitions()

Both answers come from the rules that clients use for local evaluation. Short forms for hands, and the server's own form:

    [flags]
    new-nav = true                               # on for everybody
    checkout = 25                                # on for 25 % of users
    theme = "blue"                               # this variant for everybody

    [flags.search]
    rollout = 50
    variants = { control = 50, fast = 50 }
    payloads = { fast = { limit = 5 } }
    when = [{ plan = "pro" }, { email = { icontains = "@acme.com" }, variant = "fast" }]
    group = "company"                            # about companies, not persons

    [persons.u1]                                 # properties the server would know
    plan = "pro"

    [groups.company.acme]
    name = "Acme"

A flag with ``filters``, or ``flags`` as a list, is taken as the server's definition. JSON has the same keys.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phtrack import encode
from phtrack.flags.hashing import digest
from phtrack.flags.ruleset import Ruleset
from phtrack.flags.verdicts import Unresolved, UnresolvedFlagReason

if TYPE_CHECKING:
    from phtrack.flags.rules import Flag, Run, Value

_TOP = frozenset(
    (
        "flags", "persons", "groups", "group_type_mapping", "cohorts", "minimal_flag_called_events",
        "property_matching_version",
    )
)  # fmt: skip
_FLAG = frozenset(
    ("active", "description", "experiment", "group", "payload", "payloads", "rollout", "variant", "variants", "when")
)
_CONDITION = frozenset(("rollout", "variant"))


def load(path: str | os.PathLike[str]) -> FlagFile:
    """
    Read a file of flags, TOML or (by its suffix ``.json``) JSON.

    Raises:
        OSError: it can't be read.
        ValueError: it says something impossible; the message says where and what.
    """
    body = Path(path).read_bytes()
    if os.fspath(path).endswith(".json"):
        data = encode.loads(body)
    else:
        data = _toml().loads(body.decode("utf-8"))
    if not isinstance(data, dict):
        raise ValueError(f"a file of flags must be a table, got {type(data).__name__}")
    return FlagFile(data)


def _toml() -> Any:
    name = "tomllib" if sys.version_info >= (3, 11) else "tomli"
    try:
        return import_module(name)
    except ImportError:
        raise ValueError("reading TOML on Python 3.10 needs the package tomli; or use a .json file") from None


class FlagFile:
    """The flags of one file."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        """
        Args:
            data: The file's content.

        Raises:
            ValueError: it says something impossible.
        """
        _known("the file of flags", data, _TOP)
        self._persons = _table("persons", data.get("persons"))
        self._groups = _table("groups", data.get("groups"))
        kinds = _group_types(data.get("group_type_mapping"))
        flags = data.get("flags", {})
        if isinstance(flags, list):
            definitions = flags
        else:
            named = enumerate(_table("flags", flags).items(), start=1)
            definitions = [_definition(number, key, about, kinds) for number, (key, about) in named]
        self._data: dict[str, Any] = {
            "flags": definitions,
            "group_type_mapping": {str(index): kind for index, kind in enumerate(kinds)},
            "cohorts": _table("cohorts", data.get("cohorts")),
            "minimal_flag_called_events": data.get("minimal_flag_called_events") is True,
        }
        if "property_matching_version" in data:
            self._data["property_matching_version"] = data["property_matching_version"]
        self._etag = f'"{digest(encode.dumps(self._data)).hex()}"'
        # The server knows what a user saw before logging in; a file of flags has no past to be continued.
        own = [{**one, "ensure_experience_continuity": False} if isinstance(one, dict) else one for one in definitions]
        self._rules = Ruleset({**self._data, "flags": own})

    def definitions(self) -> dict[str, Any]:
        """The answer of `/flags/definitions`, and its ETag under ``etag``."""
        return {**self._data, "etag": self._etag}

    def evaluate(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of `/flags/` (v2) to a request's *body*. Properties of the request win over those of the file."""
        wanted = body.get("flag_keys_to_evaluate")
        run = self._run(body)
        flags = {
            key: _record(flag, _value(flag, run), run)
            for key, flag in self._rules.flags.items()
            if not isinstance(wanted, list) or key in wanted
        }
        return {
            "flags": flags,
            "errorsWhileComputingFlags": any(record.get("failed", False) for record in flags.values()),
            "requestId": str(uuid.uuid4()),
            "evaluatedAt": int(time.time() * 1000),
            "quotaLimited": [],
            "minimalFlagCalledEvents": self._data["minimal_flag_called_events"],
        }

    def _run(self, body: Mapping[str, Any]) -> Run:
        user = str(body.get("distinct_id") or "")
        groups = {str(kind): str(key) for kind, key in _mapping(body.get("groups")).items()}
        given = _mapping(body.get("group_properties"))
        device = body.get("device_id")
        return self._rules.run(
            user,
            device_id=device if isinstance(device, str) else None,
            person={**_mapping(self._persons.get(user)), **_mapping(body.get("person_properties"))},
            groups=groups,
            group_properties={
                kind: {**_mapping(_mapping(self._groups.get(kind)).get(key)), **_mapping(given.get(kind))}
                for kind, key in groups.items()
            },
        )


# --- answering -------------------------------------------------------------------------------------------------------


def _value(flag: Flag, run: Run) -> Value | Unresolved:
    known = run.values.get(flag.key) if run.values is not None else None
    return flag.evaluate(run) if known is None else known


def _record(flag: Flag, value: Value | Unresolved, run: Run) -> dict[str, Any]:
    """
    The record of one flag.

    The server knows all there is to know, so what is missing here is missing altogether: the flag is off. What our rules
    don't support is marked as failed.
    """
    failed = isinstance(value, Unresolved) and value.reason is UnresolvedFlagReason.UNSUPPORTED_DEFINITION
    found: Value = False if isinstance(value, Unresolved) else value
    code, description = _reason(flag, value, run)
    record: dict[str, Any] = {
        "key": flag.key,
        "enabled": found is not False,
        "variant": found if isinstance(found, str) else None,
        "reason": {"code": code, "condition_index": None, "description": description},
        "metadata": {
            "id": flag.id,
            "version": flag.version,
            "description": flag.name,
            "payload": None if failed else flag.payload(found),
            **({} if flag.has_experiment is None else {"has_experiment": flag.has_experiment}),
        },
    }
    if failed:
        record["failed"] = True
    return record


def _reason(flag: Flag, value: Value | Unresolved, run: Run) -> tuple[str, str]:
    if isinstance(value, Unresolved):
        if isinstance(flag.scope, str) and flag.scope not in run.groups:
            return "no_group_type", f"No group of type {flag.scope} was given"
        return "no_condition_match", f"No matching condition set ({value.reason.value.replace('_', ' ')})"
    if flag.fixed is False:
        return "flag_disabled", "Feature flag is disabled"
    if value is False:
        return "no_condition_match", "No matching condition set"
    if value == flag.holdout_value:
        return "holdout_condition_value", "Held out"
    return "condition_match", "Matched a condition set"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


# --- reading the file ------------------------------------------------------------------------------------------------


def _definition(number: int, key: str, about: Any, kinds: list[str]) -> dict[str, Any]:
    """The definition that the server would send for a flag in one of the short forms."""
    where = f"flags.{key}"
    base: dict[str, Any] = {"id": number, "key": key, "active": True, "version": 1}
    if isinstance(about, Mapping) and "filters" in about:
        return {**base, **about}
    if isinstance(about, bool):
        return {**base, "active": about, "filters": {"groups": [_everybody()]}}
    if isinstance(about, str):
        about = {"variant": about, "variants": {about: 100}}
    elif isinstance(about, (int, float)):
        about = {"rollout": about}
    if not isinstance(about, Mapping):
        raise ValueError(f"{where} must be true, false, a percentage, a variant or a table, got {about!r}")
    _known(where, about, _FLAG)
    variants = _table(f"{where}.variants", about.get("variants"))
    filters: dict[str, Any] = {
        "groups": _conditions(where, about, variants),
        "payloads": _payloads(where, about),
    }
    if variants:
        shares = [
            {"key": name, "rollout_percentage": _percentage(f"{where}.variants.{name}", share)}
            for name, share in variants.items()
        ]
        filters["multivariate"] = {"variants": shares}
    if "group" in about:
        filters["aggregation_group_type_index"] = _index(where, about["group"], kinds)
    if "experiment" in about:
        base["has_experiment"] = _bool(f"{where}.experiment", about["experiment"])
    active = _bool(f"{where}.active", about.get("active", True))
    return {**base, "active": active, "name": about.get("description", ""), "filters": filters}


def _everybody() -> dict[str, Any]:
    return {"properties": [], "rollout_percentage": 100}


def _conditions(where: str, about: Mapping[str, Any], variants: Mapping[str, Any]) -> list[dict[str, Any]]:
    when = about.get("when", [{}])
    if isinstance(when, Mapping):
        when = [when]
    if not isinstance(when, list) or not all(isinstance(one, Mapping) for one in when):
        raise ValueError(f"{where}.when must be a table or a list of tables, got {when!r}")
    conditions = []
    for one in when:
        variant = one.get("variant", about.get("variant"))
        if variant is not None and variant not in variants:
            raise ValueError(f"{where}: {variant!r} is none of its variants: {', '.join(variants) or 'it has none'}")
        conditions.append(
            {
                "properties": [
                    filter_ for name in one if name not in _CONDITION for filter_ in _filters(where, name, one[name])
                ],
                "rollout_percentage": _percentage(f"{where}.rollout", one.get("rollout", about.get("rollout", 100))),
                "variant": variant,
            }
        )
    return conditions


def _filters(where: str, name: str, wanted: Any) -> list[dict[str, Any]]:
    """``plan = "pro"``, ``plan = ["pro", "team"]``, or ``age = { gte = 18, lt = 65 }``."""
    operators = wanted if isinstance(wanted, Mapping) else {"exact": wanted}
    if not operators:
        raise ValueError(f"{where}.when.{name} has no operator")
    return [
        {"key": name, "operator": operator, "value": value, "type": "person"} for operator, value in operators.items()
    ]


def _payloads(where: str, about: Mapping[str, Any]) -> dict[str, str]:
    payloads = dict(_table(f"{where}.payloads", about.get("payloads")))
    if "payload" in about:
        payloads["true"] = about["payload"]
    return {value: encode.dumps(payload).decode() for value, payload in payloads.items()}


def _group_types(mapping: Any) -> list[str]:
    """Names of group types by index: from ``["company"]`` or ``{"0": "company"}``."""
    if mapping is None:
        return []
    if isinstance(mapping, list):
        names = mapping
    elif isinstance(mapping, Mapping) and sorted(mapping) == sorted(map(str, range(len(mapping)))):
        names = [mapping[str(index)] for index in range(len(mapping))]
    else:
        raise ValueError(f"group_type_mapping must be a list of names, got {mapping!r}")
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"group_type_mapping must be a list of names, got {mapping!r}")
    return list(names)


def _index(where: str, kind: Any, kinds: list[str]) -> int:
    if not isinstance(kind, str) or not kind:
        raise ValueError(f"{where}.group must be a group type, got {kind!r}")
    if kind not in kinds:
        kinds.append(kind)
    return kinds.index(kind)


def _known(where: str, table: Mapping[str, Any], names: frozenset[str]) -> None:
    for name in table:
        if name not in names:
            raise ValueError(f"{where} has an unknown key {name!r}; known are: {', '.join(sorted(names))}")


def _table(where: str, value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} must be a table, got {value!r}")
    return value


def _percentage(where: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100:
        raise ValueError(f"{where} must be a percentage from 0 to 100, got {value!r}")
    return value


def _bool(where: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{where} must be true or false, got {value!r}")
    return value
