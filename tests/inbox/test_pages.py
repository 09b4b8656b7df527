"""The pages as a person and a browser see them, over real HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.inbox import events as make
from tests.inbox.conftest import Http

MASKED = "$$_posthog_redacted_based_on_masking_rules_$$"


def test_an_empty_inbox_says_how_to_send_a_first_error(http: Http) -> None:
    """One sentence and three lines to copy, with this inbox's own address."""
    text = http.page("/issues").text
    assert "No errors yet" in text
    assert (
        f'import phtrack phtrack.init("local", host="{http.inbox.url}", enable_exception_autocapture=True) 1 / 0'
        in text
    )


def test_the_list_says_what_where_and_how_often(http: Http) -> None:
    """Type, message, culprit, count and tags of each issue, the last seen first, and a mark for what was unhandled."""
    tags = {"$context_tags": ["plan"], "plan": "pro"}
    old = make.exception(make.entry("ValueError", "bad price", make.frame(phtrack={"qualname": "Cart.pay"})), **tags)
    new = make.exception(make.entry("KeyError", "'x'", make.frame("load", 7), handled=False))
    new["timestamp"] = "2025-01-02T00:00:00Z"
    http.send(old, {**old, "uuid": make.exception()["uuid"]}, new)
    page = http.page("/issues")
    first, second = page.text.index("KeyError 'x'"), page.text.index("ValueError bad price")
    assert first < second
    assert "shop.checkout.load:7" in page.text[first:second] and "unhandled error" in page.text[first:second]
    assert "shop.checkout.Cart.pay:88" in page.text[second:] and "plan pro" in page.text[second:]
    assert "2" in page.text[second:].partition("×")[2]
    dots = [attributes["title"] for tag, attributes in page.elements if "dot" in (attributes.get("class") or "")]
    assert dots == ["unhandled error", "handled error"]
    assert len(page.links("/issues/")) == 2


def test_the_issue_says_what_where_and_which_expression(http: Http) -> None:
    """The raised line in its source, the exact expression marked, the values beside it, the facts above."""
    extras = {
        "qualname": "Cart.pay",
        "position": [88, 11, 88, 33],
        "variables": [
            {"name": "order.customer.address", "value": "None", "type": "NoneType"},
            {"name": "items", "value": "[1, 2, …]", "type": "list", "length": 2000, "truncated": True},
            {"name": "token", "redacted": "name: token", "type": "str"},
        ],
    }
    source = "    def pay(self):\n>    city = order.customer.address.city\n        return city"
    event = make.exception(
        make.entry("AttributeError", "no 'city'", make.frame(source=source, phtrack=extras), handled=False),
        **{
            "$exception_source": "flask.got_request_exception",
            "$python_runtime": "CPython",
            "$python_version": "3.13.0",
        },
    )
    page = http.issue_page(event)
    assert page.marked == "order.customer.address"
    assert "AttributeError" in page.text and "no 'city'" in page.text and "in shop.checkout.Cart.pay:88" in page.text
    assert "unhandled error flask.got_request_exception u1 Python 3.13.0" in page.text
    assert "order.customer.address None NoneType" in page.text
    assert "items [1, 2, …] list, length 2,000, cut" in page.text
    assert "token masked (name: token) str" in page.text
    raised = [attributes for tag, attributes in page.elements if tag == "tr" and attributes.get("class") == "raised"]
    assert len(raised) == 1


def test_what_the_throttle_held_back_is_counted(http: Http) -> None:
    """A storm that sent two events shows how often it really happened."""
    held = {"held_back": {"count": 1498, "since": 1735689600.0}}
    fingerprint = {"$exception_fingerprint": "f"}
    http.send(make.exception(**fingerprint), make.exception(phtrack=held, **fingerprint))
    (issue,) = http.inbox.issues()
    assert (issue["count"], issue["held_back"]) == (1500, 1498)
    text = http.page(f"/issues/{issue['id']}").text
    assert "1,500 times (1,498 of them held back by the throttle)" in text
    assert "held back 1,498 more before it, since 202" in text and "2 of 2" in text


def test_code_variables_are_shown_when_there_is_nothing_richer(http: Http) -> None:
    """Events of other SDKs show their values, and the contract's marks in words."""
    variables = {"amount": 12.5, "order": '{"id": 7}', "password": MASKED, "blob": "$$_posthog_value_too_long_$$"}
    text = http.issue_page(make.exception(make.entry("E", "m", make.frame(code_variables=variables)))).text
    assert 'amount 12.5 order {"id": 7} password masked blob not recorded: too long' in text
    assert "Raw JSON" in text and text.count(MASKED) == 1  # in the raw JSON only


