"""What an exception becomes: the list, the mechanism tree, texts, and the caller's say."""

from __future__ import annotations

import datetime
import logging
import sys
import traceback
from typing import Any

import pytest

import phtrack
from tests.errors.conftest import Make, Recorder


def raised(error: BaseException) -> BaseException:
    """*error* after it was raised and caught."""
    try:
        raise error
    except BaseException as caught:
        return caught


def chained(depth: int) -> BaseException:
    error: BaseException = ValueError("0")
    for n in range(1, depth):
        try:
            raise ValueError(str(n)) from error
        except ValueError as caught:
            error = caught
    return error


def test_an_exception_has_type_text_and_frames(recorder: Recorder) -> None:
    """The first entry is what was caught, with its own stack; type and message are copied to the event."""
    properties = recorder.capture(raised(ValueError("boom")))
    (entry,) = properties["$exception_list"]
    assert (entry["type"], entry["value"]) == ("ValueError", "boom")
    assert "module" not in entry
    assert entry["mechanism"] == {"exception_id": 0, "type": "generic", "handled": True, "synthetic": False}
    assert entry["stacktrace"]["type"] == "raw"
    frame = entry["stacktrace"]["frames"][-1]
    assert frame["platform"] == "python"
    assert frame["function"] == "raised"
    assert frame["filename"] == "tests/errors/test_capture.py"
    assert frame["abs_path"] == __file__
    assert frame["context_line"] == "        raise error"
    assert frame["in_app"] is True
    assert properties["$exception_type"] == "ValueError"
    assert properties["$exception_message"] == "boom"
    assert properties["$exception_level"] == "error"
    assert "$exception_source" not in properties
    assert 0 < entry["thread_id"] < 2**31


def test_a_type_has_its_qualified_name_and_module(recorder: Recorder) -> None:
    """Where the class comes from is part of the entry."""

    class Local(Exception):
        pass

    entry = recorder.capture(raised(Local()))["$exception_list"][0]
    assert entry["type"] == "test_a_type_has_its_qualified_name_and_module.<locals>.Local"
    assert entry["module"] == __name__


def entries(properties: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (entry["type"], entry["value"], entry["mechanism"].get("parent_id"), entry["mechanism"].get("source"))
        for entry in properties["$exception_list"]
    ]


def test_causes_contexts_and_from_none(recorder: Recorder) -> None:
    """Each relation is told apart, and `from None` ends the chain."""

    def build(how: str) -> BaseException:
        try:
            try:
                {}["key"]
            except KeyError as error:
                if how == "cause":
                    raise ValueError("outer") from error
                if how == "none":
                    raise ValueError("outer") from None
                raise ValueError("outer")
        except ValueError as caught:
            return caught

    assert entries(recorder.capture(build("cause"))) == [
        ("ValueError", "outer", None, None),
        ("KeyError", "'key'", 0, "cause"),
    ]
    assert entries(recorder.capture(build("context"))) == [
        ("ValueError", "outer", None, None),
        ("KeyError", "'key'", 0, "context"),
    ]
    cut = recorder.capture(build("none"))
    assert entries(cut) == [("ValueError", "outer", None, None)]
    assert cut["phtrack"]["context_hidden"] == [0]


def test_each_exception_of_a_chain_has_its_own_frames_and_values(recorder: Recorder) -> None:
    """The inner exception shows the inner function's variables, not the outer one's."""

    def inner() -> None:
        deep_local = 1
        raise KeyError(deep_local)

    def outer() -> None:
        top_local = 2
        try:
            inner()
        except KeyError as error:
            raise ValueError(top_local) from error

    with pytest.raises(ValueError) as caught:
        outer()
    first, second = recorder.capture(caught.value)["$exception_list"]
    assert first["stacktrace"]["frames"][-1]["code_variables"]["top_local"] == 2
    last = second["stacktrace"]["frames"][-1]
    assert last["function"] == "inner"
    assert last["code_variables"]["deep_local"] == 1
    assert "top_local" not in last["code_variables"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="needs Python 3.11")
