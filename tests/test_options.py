"""Wrong use is told at once, with the value in the message; right use ends up in its group."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from phtrack import options
from phtrack.options import Options, resolve

WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    # who and where
    ({"project_api_key": 42}, TypeError, "project_api_key must be a str or None, got int"),
    ({"project_api_key": b"phc_x"}, TypeError, "got bytes"),
    ({"host": "us.i.posthog.com"}, ValueError, "got 'us.i.posthog.com'"),
    ({"host": "ftp://example.com"}, ValueError, "http:// or https:// address, without query, got 'ftp://example.com'"),
    ({"host": "http://"}, ValueError, "got 'http://'"),
    ({"host": "http://example.com:eighty"}, ValueError, "got 'http://example.com:eighty'"),
    ({"host": "http://example.com:99999"}, ValueError, "got 'http://example.com:99999'"),
    ({"host": "http://[::1"}, ValueError, "got 'http://[::1'"),
    ({"host": "http://exa mple.com"}, ValueError, "got 'http://exa mple.com'"),
    ({"host": "http://example.com/?a=b"}, ValueError, "without query, got 'http://example.com/?a=b'"),
    ({"host": 8000}, TypeError, "host must be a str or None, got int 8000"),
    ({"disabled": "no"}, TypeError, "disabled must be True or False, got 'no'"),
    ({"debug": 1}, TypeError, "debug must be True or False, got 1"),
    ({"integrations": "all"}, ValueError, "got 'all'"),
    ({"integrations": 3}, TypeError, "got 3"),
    ({"integrations": ["flask", 3]}, TypeError, "got ['flask', 3]"),
    # events
    ({"super_properties": ["a"]}, TypeError, "super_properties must be a dict or None, got ['a']"),
    ({"before_send": "scrub"}, TypeError, "got 'scrub'"),
    ({"before_send": [print, 7]}, TypeError, "got [<built-in function print>, 7]"),
    ({"release": 14}, TypeError, "release must be a str or None, got int 14"),
    # delivery
    ({"flush_at": 0}, ValueError, "flush_at must be 1 or more, got 0"),
    ({"flush_at": -5}, ValueError, "got -5"),
    ({"flush_at": "100"}, TypeError, "flush_at must be a whole number, got '100'"),
    ({"flush_at": 10.0}, TypeError, "got 10.0"),
    ({"flush_at": True}, TypeError, "got True"),
    ({"flush_interval": 0}, ValueError, "flush_interval must be above 0, got 0"),
    ({"flush_interval": -1.5}, ValueError, "got -1.5"),
    ({"flush_interval": "5s"}, TypeError, "got '5s'"),
    ({"flush_interval": float("nan")}, TypeError, "got nan"),
    ({"flush_interval": float("inf")}, ValueError, "flush_interval must be 1000000000 or less, got inf"),
    ({"timeout": None}, TypeError, "timeout must be a number, got None"),
    ({"max_queue_size": 0}, ValueError, "max_queue_size must be 1 or more, got 0"),
    ({"max_retries": -1}, ValueError, "max_retries must be 0 or more, got -1"),
    ({"thread": 0}, ValueError, "thread must be 1 or more, got 0"),
    ({"overflow": "drop"}, ValueError, "'drop_newest', 'drop_oldest', 'block', got 'drop'"),
    ({"overflow": ["block"]}, TypeError, "got ['block']"),
    ({"spool": "always"}, ValueError, "spool='always' needs spool_dir="),
    ({"spool": "often", "spool_dir": "x"}, ValueError, "got 'often'"),
    ({"spool_dir": 7}, TypeError, "spool_dir must be a path or None, got 7"),
    ({"on_error": "log"}, TypeError, "on_error must be callable or None, got 'log'"),
    ({"proxies": "http://proxy"}, TypeError, "proxies must be a dict or None, got 'http://proxy'"),
    ({"verify": None}, TypeError, "got None"),
    ({"capture_mode": "v2"}, ValueError, "got 'v2'"),
    ({"capture_mode": 1}, TypeError, "got 1"),
    ({"capture_compression": "lzma"}, ValueError, "got 'lzma'"),
    # errors
    ({"max_frames": 1}, ValueError, "max_frames must be 2 or more, got 1"),
    ({"fingerprinting": "clients"}, ValueError, "or a callable, got 'clients'"),
    ({"fingerprinting": None}, TypeError, "got None"),
    ({"exception_throttle": 0}, ValueError, "exception_throttle must be True, False or a number above 0, got 0"),
    ({"exception_throttle": "off"}, TypeError, "got 'off'"),
    ({"in_app_modules": "shop"}, TypeError, "in_app_modules must be a list of str or None, got 'shop'"),
    ({"in_app_modules": ["shop", None]}, TypeError, "got ['shop', None]"),
    ({"project_root": 1}, TypeError, "project_root must be a path or None, got 1"),
    ({"exception_autocapture_bucket_size": 101}, ValueError, "0 to 100, got 101"),
    # values
    ({"code_variables_mask_patterns": ["pass", "(unclosed"]}, ValueError, "holds '(unclosed', which is no regular expression"),
    ({"code_variables_mask_patterns": "password"}, TypeError, "got 'password'"),
    ({"code_variables_detect_secrets": "yes"}, TypeError, "got 'yes'"),
    ({"code_variables_time_ms": -1}, ValueError, "got -1"),
    # flags
    ({"poll_interval": 0}, ValueError, "poll_interval must be above 0, got 0"),
    ({"feature_flags_request_max_retries": 1.5}, TypeError, "got 1.5"),
    ({"flag_fallback_cache_url": 1}, TypeError, "got int 1"),
    # names
    ({"flush_att": 10}, TypeError, "unknown option flush_att=10; did you mean flush_at?"),
    ({"zzz": None}, TypeError, "unknown option zzz=None"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "kind", "message"), WRONG, ids=[f"{next(iter(one[0].items()))}" for one in WRONG])
def test_wrong_use_is_told_at_once(given: dict[str, Any], kind: type[Exception], message: str) -> None:
    """A mistake raises when the client is made, and the text says which option and what was given."""
    with pytest.raises(kind) as caught:
        resolve(**{"project_api_key": "k", **given})
    assert message in str(caught.value)
    assert type(caught.value) is kind


def test_keys_are_never_shown() -> None:
    """A key of the wrong type may still be a key: the message names its type, not its content."""
    with pytest.raises(TypeError) as caught:
        resolve(b"phc_secret", secret_key=None)
    assert "phc_secret" not in str(caught.value)
    with pytest.raises(TypeError) as caught:
        resolve("k", personal_api_key=["phx_secret"])
    assert "phx_secret" not in str(caught.value)


def test_an_unknown_key_like_option_hides_its_value() -> None:
    """A misspelt key option is told without the key."""
    with pytest.raises(TypeError) as caught:
        resolve("k", secrt_key="phx_secret")
    assert "secrt_key" in str(caught.value) and "did you mean secret_key?" in str(caught.value)
    assert "phx_secret" not in str(caught.value)


def test_credentials_in_an_address_are_not_shown() -> None:
    """The message about a bad host doesn't repeat the password in it."""
    with pytest.raises(ValueError, match="host must be") as caught:
        resolve("k", "ftp://me:hunter2@example.com")
    assert "hunter2" not in str(caught.value) and "example.com" in str(caught.value)
    with pytest.raises(TypeError, match="proxies must be") as other:
        resolve("k", proxies="http://me:hunter2@proxy:3128")
    assert "hunter2" not in str(other.value) and "proxy:3128" in str(other.value)