def test_the_four_wordings_of_a_chain(http: Http) -> None:
    """`raise … from`, raised while handling, members of a group, and `from None` read differently."""

    def nested(id: int, parent: int, source: str) -> dict[str, Any]:
        return make.entry(f"E{id}", "m", make.frame(), exception_id=id, parent_id=parent, source=source)

    event = make.exception(
        make.entry("E0", "m", make.frame()), nested(1, 0, "cause"), nested(2, 1, "context"), nested(3, 0, "member")
    )
    text = http.issue_page(event).text
    for words in (
        "caused by (raise … from …) E1",
        "raised while handling E2",
        "1 of 1 in E0 E3",
        "1 exception: 1 × E3",
    ):
        assert words in text
    alone = http.page(f"/issues/{_send_other(http)}").text
    assert not any(words in alone for words in ("caused by", "raised while handling", " of 1 in "))


def _send_other(http: Http) -> int:
    http.send(make.exception(make.entry("Alone", "raise … from None", make.frame())))
    return next(int(issue["id"]) for issue in http.inbox.issues() if issue["type"] == "Alone")


def test_library_frames_are_folded_and_the_crash_comes_first(http: Http) -> None:
    """The application's frames are what the developer reads; runs of library frames are one line that opens."""
    frames = [
        make.frame("main", 1), *(make.library_frame() for _ in range(3)), make.frame("view", 2), make.library_frame("psycopg.db"),
    ]  # fmt: skip
    page = http.issue_page(make.exception(make.entry("E", "m", *frames)))
    assert page.text.index("psycopg.db") < page.text.index("view shop") < page.text.index("3 frames in django")
    assert page.text.index("3 frames in django") < page.text.index("main shop")
    folds = [attributes for tag, attributes in page.elements if attributes.get("class") == "fold"]
    assert folds == [{"class": "fold"}]


def test_left_out_and_repeated_frames_are_said(http: Http) -> None:
    """A recursion and a cut in the middle of a long stack read as what they are."""
    frames = [
        make.frame("start"),
        make.frame("f", phtrack={"omitted": 25}),
        make.frame("g", phtrack={"repeats": 331, "cycle": 2}),
    ]
    text = http.issue_page(make.exception(make.entry("RecursionError", "m", *frames))).text
    assert "the next 2 frames repeated 331 more times" in text and "25 frames left out here" in text


def test_steps_tags_properties_and_grouping_are_shown(http: Http) -> None:
    """What happened before, who was concerned, what the application added, and why the event is in this issue."""
    properties = {
        "$exception_fingerprint": "v1:abc",
        "$exception_steps": [
            {"$message": "cart loaded", "$timestamp": "2024-12-31T23:59:57.6Z", "items": 3}, "nonsense", {"$message": "paid"},
        ],
        "$context_tags": ["plan"], "plan": "pro", "cart": {"n": [1, 2]}, "$lib": "phtrack",
        "phtrack": {"fingerprint": {"rule": "site", "parts": ["ValueError", "shop.checkout"]}, "task": "worker-1"},
    }  # fmt: skip
    text = http.issue_page(make.exception(**properties)).text
    assert "Steps before it newest first paid -2.4 s cart loaded items 3" in text
    assert "Tags plan pro" in text and "About this event task worker-1" in text
    assert 'Properties cart {"n": [1, 2]} 1 from the SDK $lib phtrack' in text
    assert "Why grouped fingerprint v1:abc rule site parts ValueError shop.checkout" in text


def test_notes_and_long_messages_are_read_line_by_line(http: Http) -> None:
    """Notes stand on their own lines; a huge message is cut in the headline and whole below it."""
    page = http.issue_page(
        make.exception(make.entry("E", "first\nsecond note\n" + "\n".join(map(str, range(100))) + "the end"))
    )
    assert "first second note 0 1 2 3 4 5 the whole message" in page.text and "99the end" in page.text


def test_a_never_raised_exception_says_so(http: Http) -> None:
    """A stack that is only where the report was made is not mistaken for the place of an error."""
    text = http.issue_page(make.exception(make.entry("str", "m", make.frame(), synthetic=True))).text
    assert "never raised; this is where it was reported" in text


def test_from_none_is_told_from_no_context(http: Http) -> None:
    """The page says where `from None` hides what was being handled, and only there."""
    assert "from None" not in http.issue_page(make.exception()).text
    text = http.issue_page(make.exception(phtrack={"context_hidden": [0]})).text
    assert "Raised while another exception was being handled, which from None hides." in text


