"""Decisions by name: whole words for phtrack's own patterns, searches for those of a user."""

from __future__ import annotations

import pytest

from phtrack.options import DEFAULT_IGNORE_PATTERNS, DEFAULT_MASK_PATTERNS
from phtrack.scrub import MARKER, Rules, Scrubber, names, scrubber, text

SECRET = """
password password1 passwords db_password userPassword DBPASS DB_PASS PGPASSWORD passwd pwd MYSQL_PWD passphrase pass user_pass
secret client_secret clientSecret SECRET_KEY secrets secret_id api_key apiKey APIKey apikey x-api-key X-API-KEY api_keys auth
authToken authorization Proxy-Authorization basic_auth http_auth HTTPBasicAuth auth_header oauth auth_code token access_token
refreshToken id_token csrf_token csrfmiddlewaretoken accesstoken tokens api_tokens jwt credentials aws_access_key_id
AWS_SECRET_ACCESS_KEY private_key privatekey sk_live connection_string connectionString conn_str connstr dsn SENTRY_DSN cookie
set-cookie cookies session_token session_key encryption_key ssh_key otp cvv ssn pin_code security_code recovery_codes seed_phrase
password_hash hashed_password confirm_password password_reset_token user.password self._password config.auth bearer code_verifier
passWord pass_word smtppass dbpassword userpwd authtoken senha passwort
""".split()
INNOCENT = """
task_id disk_usage desk_id author authors authority authored keyboard keyboard_key monkey turkey key keys primary_key foreign_key
cache_key sort_key public_key partition_key idempotency_key tokenizer tokenize tokenized secretary max_tokens num_tokens token_count
prompt_tokens completion_tokens total_tokens maxTokens next_token page_token token_type token_url token_expires_at tokens_used bypass
compass passenger passport passed passes password_field password_changed_at password_validators has_password is_secret use_auth
auth_method auth_type auth_backend authenticated cookie_secure cookie_domain first_pass multi_pass boarding_pass id uuid user_id
session_id distinct_id name email path cwd OLDPWD code status_code exit_code signature sig pin link config request response total
secret_name access_level accession encode decoded connect connection conn dsname sk risk_level _private passive compassion crypto
""".split()


@pytest.mark.parametrize("name", SECRET)
def test_a_secret_name_is_hidden(name: str) -> None:
    """One of its words says so, however the name is written, and the rule names that word."""
    rule = scrubber().masks(name)
    assert rule is not None and rule.startswith("name:")


def test_innocent_names_are_shown() -> None:
    """Neither parts of longer words nor names that are merely about a secret are hidden."""
    assert [name for name in INNOCENT if scrubber().masks(name) is not None] == []


@pytest.mark.parametrize("pattern", [one for one in DEFAULT_MASK_PATTERNS if one != r"[?&]sig="])
def test_every_default_pattern_of_the_contract_is_a_secret_name(pattern: str) -> None:
    """Read by words they hide less than as substrings, but each still hides the name it was meant for."""
    name = f"user{pattern}" if pattern.startswith("_") else f"{pattern}live" if pattern.endswith("_") else pattern
    assert scrubber().masks(name) is not None


def test_every_secret_name_has_a_stem() -> None:
    """Text is searched for stems first: a name without one would never be found in a text."""
    assert [name for name in SECRET if not text.has_stem(f"{name.lower()}=")] == []
    every_word = names._STRONG | {"_".join(pair) for pair in names._PAIRS} | {f"{word}_key" for word in names._KEYED}
    assert [word for word in every_word if not text.has_any_stem(word)] == []
    assert [word for word in every_word if not text.has_stem(f"?{word}=")] == []


def test_additions_to_the_defaults_are_searched_and_the_defaults_stay_words() -> None:
    """Who appends to the default list keeps `task_id`, and gets a case-insensitive search for the addition."""
    own = Scrubber(Rules(mask_patterns=(*DEFAULT_MASK_PATTERNS, "iban", r"^cust_\d+$")))
    assert own.masks("userIBANs") == "pattern:iban"
    assert own.masks("cust_12") == r"pattern:^cust_\d+$" and own.masks("cust_x") is None
    assert own.masks("task_id") is None and own.masks("db_password") == "name:password"


def test_a_list_of_ones_own_replaces_the_words() -> None:
    """As in the contract: a search anywhere in the name, and nothing else by name."""
    own = Scrubber(Rules(mask_patterns=("token",)))
    assert own.masks("tokenizer") == "pattern:token"
    assert own.masks("password") is None
    assert own.value({"password": "x", "my_token": "y"}) == {"password": "x", "my_token": MARKER}


def test_a_configured_pattern_hides_values_too() -> None:
    """A value that matches is hidden whole; the rule names the pattern."""
    own = Scrubber(Rules(mask_patterns=(*DEFAULT_MASK_PATTERNS, r"customer-\d+")))
    found: list[str] = []
    assert own.text("order of Customer-17", found) == MARKER
    assert own.value({"note": "customer-9", "n": 1}, found) == {"note": MARKER, "n": 1}
    assert set(found) == {r"pattern:customer-\d+"}
    assert own.text("order of customer x") == "order of customer x"


def test_no_patterns_hide_nothing_by_name() -> None:
    """An empty list is a list: only content is judged."""
    none = Scrubber(Rules(mask_patterns=(), detect_secrets=False, mask_url_credentials=False))
    given = {"password": "x", "url": "postgres://a:b@c/d", "key": "AKIA" + "A" * 16}
    assert none.value(given) == given
    assert none.source('password = "x"') == 'password = "x"'
    assert none.text("password=x") == "password=x"


def test_a_broken_pattern_hides_everything() -> None:
    """Options refuse it; if it comes by another way, nothing is shown rather than the wrong things."""
    assert Scrubber(Rules(mask_patterns=("(",))).masks("anything") == "pattern:("


def test_ignored_names() -> None:
    """Double underscores by default; a configured list replaces that."""
    assert scrubber().ignores("__name__") and not scrubber().ignores("_x")
    assert scrubber().rules.ignore_patterns == tuple(DEFAULT_IGNORE_PATTERNS)
    own = Scrubber(Rules(ignore_patterns=(r"^tmp", r"_cache$")))
    assert own.ignores("tmp1") and own.ignores("x_cache") and not own.ignores("__name__")


def test_one_scrubber_per_rules() -> None:
    """Equal rules share one compiled scrubber, and the number kept is bounded."""
    assert scrubber() is scrubber(Rules()) is scrubber(Rules(mask_patterns=tuple(DEFAULT_MASK_PATTERNS)))
    for i in range(200):
        scrubber(Rules(mask_patterns=(f"x{i}",)))
    from phtrack.scrub import _scrubbers

    assert len(_scrubbers) <= 64


def test_decisions_are_remembered_within_bounds() -> None:
    """A cache of names, not a leak: mapping keys of users pass through here."""
    own = Scrubber()
    for i in range(20_000):
        own.masks(f"name{i}")
        own.ignores(f"name{i}")
    own.masks("x" * 100_000)
    assert len(own._masked) <= 4096 and len(own._ignored) <= 4096
    assert max(map(len, own._masked)) <= 128


def test_names_that_are_texts() -> None:
    """Only the end of an endless name is read, where the noun is."""
    assert scrubber().masks("x " * 100_000 + "password") == "name:password"
    assert scrubber().masks("") is None and scrubber().masks("  ") is None