def test_an_option_given_twice() -> None:
    """By position and by name at once is a mistake, whatever the values."""
    with pytest.raises(TypeError, match="'debug' was given twice: True and False"):
        resolve("k", None, True, debug=False)
    with pytest.raises(TypeError, match="positional"):
        resolve("k", None, *range(18))


def test_two_keys() -> None:
    """`api_key` is an alias of `project_api_key`; two different ones are a mistake."""
    with pytest.raises(TypeError, match="given twice, as project_api_key and as api_key"):
        resolve(project_api_key="a", api_key="b")
    assert resolve(project_api_key="a", api_key="a").project.api_key == "a"
    assert resolve(api_key="b").project.api_key == "b"


def test_every_option_has_a_default_that_passes_its_own_check() -> None:
    """A client with a key and nothing else starts."""
    assert resolve("k") == Options(project=options.ProjectOptions(project_api_key="k"))


def test_options_reach_their_groups() -> None:
    """Each flat name ends up in the one group that has it."""
    made = resolve("k", "https://eu.posthog.com/", True, 500, flush_at=7, poll_interval=10, max_frames=50, release="1")
    assert (made.project.api_key, made.project.debug, made.delivery.max_queue_size) == ("k", True, 500)
    assert (made.delivery.flush_at, made.flags.poll_interval, made.errors.max_frames) == (7, 10, 50)
    assert made.events.release == "1"