def test_who_waited_for_a_task_is_told(http: Http) -> None:
    """Each waiting task stands in one line, with the place in the application; odd data does no harm."""
    frame = {
        "function": "page",
        "filename": "shop.py",
        "lineno": 12,
        "in_app": True,
        "context_line": "  await gather(x)",
    }
    about = {
        "awaited_by": [{"task": "page-1", "frames": [frame, {"function": "lib", "in_app": False}]}, 5],
        "packages": {"a": "1"},
    }
    text = http.issue_page(make.exception(phtrack=about)).text
    assert "page-1 in page (shop.py:12): await gather(x)" in text
    assert "packages a 1" in text


def test_events_of_an_issue_are_walked_in_the_order_they_happened(http: Http) -> None:
    """Older, newer, oldest and newest lead to the right events, whatever the order of arrival."""
    for day in (2, 4, 1, 3):
        event = make.exception(**{"$exception_fingerprint": "f", "day": f"day-{day}"})
        http.send({**event, "timestamp": f"2025-01-0{day}T00:00:00Z"})
    (issue,) = http.inbox.issues()
    page = http.page(f"/issues/{issue['id']}")
    seen = []
    while True:
        seen.append(page.text.partition("Properties day ")[2][:5])
        older = [str(attributes["href"]) for _, attributes in page.elements if attributes.get("rel") == "prev"]
        if not older:
            break
        page = http.page(older[0])
    assert seen == ["day-4", "day-3", "day-2", "day-1"]
    assert "1 of 4" in page.text and "4 times" in page.text
    assert "day-4" in http.page(page.links("/events/")[-2]).text  # "newest", before the link to the JSON


def test_ordinary_events_are_counted_and_listed(http: Http) -> None:
    """They don't disturb the issues, and can be looked at by name, page by page."""
    http.send(
        *(make.ordinary("order placed", n=n) for n in range(150)), make.ordinary("page & viewed"), make.exception()
    )
    page = http.page("/events")
    assert "order placed 150" in page.text and "page & viewed 1" in page.text
    assert len(page.links("/events/")) == 100
    (older,) = page.links("before=")
    assert len(http.page(older).links("/events/")) == 51
    named = http.page(next(link for link in page.links("?name=page")))
    (link,) = named.links("/events/")[:1]
    assert "page & viewed" in http.page(link).text
    assert [issue["count"] for issue in http.inbox.issues()] == [1]


def test_every_page_has_a_json_twin(http: Http) -> None:
    """Scripts read the same facts as people, from the same address with `.json` at its end."""
    event = make.exception(make.entry("ValueError", "bad", make.frame()), **{"$exception_fingerprint": "f"})
    http.send(event, make.ordinary("paid", total=3))
    (issue,) = http.get("/issues.json").json()
    assert issue == {
        "id": issue["id"], "type": "ValueError", "message": "bad", "culprit": "shop.checkout.pay:88", "count": 1, "held_back": 0,
        "first_seen": "2025-01-01T00:00:00+00:00", "last_seen": "2025-01-01T00:00:00+00:00", "level": "error",
        "handled": True, "fingerprint": "f", "tags": {},
    }  # fmt: skip
    twin = http.get(f"/issues/{issue['id']}.json").json()
    assert twin["event"]["body"] == event and (twin["older_event"], twin["newer_event"]) == (None, None)
    assert http.get(f"/issues/{issue['id']}/events/{twin['event']['id']}.json").json() == twin
    (listed,) = http.get("/events.json").json()
    assert listed["name"] == "paid" and listed["body"]["properties"] == {"total": 3}
    assert http.get(f"/events/{listed['id']}.json").json() == listed


def test_the_revision_grows_with_every_change(http: Http) -> None:
    """What an open page asks to learn whether it is out of date."""
    before = http.get("/revision.json").json()["revision"]
    http.send(make.exception())
    assert http.get("/revision.json").json()["revision"] > before