def test_groups_are_trees(recorder: Recorder) -> None:
    """Members hang on their group in order; a member's cause comes right after it."""
    cause = raised(OSError(2, "gone"))
    try:
        raise KeyError("a") from cause
    except KeyError as error:
        member = error
    inner = ExceptionGroup("inner", [ValueError("b")])  # noqa: F821
    group = raised(ExceptionGroup("outer", [member, inner]))  # noqa: F821
    properties = recorder.capture(group)
    assert entries(properties) == [
        ("ExceptionGroup", "outer (2 sub-exceptions)", None, None),
        ("KeyError", "'a'", 0, "member"),
        ("FileNotFoundError", "[Errno 2] gone", 1, "cause"),
        ("ExceptionGroup", "inner (1 sub-exception)", 0, "member"),
        ("ValueError", "b", 3, "member"),
    ]
    mechanisms = [entry["mechanism"] for entry in properties["$exception_list"]]
    assert [one["exception_id"] for one in mechanisms] == [0, 1, 2, 3, 4]
    assert all(one["type"] == "chained" for one in mechanisms[1:])
    assert mechanisms[0]["is_exception_group"] is mechanisms[3]["is_exception_group"] is True
    assert mechanisms[2]["meta"] == {"errno": {"number": 2}}
    assert "handled" not in mechanisms[1]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="needs Python 3.11")
def test_a_thousand_members_arrive_as_fifty(recorder: Recorder) -> None:
    """The list is capped, and the event says how many are missing."""
    group = raised(ExceptionGroup("many", [ValueError(str(n)) for n in range(1000)]))  # noqa: F821
    properties = recorder.capture(group)
    assert len(properties["$exception_list"]) == 50
    assert properties["phtrack"]["omitted_exceptions"] == 951


def test_a_deep_chain_is_capped_and_a_cycle_ends(recorder: Recorder) -> None:
    """60 causes give 50 entries; an exception that causes itself appears once."""
    assert len(recorder.capture(chained(60))["$exception_list"]) == 50
    assert len(recorder.capture(chained(5_000))["$exception_list"]) == 50
    a, b = ValueError("a"), ValueError("b")
    a.__cause__, b.__cause__ = b, a
    assert entries(recorder.capture(raised(a)))[:2] == [
        ("ValueError", "a", None, None),
        ("ValueError", "b", 0, "cause"),
    ]


def test_the_chain_is_what_python_prints(recorder: Recorder) -> None:
    """Types, texts and lines of every link agree with `traceback.TracebackException`."""
    try:
        try:
            try:
                int("x")
            except ValueError as error:
                raise KeyError("second") from error
        except KeyError:
            raise LookupError("third")
    except LookupError as caught:
        judge: traceback.TracebackException | None = traceback.TracebackException.from_exception(caught)
        listed = recorder.capture(caught)["$exception_list"]
    for entry in listed:
        assert judge is not None
        assert entry["type"] == next(judge.format_exception_only()).partition(":")[0]
        assert entry["value"] == str(judge)
        frames = entry["stacktrace"]["frames"]
        assert [(one["abs_path"], one["lineno"], one["function"]) for one in frames] == [
            (one.filename, one.lineno, one.name) for one in judge.stack
        ]
        assert [one["context_line"].strip() for one in frames] == [one.line for one in judge.stack]
        judge = judge.__cause__ or (None if judge.__suppress_context__ else judge.__context__)
    assert judge is None


@pytest.mark.skipif(sys.version_info < (3, 11), reason="needs Python 3.11")
def test_notes_stand_below_the_text(recorder: Recorder) -> None:
    """What `add_note` said is part of the value, each on its own line."""
    error = ValueError("boom")
    error.add_note("while paying")
    error.add_note("order 7")
    assert recorder.capture(raised(error))["$exception_message"] == "boom\nwhile paying\norder 7"


def test_a_long_text_is_cut(recorder: Recorder) -> None:
    """Fifty megabytes of message are ten thousand characters on the wire."""
    value = recorder.capture(raised(ValueError("x y " * 12_500_000)))["$exception_list"][0]["value"]
    assert len(value) == 10_000
    assert value.endswith("...")