@pytest.mark.parametrize(
    ("host", "ingestion", "app"),
    [
        (None, "https://us.i.posthog.com", "https://us.posthog.com"),
        ("  ", "https://us.i.posthog.com", "https://us.posthog.com"),
        ("https://app.posthog.com/", "https://us.i.posthog.com", "https://us.posthog.com"),
        ("https://eu.posthog.com", "https://eu.i.posthog.com", "https://eu.posthog.com"),
        (" http://127.0.0.1:8970/ ", "http://127.0.0.1:8970", "http://127.0.0.1:8970"),
        ("https://example.com/relay/", "https://example.com/relay", "https://example.com/relay"),
        ("HTTP://Example.com", "HTTP://Example.com", "HTTP://Example.com"),
    ],
)
def test_hosts(host: str | None, ingestion: str, app: str) -> None:
    """PostHog's app addresses are mapped to where events go, others are kept with their path."""
    made = resolve("k", host).project
    assert (made.ingestion_host, made.app_host) == (ingestion, app)


@pytest.mark.parametrize("blank", [None, "", "   "])
def test_a_blank_key_is_no_mistake(blank: str | None) -> None:
    """It disables the client; that is the client's business, not a wrong option."""
    assert resolve(blank).project.api_key == ""


def test_posthogs_positional_order() -> None:
    """Code that passes options by position, as `posthog` takes them, means the same here."""
    made = resolve("k", None, True, 10, False, None, 5, 2.0, True, 1, True, 3, 2, 60, "phx", True, False, False, True)
    assert made.project.debug and made.project.disabled and made.project.personal_api_key == "phx"
    assert (made.delivery.max_queue_size, made.delivery.send, made.delivery.flush_at) == (10, False, 5)
    assert (made.delivery.flush_interval, made.delivery.gzip, made.delivery.max_retries) == (2.0, True, 1)
    assert (made.delivery.sync_mode, made.delivery.timeout, made.delivery.thread) == (True, 3, 2)
    assert (made.flags.poll_interval, made.events.disable_geoip, made.events.is_server) == (60, False, False)
    assert made.delivery.historical_migration


class TestProtocol:
    """Argument, then environment, then default; only the argument can be a mistake."""

    @pytest.mark.parametrize("word", ["v1", "V1", " analytics_v1 "])
    def test_argument(self, word: str) -> None:
        """Any spelling of the known words."""
        assert resolve("k", capture_mode=word).delivery.protocol == "v1"

    def test_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Used when there is no argument."""
        monkeypatch.setenv("POSTHOG_CAPTURE_MODE", "v1")
        monkeypatch.setenv("POSTHOG_CAPTURE_COMPRESSION", "deflate")
        made = resolve("k").delivery
        assert (made.protocol, made.compression) == ("v1", "deflate")
        assert resolve("k", capture_mode="v0").delivery.protocol == "v0"

    def test_a_bad_variable_is_said_once_and_ignored(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A deployment with a typo in its environment must still start."""
        monkeypatch.setenv("POSTHOG_CAPTURE_MODE", "v9")
        with caplog.at_level(logging.WARNING, logger="phtrack"):
            assert resolve("k").delivery.protocol == "v0"
            assert resolve("k").delivery.protocol == "v0"
        assert [record.getMessage() for record in caplog.records] == [
            "POSTHOG_CAPTURE_MODE='v9' is none of v0, legacy, v1, analytics_v1; ignored"
        ]

    def test_compression_belongs_to_v1(self) -> None:
        """Protocol v0 knows gzip alone, by its own option."""
        assert resolve("k", capture_compression="deflate").delivery.compression is None
        assert resolve("k", gzip=True).delivery.compression == "gzip"
        assert resolve("k", gzip=True, capture_mode="v1").delivery.compression == "gzip"
        assert resolve("k", capture_mode="v1", capture_compression="none", gzip=True).delivery.compression is None


def test_unserved_options_are_taken_and_said(caplog: pytest.LogCaptureFixture) -> None:
    """Code for `posthog` with options that phtrack has no use for keeps running, and its author is told."""
    with caplog.at_level(logging.WARNING, logger="phtrack"):
        resolve("k", email_request_max_retries=2, migrated_from="x")
    assert [record.getMessage() for record in caplog.records] == [
        "option email_request_max_retries is accepted and has no effect in phtrack yet"
    ]


def test_every_option_is_explained() -> None:
    """Each option has a text below its line, or belongs to a group whose docstring says it for all."""
    import ast
    import inspect

    tree = ast.parse(inspect.getsource(options))
    silent = []
    for group in tree.body:
        if not isinstance(group, ast.ClassDef) or group.name in ("Options", "UnservedOptions"):
            continue
        for node, following in zip(group.body, group.body[1:]):
            if isinstance(node, ast.AnnAssign) and not (
                isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            ):
                silent.append(f"{group.name}.{ast.unparse(node.target)}")
    assert not silent