HOSTILE = {
    "script": "<script>alert(1)</script><img src=x onerror=alert(2)>",
    "attribute": "\" onmouseover='alert(1)' x=\"",
    "template": "{{ 7*7 }}{% raw %}${7*7}",
    "surrogate": "\ud800 and \udfff",
    "controls": "\x00\x1b[31m\u202eright-to-left\u2066",
    "long line": "y" * 40_000,
    "link": "javascript:alert(1)",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_is_only_text(http: Http, text: str) -> None:
    """Wherever an event carries text, the page shows it, and nothing of it runs, loads or hides the rest."""
    extras = {
        "qualname": text,
        "variables": [{"name": text, "value": text, "type": text, "redacted": text}],
        "statement": text,
    }
    entry = make.entry(
        text, text, make.frame(text, 3, text.replace("\n", " "), filename=text, module=text, phtrack=extras)
    )
    entry["module"] = text
    properties = {
        "$exception_level": text, "$exception_source": text, "$exception_fingerprint": text, text: text, "phtrack": {text: text},
        "$context_tags": [text, "tag"], "tag": text, "$exception_steps": [{"$message": text, text: text}], "environment": text,
    }  # fmt: skip
    event = {**make.exception(entry, **properties), "distinct_id": text}
    http.send(event, {**make.ordinary(text, **{text: text}), "distinct_id": text})
    (issue,) = http.get("/issues.json").json()
    shown = "".join(
        http.page(path).text
        for path in ("/issues", f"/issues/{issue['id']}", "/events", http.page("/events").links("/events/")[0])
    )
    if text == HOSTILE["surrogate"]:
        assert r"\ud800 and \udfff" in shown
    elif text == HOSTILE["controls"]:
        assert r"\x1b[31m\u202eright-to-left\u2066" in shown and "\u202e" not in shown
    elif len(text) < 1000:
        assert " ".join(text.split()) in shown
    for path in (f"/issues/{issue['id']}.json", "/events.json"):
        json.loads(http.get(path).content)


ODD = [None, -7.5, True, "", [], {}, [None, []], {"a": [7]}]


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_any_malformed_event_arrives_and_is_shown(http: Http, value: Any) -> None:
    """With any JSON in the place of any field, the event is stored, listed, and has a page."""
    event = make.exception(
        make.entry("E", "m", make.frame(phtrack={"position": [88, 0, 88, 3]}, code_variables={"a": 1})),
        **{"$exception_steps": [{"$message": "m"}], "$context_tags": ["t"], "t": "v", "$exception_fingerprint": "f"},
    )
    entry = event["properties"]["$exception_list"][0]
    frame = entry["stacktrace"]["frames"][0]
    frames = [{**frame, name: value} for name in frame]
    frames += [
        {**frame, "phtrack": {name: value}}
        for name in ("variables", "position", "statement", "repeats", "cycle", "omitted")
    ]
    frames += [
        {**frame, "phtrack": {"variables": [{name: value}]}} for name in ("name", "value", "type", "length", "redacted")
    ]
    entries = [{**entry, name: value} for name in entry]
    entries += [{**entry, "mechanism": {name: value}} for name in entry["mechanism"]]
    entries += [{**entry, "stacktrace": {"frames": value}}, {**entry, "stacktrace": {"frames": [*frames, value]}}]
    events = [{**event, name: value} for name in event if name not in ("event", "uuid")]
    events += [{**event, "properties": {**event["properties"], name: value}} for name in event["properties"]]
    events += [
        {**event, "properties": {"$exception_list": [*entries, value]}},
        {"event": "$exception", "properties": value},
    ]
    batch = [{**each, "uuid": make.exception()["uuid"]} for each in events]
    http.send(*batch, value, {**event, "uuid": value}, {**event, "event": value})
    stored = [row["id"] for row in http.get("/issues.json").json()]
    assert stored
    http.page("/issues")
    http.page("/events")
    count = 0
    for id in stored:
        page = http.page(f"/issues/{id}")
        while True:
            count += 1
            older = [str(attributes["href"]) for _, attributes in page.elements if attributes.get("rel") == "prev"]
            if not older:
                break
            page = http.page(older[0])
    assert count == len(batch) + 1


def test_a_huge_stack_is_still_a_page(http: Http) -> None:
    """A dozen exceptions of eighty frames with values: from all the innermost frames are shown, the rest is counted."""
    values = {f"v{n}": n for n in range(10)}
    frames = [make.frame(f"f{n}", n + 1, "a\n>b\nc", code_variables=values) for n in range(80)]
    entries = [make.entry(f"E{n}", "m", *frames, exception_id=n, parent_id=n - 1, source="cause") for n in range(12)]
    page = http.issue_page(make.exception(*entries))
    shown = [attributes for tag, attributes in page.elements if attributes.get("class") == "frame"]
    assert len(shown) == 600 + 4 * 5
    assert page.text.count("… 75 more frames, in the raw JSON") == 4