def test_a_message_attribute_is_the_text(recorder: Recorder) -> None:
    """A truthy text named `message` or `detail` wins over `str`; a property of that name is not run."""

    class Api(Exception):
        def __init__(self) -> None:
            super().__init__("args")
            self.detail = "what the API said"

    class Lying(Exception):
        @property
        def message(self) -> str:
            raise AssertionError("a property ran")

    assert recorder.capture(raised(Api()))["$exception_message"] == "what the API said"
    assert recorder.capture(raised(Lying("plain")))["$exception_message"] == "plain"


# --- inputs ------------------------------------------------------------------------------------------------------------


def test_the_exception_being_handled_is_the_default(recorder: Recorder) -> None:
    """Inside `except`, no argument is needed; outside, there is nothing to capture."""
    try:
        raise KeyError("x")
    except KeyError:
        assert recorder.capture()["$exception_type"] == "KeyError"
    assert recorder.client.capture_exception() is None


def test_an_exc_info_tuple(recorder: Recorder) -> None:
    """The tuple's own traceback is used."""
    try:
        raise KeyError("x")
    except KeyError:
        info = sys.exc_info()
    assert (
        recorder.capture(info)["$exception_list"][0]["stacktrace"]["frames"][-1]["function"]
        == sys._getframe().f_code.co_name
    )
    assert recorder.client.capture_exception((None, None, None)) is None


def test_a_never_raised_exception_has_the_callers_stack(recorder: Recorder) -> None:
    """The stack ends at the capture, without phtrack's own frames, and the object is not touched."""
    error = ValueError("never raised")
    entry = recorder.capture(error)["$exception_list"][0]
    assert entry["mechanism"]["synthetic"] is True
    frames = entry["stacktrace"]["frames"]
    assert frames[-2]["function"] == sys._getframe().f_code.co_name
    assert error.__traceback__ is None


@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        ("it broke", "str", "it broke"),
        ({"a": 1}, "dict", "{'a': 1}"),
        (7, "int", "7"),
        (ValueError, "ValueError", "ValueError"),
    ],
)
def test_anything_can_be_captured(recorder: Recorder, given: Any, kind: str, text: str) -> None:
    """A value that is no exception becomes an entry of its type, with the current stack."""
    entry = recorder.capture(given)["$exception_list"][0]
    assert (entry["type"], entry["value"]) == (kind, text)
    assert entry["mechanism"]["synthetic"] is True
    assert entry["stacktrace"]["frames"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_asked_for_explicitly_everything_is_captured(recorder: Recorder, kind: type[BaseException]) -> None:
    """What hooks leave alone can still be captured by hand."""
    assert recorder.capture(raised(kind("stop")))["$exception_type"] == kind.__name__


# --- the caller's say --------------------------------------------------------------------------------------------------


def test_reserved_properties_cant_be_set(recorder: Recorder) -> None:
    """What phtrack or the server owns is ignored among the caller's properties; the rest goes along."""
    properties = recorder.capture(
        raised(ValueError("x")),
        properties={
            "$exception_list": [],
            "$exception_level": "fatal",
            "$exception_issue_id": "1",
            "$exception_fingerprint": "mine",
            "cart": 3,
        },
    )
    assert properties["$exception_list"][0]["type"] == "ValueError"
    assert properties["$exception_level"] == "error"
    assert "$exception_issue_id" not in properties
    assert properties["$exception_fingerprint"] == "mine"
    assert properties["cart"] == 3


def test_typed_overrides(recorder: Recorder) -> None:
    """Valid ones apply; an invalid one is ignored alone."""
    error = raised(ValueError("x"))
    properties = recorder.capture(error, level="WARN", handled=False, source="my.job", mechanism_type="task")
    assert properties["$exception_level"] == "warning"
    assert properties["$exception_source"] == "my.job"
    mechanism = properties["$exception_list"][0]["mechanism"]
    assert (mechanism["type"], mechanism["handled"]) == ("task", False)
    again = recorder.capture(raised(ValueError("y")), level="loud", handled="no", source="", mechanism_type=5)
    assert again["$exception_level"] == "error"
    assert "$exception_source" not in again
    assert again["$exception_list"][0]["mechanism"]["type"] == "generic"


def test_fingerprints_can_be_chosen(make: Make) -> None:
    """Argument, property, context, class, and the option's function, in this order; a list is one key."""

    class Odd(Exception):
        __fingerprint__ = "from-class"

    recorder = make(fingerprinting=lambda event: "from-option" if event["$exception_type"] == "KeyError" else None)
    assert recorder.capture(raised(KeyError("x")))["$exception_fingerprint"] == "from-option"
    assert recorder.capture(raised(Odd()))["$exception_fingerprint"] == "from-class"
    assert recorder.capture(raised(ValueError()))["$exception_fingerprint"].startswith("v1:")
    with phtrack.new_context():
        phtrack.set_context_fingerprint("from-context")
        assert recorder.capture(raised(Odd()))["$exception_fingerprint"] == "from-context"
        assert recorder.capture(raised(ValueError()), fingerprint="mine")["$exception_fingerprint"] == "mine"
    listed = recorder.capture(raised(ValueError()), fingerprint=["a", "b"])
    assert 0 < len(listed["$exception_fingerprint"]) <= 64
    assert listed["phtrack"]["fingerprint"]["rule"] == "explicit"


@pytest.mark.parametrize("chosen", [" ", "", [], [""], 5, b"x", {"a"}, object()])
def test_a_fingerprint_that_is_none_leaves_it_to_the_recipe(make: Make, chosen: Any) -> None:
    """As an argument, and as the answer of the option's function: never at the cost of the event."""
    recorder = make(fingerprinting=lambda event: chosen if event["$exception_type"] == "KeyError" else None)
    assert recorder.capture(raised(KeyError("x")))["$exception_fingerprint"].startswith("v1:")
    assert recorder.capture(raised(ValueError()), fingerprint=chosen)["$exception_fingerprint"].startswith("v1:")


@pytest.mark.parametrize("hooks", [None, lambda event: event], ids=["behind the door", "on the caller's thread"])
def test_a_failing_fingerprint_function_costs_no_event(make: Make, hooks: Any) -> None:
    """It is told once, and the recipe decides."""
    recorder = make(fingerprinting=lambda event: event["no such key"], before_send=hooks)
    assert recorder.capture(raised(KeyError("x")))["$exception_fingerprint"].startswith("v1:")


def test_numbers_may_be_parts_of_a_fingerprint(make: Make) -> None:
    """A list such as ["http", 404] is one key."""
    assert (
        make(fingerprinting=lambda event: ["http", 404]).capture(raised(KeyError()))["$exception_fingerprint"]
        == "http/404"
    )


def test_an_internal_error_leaves_type_and_message(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should rendering ever fail, the event says so and arrives, without secrets."""
    from phtrack import _guard
    from phtrack.errors import report

    def broken(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(_guard, "STRICT", False)
    monkeypatch.setattr(report, "_object", broken)
    properties = make().capture(raised(ValueError("password=hunter2")))
    assert properties["$exception_list"][0]["type"] == "ValueError"
    assert properties["$exception_message"].startswith("password=$$")
    assert properties["phtrack"]["given_up"] == ["all but type and message: internal error"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="needs Python 3.11")
def test_a_group_of_a_thousand_is_the_issue_of_a_group_of_two(recorder: Recorder) -> None:
    """How many members there are, and which of them come without their cause since the list is full, says nothing."""

    def member(number: int) -> Exception:
        try:
            try:
                int(f"x{number}")
            except ValueError as error:
                raise KeyError(number) from error
        except KeyError as error:
            return error

    def fingerprint(count: int) -> Any:
        group = ExceptionGroup("many", [member(n) for n in range(count)])  # noqa: F821
        return recorder.capture(raised(group))["$exception_fingerprint"]

    assert len({fingerprint(count) for count in (1, 2, 24, 25, 26, 1000)}) == 1


def test_grouping_can_be_left_to_the_server(make: Make) -> None:
    """`fingerprinting="server"` sends none of ours."""
    assert "$exception_fingerprint" not in make(fingerprinting="server").capture(raised(ValueError()))


def test_values_can_be_turned_off(make: Make) -> None:
    """By option for all, by context for a part."""
    assert "code_variables" not in str(make(capture_exception_code_variables=False).capture(raised(ValueError())))
    recorder = make()
    with phtrack.new_context():
        phtrack.set_capture_exception_code_variables_context(False)
        assert "code_variables" not in str(recorder.capture(raised(ValueError())))
    assert "code_variables" in str(recorder.capture(raised(ValueError())))


def test_flags_that_were_read_are_on_the_exception(recorder: Recorder) -> None:
    """The values a request was served under explain its errors."""
    from phtrack import context

    with recorder.client.new_context():
        context.note_flag_read("checkout", "blue")
        context.note_flag_read("beta", False)
        properties = recorder.capture(raised(ValueError()))
    assert properties["$feature/checkout"] == "blue"
    assert properties["$feature/beta"] is False
    assert properties["$active_feature_flags"] == ["checkout"]
    assert [step["$message"] for step in properties["$exception_steps"]] == ["flag checkout", "flag beta"]


# --- size --------------------------------------------------------------------------------------------------------------


def test_a_recursion_error_arrives_small_and_folded(recorder: Recorder) -> None:
    """A thousand frames of one function are a few, with a count."""

    def down(n: int) -> int:
        return down(n + 1)

    with pytest.raises(RecursionError) as caught:
        down(0)
    frames = recorder.capture(caught.value)["$exception_list"][0]["stacktrace"]["frames"]
    assert len(frames) < 20
    folded = [frame["phtrack"] for frame in frames if "repeats" in frame["phtrack"]]
    assert folded[0]["cycle"] == 1
    assert folded[0]["repeats"] > 500


def test_a_ten_thousand_frame_stack_is_cut_in_the_middle(recorder: Recorder) -> None:
    """First and last frames stay, and the gap says how many are gone."""
    names = {}
    for n in range(300):
        exec(f"def f{n}(k):\n    return f{n + 1}(k)", names)  # noqa: S102
    names["f300"] = lambda k: k / 0
    with pytest.raises(ZeroDivisionError) as caught:
        names["f0"](1)
    frames = recorder.capture(caught.value)["$exception_list"][0]["stacktrace"]["frames"]
    assert len(frames) == 100
    assert frames[25]["function"] == "f226"
    assert frames[-1]["function"] == "<lambda>"
    assert sum(frame.get("phtrack", {}).get("omitted", 0) for frame in frames) == 202


def test_what_is_too_large_is_shrunk_and_says_so(recorder: Recorder) -> None:
    """A huge property gives way before the exception does."""
    properties = recorder.capture(raised(ValueError("x")), properties={"big": "z" * 2_000_000, "small": 1})
    assert properties["$exception_list"][0]["type"] == "ValueError"
    assert properties["small"] == 1
    assert "left out" in properties["big"]


def test_a_huge_local_arrives_small(recorder: Recorder) -> None:
    """Fifty megabytes in a variable cost neither the event nor its size."""

    def work() -> None:
        big = "x" * 50_000_000
        raise ValueError(len(big))

    with pytest.raises(ValueError) as caught:
        work()
    assert recorder.capture(caught.value)["$exception_list"][0]["stacktrace"]["frames"][-1]["function"] == "work"
    assert recorder.transport.batches[-1].envelopes[0].size < 50_000


def test_shrinking_follows_the_ladder(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ever less room ever more is given up, and type, message and crash frames stay to the last."""
    from phtrack.errors import capture

    told: list[int] = []
    for limit in (900_000, 12_000, 9_000, 6_000, 4_000):
        monkeypatch.setattr(capture, "MAX_EVENT_BYTES", limit)
        properties = recorder.capture(chained(20))
        given_up = properties["phtrack"].get("given_up", [])
        told.append(len(given_up))
        assert properties["$exception_list"][0]["value"] == "19"
        assert properties["$exception_list"][0]["stacktrace"]["frames"]
    assert told == sorted(told)
    assert told[0] == 0 < told[1]
    assert recorder.client.stats()["counters"]["shrunk"] == 4


# --- secrets -----------------------------------------------------------------------------------------------------------


PASSWORD = "hunter2-" + "s3cret"


def test_secrets_leave_through_no_channel(recorder: Recorder) -> None:
    """Values, messages, source, statements, steps and notes are scrubbed, and the event says by which rules."""

    def connect(password: str) -> None:
        token = "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc"
        raise ValueError(f"could not log in with password={PASSWORD} and {token}")

    with recorder.client.new_context():
        phtrack.step("connecting", password=PASSWORD, url=f"postgres://ann:{PASSWORD}@db/x")
        try:
            connect(password=PASSWORD)
        except ValueError as error:
            properties = recorder.capture(error)
    text = str(recorder.transport.events)
    assert PASSWORD not in text
    assert "4eC39HqLyjWDarjtT1zdp7dc" not in text.replace('"4eC39HqLyjWDarjtT1zdp7dc"', "")
    assert {"name:password", "url_credentials"} <= set(properties["phtrack"]["scrubbed"]), (
        "the rule that hid part of a step, too"
    )


def test_a_log_record_brings_no_secret_along(recorder: Recorder) -> None:
    """Its text and its extras are scrubbed, whatever the options."""
    log = logging.getLogger("test.secrets")
    handler = phtrack.PosthogLoggingHandler(client=recorder.client)
    log.addHandler(handler)
    try:
        raise ValueError("x")
    except ValueError:
        log.exception("no login, password=%s", PASSWORD, extra={"api_token": PASSWORD, "attempt": 3})
    finally:
        log.removeHandler(handler)
    properties = recorder.one()
    assert PASSWORD not in str(properties)
    assert properties["$log_message"].startswith("no login, password=$$")
    assert properties["attempt"] == 3
    assert "name:password" in properties["phtrack"]["scrubbed"]


@pytest.mark.parametrize("hooks", [None, lambda event: event], ids=["behind the door", "on the caller's thread"])
def test_properties_are_scrubbed_when_asked(make: Make, hooks: Any) -> None:
    """Of all events, with the tags; not without being asked, since the caller wrote them on purpose."""
    given = {"password": PASSWORD, "cart": [{"note": f"token={PASSWORD}"}], "$feature/token-login": "control", "n": 1}
    for asked in (True, False):
        recorder = make(scrub_events=asked, before_send=hooks)
        with recorder.client.new_context():
            phtrack.tag("db_url", f"postgres://ann:{PASSWORD}@db/x")
            exception = recorder.capture(raised(ValueError("x")), properties=given)
            recorder.client.capture("paid", distinct_id="ann", properties={**given, "when": datetime.date(2026, 3, 1)})
            recorder.client.set(distinct_id="ann", properties={"password": PASSWORD})
        paid, person = recorder.events()[-2:]
        for found in (exception, paid, person):
            assert (PASSWORD in str(found)) is not asked
        for properties in (exception, paid["properties"]):
            assert (properties["n"], properties["$feature/token-login"]) == (1, "control")
        assert paid["properties"]["when"] == "2026-03-01"
        assert ("name:password" in exception["phtrack"].get("scrubbed", ())) is asked


def test_a_secret_in_a_literal_over_several_lines_is_hidden(recorder: Recorder, tmp_path: Any) -> None:
    """The lines of a key in the source around the crash are looked at together."""
    key = "-----BEGIN PRIVATE KEY-----\nMIIBVgIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----"
    script = tmp_path / "keyed.py"
    script.write_text(f'KEY = """{key}"""\ndef go():\n    1 / 0\n')
    namespace: dict[str, Any] = {"__name__": "keyed", "__file__": str(script)}
    exec(compile(script.read_text(), str(script), "exec"), namespace)
    try:
        namespace["go"]()
    except ZeroDivisionError as error:
        frame = recorder.capture(error)["$exception_list"][0]["stacktrace"]["frames"][-1]
    assert "1 / 0" in frame["context_line"]
    assert "MIIBVgIBADANBgkq" not in str(frame)
    assert len(frame["pre_context"]) == 5
