"""
Fake secrets where real ones turn up, and innocent texts that look like them.

Every secret is made at run time, so that no scanner of repositories takes one for real. In a template, § stands for the
secret. `PLANTED` must not survive scrubbing; `INNOCENT` must come through unchanged.
"""

from __future__ import annotations

import base64
import json
import random
import string
from dataclasses import dataclass
from typing import Any

LETTERS_DIGITS = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
UPPER_DIGITS = string.ascii_uppercase + string.digits


def made(alphabet: str, n: int, seed: str) -> str:
    """*n* characters of *alphabet*, always the same for one *seed*."""
    source = random.Random(f"{seed}:{n}")
    return "".join(source.choice(alphabet) for _ in range(n))


@dataclass(frozen=True)
class Planted:
    """One secret in its surroundings."""

    channel: str
    """`text`, `value`, `source`, `sql` or `argv`: the method of the scrubber."""
    given: Any
    """What is scrubbed; § is where the secret stands."""
    secret: str
    kept: tuple[str, ...] = ()
    """Parts that a developer needs and that must stay readable."""

    @property
    def filled(self) -> Any:
        """`given` with the secret in its place."""
        return fill(self.given, self.secret)


def fill(given: Any, secret: str) -> Any:
    if isinstance(given, str):
        return given.replace("§", secret)
    if isinstance(given, bytes):
        return given.replace("§".encode(), secret.encode())
    if isinstance(given, dict):
        return {fill(key, secret): fill(one, secret) for key, one in given.items()}
    if isinstance(given, (list, tuple)):
        return type(given)(fill(one, secret) for one in given)
    return given


PW = "hunter2" + "!x"
PLAIN = "sword" + "fish9"

# --- formats: key and token shapes of vendors, alone and in running text --------------------------------------------

JWT = ".".join(
    base64.urlsafe_b64encode(part.encode()).decode().rstrip("=")
    for part in ('{"alg":"HS256","typ":"JWT"}', '{"sub":"1234567890","name":"Jo"}', made(LETTERS_DIGITS, 32, "sig"))
)
PEM_BODY = "\n".join(made(LETTERS_DIGITS + "+/", 64, f"pem{i}") for i in range(4))

VENDORS: dict[str, str] = {
    "anthropic": "sk-" + "ant-api03-" + made(LETTERS_DIGITS, 40, "an"),
    "openai": "sk" + "-" + made(LETTERS_DIGITS, 48, "oa"),
    "openai_project": "sk-" + "proj-" + made(LETTERS_DIGITS + "_-", 60, "oap"),
    "hugging_face": "hf" + "_" + made(LETTERS_DIGITS, 34, "hf"),
    "aws_access_key_id": "AKI" + "A" + made(UPPER_DIGITS, 16, "aws"),
    "aws_session": "ASI" + "A" + made(UPPER_DIGITS, 16, "asia"),
    "google": "AIz" + "a" + made(LETTERS_DIGITS + "_-", 35, "goog"),
    "google_oauth": "ya2" + "9." + made(LETTERS_DIGITS, 60, "ya29"),
    "google_client": "GOC" + "SPX-" + made(LETTERS_DIGITS, 28, "gocs"),
    "digitalocean": "dop" + "_v1_" + made(HEX, 64, "do"),
    "stripe": "sk" + "_live_" + made(LETTERS_DIGITS, 24, "st"),
    "stripe_test": "rk" + "_test_" + made(LETTERS_DIGITS, 24, "rk"),
    "stripe_webhook": "whs" + "ec_" + made(LETTERS_DIGITS, 32, "wh"),
    "square": "sq0" + "atp-" + made(LETTERS_DIGITS, 22, "sq"),
    "github": "gh" + "p_" + made(LETTERS_DIGITS, 36, "gh"),
    "github_server": "gh" + "s_" + made(LETTERS_DIGITS, 36, "ghs"),
    "github_pat": "github" + "_pat_" + made(LETTERS_DIGITS + "_", 70, "ghpat"),
    "gitlab": "glp" + "at-" + made(LETTERS_DIGITS, 20, "gl"),
    "grafana": "gls" + "a_" + made(LETTERS_DIGITS, 32, "gr") + "_" + made(HEX, 8, "gr"),
    "slack": "xox" + "b-" + made(string.digits, 12, "sl") + "-" + made(LETTERS_DIGITS, 24, "sl"),
    "slack_app": "xap" + "p-1-" + made(UPPER_DIGITS, 11, "xa") + "-" + made(HEX, 32, "xa"),
    "twilio": "S" + "K" + made(HEX, 32, "tw"),
    "sendgrid": "SG" + "." + made(LETTERS_DIGITS, 22, "sg") + "." + made(LETTERS_DIGITS, 43, "sg2"),
    "mailgun": "ke" + "y-" + made(HEX, 32, "mg"),
    "mailchimp": made(HEX, 32, "mc") + "-us" + "12",
    "npm": "np" + "m_" + made(LETTERS_DIGITS, 36, "npm"),
    "pypi": "pypi" + "-AgEI" + made(LETTERS_DIGITS + "_-", 60, "pypi"),
    "databricks": "dap" + "i" + made(HEX, 32, "db"),
    "doppler": "dp." + "pt." + made(LETTERS_DIGITS, 43, "dp"),
    "postman": "PMA" + "K-" + made(HEX, 24, "pm") + "-" + made(HEX, 34, "pm"),
    "linear": "lin" + "_api_" + made(LETTERS_DIGITS, 40, "lin"),
    "notion": "nt" + "n_" + made(LETTERS_DIGITS, 46, "ntn"),
    "shopify": "shp" + "at_" + made(HEX, 32, "shp"),
    "new_relic": "NRA" + "K-" + made(UPPER_DIGITS, 27, "nr"),
    "posthog": "ph" + "x_" + made(LETTERS_DIGITS, 43, "phx"),
    "sentry": "sntr" + "ys_" + made(LETTERS_DIGITS, 60, "sn"),
    "vault": "hv" + "s." + made(LETTERS_DIGITS, 24, "hvs"),
    "docker": "dckr" + "_pat_" + made(LETTERS_DIGITS, 27, "dckr"),
    "replicate": "r" + "8_" + made(LETTERS_DIGITS, 37, "r8"),
    "groq": "gs" + "k_" + made(LETTERS_DIGITS, 52, "gsk"),
    "discord_webhook": "discord.com/api/web" + "hooks/" + made(string.digits, 18, "dw") + "/" + made(LETTERS_DIGITS, 68, "dw"),
    "slack_webhook": "hooks.slack" + ".com/services/T" + made(UPPER_DIGITS, 8, "t") + "/B" + made(UPPER_DIGITS, 8, "b") + "/"
    + made(LETTERS_DIGITS, 24, "w"),
    "telegram": made(string.digits[1:], 9, "tg") + ":" + "AAH" + made(LETTERS_DIGITS, 32, "tg"),
    "jwt": JWT,
    "bcrypt": "$2" + "b$12$" + made(LETTERS_DIGITS + "./", 53, "bc"),
    "argon2": "$arg" + "on2id$v=19$m=65536,t=3,p=4$" + made(LETTERS_DIGITS, 22, "ar") + "$" + made(LETTERS_DIGITS, 43, "ar"),
    "django_hash": "pbkdf2" + "_sha256$600000$" + made(LETTERS_DIGITS, 22, "dj") + "$" + made(LETTERS_DIGITS, 43, "dj") + "=",
    "card_visa": "4242" + "4242" + "4242" + "4242",
    "card_grouped": "5555 " + "5555 " + "5555 " + "4444",
    "card_dashes": "4000-" + "0566-" + "5566-" + "5556",
    "card_amex": "3782 " + "822463 " + "10005",
    "random": made(LETTERS_DIGITS, 40, "random"),
    "random_symbols": made(LETTERS_DIGITS, 12, "sym") + "!$" + made(LETTERS_DIGITS, 12, "sym2"),
    "aws_secret": made(LETTERS_DIGITS + "+/", 40, "awssecret"),
    "token_urlsafe": made(LETTERS_DIGITS + "_-", 43, "urlsafe"),
}  # fmt: skip
WHOLE_ONLY = ("random", "random_symbols", "aws_secret", "token_urlsafe", "discord_webhook", "slack_webhook")
"""Recognised as a whole value or address, and not as a word in a sentence."""

PLANTED: list[Planted] = []


def plant(channel: str, given: Any, secret: str = PW, *kept: str) -> None:
    PLANTED.append(Planted(channel, given, secret, kept))


for _name, _secret in VENDORS.items():
    plant("value", {"note": "§", "customer": "bob"}, _secret, "customer", "bob")
    if _name not in WHOLE_ONLY:
        plant(
            "text", "call to the gateway with § failed for bob", _secret, "call to the gateway with", "failed for bob"
        )

plant("source", 'client = Client("§", timeout=5)', VENDORS["stripe"], "client = Client(", "timeout=5")
plant("source", "KEYS = ['§',", VENDORS["github"])
plant("source", "    # use § for now", VENDORS["aws_access_key_id"], "for now")
plant("source", "x = b'§'", VENDORS["random"])
plant("argv", ["deploy", "--to", "eu", "§"], VENDORS["gitlab"], "deploy", "eu")
plant("sql", "SELECT * FROM hooks WHERE url = 'https://§'", VENDORS["slack_webhook"], "SELECT * FROM hooks")
plant("value", {"§": 1}, VENDORS["npm"])
plant("value", [[["§"]]], VENDORS["sendgrid"])
plant("text", "https://§ answered 404", VENDORS["slack_webhook"], "answered 404")
plant("text", "posting to https://§ failed", VENDORS["discord_webhook"], "posting to")
plant("text", "key is §.", VENDORS["aws_access_key_id"], "key is")
plant("text", "xx§", VENDORS["github"])
plant("text", "cut off here: §...", VENDORS["openai"][:15], "cut off here")

# --- PEM ------------------------------------------------------------------------------------------------------------

_BEGIN, _END = "-----BEGIN " + "RSA PRIVATE KEY-----", "-----END " + "RSA PRIVATE KEY-----"
plant("text", f"bad key:\n{_BEGIN}\n§\n{_END}\nat line 3", PEM_BODY, "bad key", "at line 3")
plant("text", f"{_BEGIN}\n§", PEM_BODY)
plant("text", f"§\n{_END}", PEM_BODY)
plant("value", {"pem": f"{_BEGIN}\\n§\\n{_END}\\n"}, PEM_BODY.replace("\n", "\\n"))
plant("source", f'KEY = """{_BEGIN}\n§\n{_END}"""', PEM_BODY, "KEY =")
plant("source", "§", PEM_BODY.split("\n")[0])
plant(
    "value",
    {"config": {"key_file": f"-----BEGIN OPENSSH {'PRIVATE'} KEY-----\n§\n-----END OPENSSH {'PRIVATE'} KEY-----"}},
    PEM_BODY,
)

# --- by name: mapping keys and variables ----------------------------------------------------------------------------

for _key in (
    "password", "Password", "PASSWORD", "password1", "new_password", "userPassword", "db_password", "DB_PASS", "DBPASS", "passwd",
    "pwd", "passphrase", "secret", "client_secret", "clientSecret", "SECRET_KEY", "secret-key", "token", "access_token",
    "accessToken", "refresh_token", "id_token", "authToken", "csrfmiddlewaretoken", "api_key", "apiKey", "API-KEY", "x-api-key",
    "apikey", "private_key", "privateKey", "authorization", "Proxy-Authorization", "cookie", "Set-Cookie", "cookies",
    "credentials", "aws_access_key_id", "AWS_SECRET_ACCESS_KEY", "jwt", "dsn", "SENTRY_DSN", "connection_string",
    "ConnectionString", "conn_str", "auth", "basic_auth", "httpAuth", "X-Auth-Token", "encryption_key", "signing_key", "PGPASSWORD",
    "MYSQL_PWD", "hashed_password", "password_hash", "session_token", "sessionKey", "sessionid", "JSESSIONID", "otp", "cvv", "pin_code", "security_code",
    "recovery_codes", "seed_phrase", "webhook_secret", "bearer", "user.password", "oauth_token", "auth_header", "sk_live",
    "password_confirmation", "smtp_pass", "secret_id", "code_verifier",
):  # fmt: skip
    plant("value", {"user": "bob", "settings": {_key: "§", "n": 3}}, PLAIN, "user", "bob", _key)

plant("value", {"tokens": ["§", "other"]}, PLAIN)
plant("value", {"credentials": {"user": "bob", "pw": "§"}}, PLAIN)
plant("value", {"password": 12345678, "n": 1}, "12345678")
plant("value", {"headers": [["Authorization", "Token §"], ["Accept", "text/html"]]}, PLAIN, "Accept", "text/html")
plant("value", {"headers": [(b"cookie", "sid=§".encode()), (b"host", b"example.com")]}, PLAIN, "host", "example.com")
plant("value", [{"name": "DB_PASSWORD", "value": "§"}, {"name": "PORT", "value": "80"}], PLAIN, "PORT", "80")
plant("value", {"key": "api_key", "value": "§"}, PLAIN)
plant("value", {"my password is §": 1}, PLAIN)
plant("value", {"body": b"password=\xc2\xa7&a=1"}, PLAIN)
plant("value", {"a": {"b": {"c": [{"d": ({"token": "§"},)}]}}}, PLAIN)

# --- by name: running text ------------------------------------------------------------------------------------------

for _template, _kept in (
    ("password=§", ()),
    ("login failed for bob with password=§, retrying in 5s", ("login failed for bob", "retrying in 5s")),
    ("password: §", ()),
    ("Password:§", ()),
    ("user=bob password=§ host=db1", ("user=bob", "host=db1")),
    ("pwd: §", ()),
    ('password="§" is wrong', ("is wrong",)),
    ("password='§'", ()),
    ("DB_PASSWORD=§\nDB_HOST=db1", ("DB_HOST=db1",)),
    ("export API_TOKEN=§", ("export",)),
    ('{"password": "§", "user": "bob"}', ('"user": "bob"',)),
    ('{"user":"bob","auth":{"token":"§"}}', ('"user":"bob"',)),
    ('{"credentials": {"login": "bob", "value": "§"}, "a": 1}', ('"a": 1',)),
    ("{'password': '§', 'user': 'bob'}", ("'user': 'bob'",)),
    ("{'password': b'§', 'user': 'bob'}", ("'user': 'bob'",)),
    ("{'tokens': ['a', '§'], 'user': 'bob'}", ("'user': 'bob'",)),
    ('{\\"password\\": \\"§\\", \\"user\\": \\"bob\\"}', ("user", "bob")),
    ("User(name='bob', password='§', age=3)", ("name='bob'", "age=3")),
    ("User(name='bob', password=Secret('§'), age=3)", ("name='bob'", "age=3")),
    ("Config(dsn=§, debug=True)", ("debug=True",)),
    ("requests.get(url, auth=('bob', '§'), timeout=3)", ("timeout=3",)),
    ("GET /login?user=bob&password=§&next=/home", ("user=bob", "next=/home")),
    ("GET /cb?access_token=§", ("GET /cb",)),
    ("https://x.blob.core.windows.net/c/f?sv=2020&sig=§&se=2030", ("se=2030", "sv=2020")),
    ("https://s3.amazonaws.com/b/k?X-Amz-Signature=§&X-Amz-Date=20260101T000000Z", ("X-Amz-Date=20260101T000000Z",)),
    ("https://app/callback?code=§&state=ok", ("state=ok",)),
    ("Server=db1;Database=shop;User Id=sa;Password=§;Encrypt=true", ("Server=db1", "Encrypt=true")),
    ("DefaultEndpointsProtocol=https;AccountName=shop;AccountKey=§;EndpointSuffix=core", ("AccountName=shop",)),
    ("host=db1 dbname=shop user=bob password=§", ("host=db1", "user=bob")),
    ("Authorization: Bearer §x12345", ("Authorization: Bearer",)),
    ("Authorization: Token §", ("Authorization: Token",)),
    ("authorization: §", ("authorization:",)),
    ("> Cookie: sessionid=§; theme=dark\n> Accept: */*", ("Accept: */*",)),
    ("Set-Cookie: sid=§; Path=/; HttpOnly", ("Set-Cookie",)),
    ("b'GET / HTTP/1.1\\r\\nCookie: sid=§; theme=dark\\r\\nAccept: */*\\r\\n'", ("HTTP/1.1", "Accept: */*")),
    ("b'GET / HTTP/1.1\\r\\nX-Api-Key: §\\r\\n'", ("HTTP/1.1",)),
    ("X-Api-Key: §", ("X-Api-Key",)),
    ("curl -H 'Authorization: Bearer §x12345' https://api.example.com", ("https://api.example.com",)),
    ("sent Bearer §x123456 to the api", ("sent Bearer", "to the api")),
    ("postgres://bob:§@db1:5432/shop refused", ("postgres://", "@db1:5432/shop refused")),
    ("redis://:§@cache:6379/0", ("@cache:6379/0",)),
    ("amqp://bob:§@mq/%2F", ("@mq/",)),
    ("https://bob:§@git.example.com/x.git", ("@git.example.com/x.git",)),
    ("mongodb+srv://bob:§@c0.mongodb.net/?w=1", ("@c0.mongodb.net",)),
    ("postgres://bob:p@ss/§@db1/shop", ("@db1/shop",)),
    ("cannot connect to bob:§@db1.internal:5432", ("cannot connect to",)),
    ("connecting to postgres://bob:§...", ("connecting to",)),
    ("my password is §", ("my password is",)),
    ("the password for bob is wrong: password '§'", ("the password for bob",)),
    ("invalid password '§' for user bob", ("for user bob",)),
    ('wrong password "§"', ("wrong password",)),
    ("api key: §", ("api key",)),
    ("API key is §", ("API key is",)),
    ("client secret = §", ("client secret",)),
    ("access token=§", ("access token",)),
    ("pin code: §", ("pin code",)),
    ("token=§)", ()),
    ("(password=§)", ()),
    ("<password>§</password><user>bob</user>", ("<user>bob</user>",)),
    ('<input name="password" value="§">', ("<input",)),
    ('{"name": "api_key", "value": "§"}', ("api_key",)),
    ('Content-Disposition: form-data; name="password"\r\n\r\n§\r\n--b', ("form-data", "--b")),
    ("Key (token)=(§) already exists.", ("Key (token)=", "already exists.")),
    ("DETAIL: Key (email, api_key)=(b@x.de, §) already exists.", ("already exists.",)),
    ("Duplicate entry '§' for key 'users.api_key'", ("for key 'users.api_key'",)),
    ("password%3D§%26user%3Dbob", ("user%3Dbob",)),
    ("assert password == '§'", ("assert password ==",)),
    ("secret => '§'", ("secret =>",)),
    ("--password=§ --user=bob", ("--user=bob",)),
    ("mysql --password §1 --user bob", ("--user bob",)),
    ("senha=§", ()),
    ("passphrase: '§ and more'", ()),
    ("basic_auth: bob:§", ()),
    ("password:\t§", ()),
    ("password = § # todo", ("# todo",)),
    ("token:§,user:bob", ("user:bob",)),
    ("set password to '§' and go", ()),
):  # fmt: skip
    plant("text", _template, PLAIN, *_kept)

plant("text", "password=§ now", "a,b)c;d&e", "now")
plant("text", '{"password": "§"}', "a\\\"b'c")
plant("text", "password: § for user bob", "green monkey hat", "for user bob")
plant("text", "password='§", "cut off value")
plant("text", "Basic §", base64.b64encode(b"bob:" + PLAIN.encode()).decode())
plant("text", "ConnectionRefused: amqp://guest:§@mq:5672//", "gu3st", "@mq:5672//")
plant(
    "text",
    "sqlite said no\n[SQL: INSERT INTO users (name, password) VALUES (?, ?)]\n[parameters: ('bob', '§')]",
    PLAIN,
    "'bob'",
)
plant("text", "[SQL: UPDATE users SET password=%s WHERE id=%s]\n[parameters: ('§', 7)]", PLAIN, "7)")
plant(
    "text",
    "[SQL: INSERT INTO users (name, password) VALUES (:n, :p)]\n[parameters: {'n': 'bob', 'password': '§'}]",
    PLAIN,
    "bob",
)
plant("text", "near \")\": syntax error in INSERT INTO t (a, api_key) VALUES (1, '§'))", PLAIN, "syntax error")

for _template, _kept in (
    ("Command '['mysql', '-u', 'root', '-p§', 'db']' returned non-zero exit status 1.", ("'root'", "'db'", "exit status 1.")),
    ("Command 'mysql -u root -p§ db' timed out", ("mysql -u root -p", "db' timed out")),
    ("Command '['app', '--password', '§']' returned non-zero exit status 1.", ("'app'", "exit status 1.")),
    ("curl -u bob:§ https://x.example.com", ("curl -u bob:", "https://x.example.com")),
    ("['curl', '-u', 'bob:§']", ("curl", "bob")),
    ("1 error for Login\npassword\n  String too short [type=short, input_value='§', input_type=str]", ("type=short", "input_type=str")),
    ("2 errors for A\nname\n  Bad [type=x, input_value='bob', input_type=str]\ndb.api_key\n  Bad [type=x, input_value='§', input_type=str]", ("'bob'",)),
):  # fmt: skip
    plant("text", _template, PLAIN, *_kept)
plant("text", "SECRET_KEY = §", "kl@abc!")

# --- source ---------------------------------------------------------------------------------------------------------

for _template, _kept in (
    ('password = "§"', ("password =",)),
    ("    self.password = '§'  # todo", ("self.password", "# todo")),
    ('password: str = "§"', ("password: str",)),
    ('PASSWORD = b"§"', ()),
    ('password = f"{user}§"', ()),
    ('password = ("§"\n            "more")', ()),
    ('password = """§"""', ()),
    ('password = """§', ()),
    ('user, password = "bob", "§"', ()),
    ('config["password"] = "§"', ('config["password"]',)),
    ('os.environ["DB_PASSWORD"] = "§"', ('os.environ["DB_PASSWORD"]',)),
    ('os.environ.setdefault("API_TOKEN", "§")', ("API_TOKEN",)),
    ('password = os.getenv("DB_PASSWORD", "§")', ("DB_PASSWORD",)),
    ('connect(host="db1", password="§", port=5432)', ('host="db1"', "port=5432")),
    ('    password="§",', ("password=",)),
    ('    "password": "§",', ('"password":',)),
    ('{"user": "bob", "token": "§"}', ('"user": "bob"',)),
    ('dict(api_key="§", region="eu")', ('region="eu"',)),
    ('def connect(user, password="§", *, port=1):', ("port=1",)),
    ('if password == "§":', ("if password ==",)),
    ('if "§" == user.password and active:', ("and active",)),
    ('assert token in ("§", "y")', ("assert token in",)),
    ('if hmac.compare_digest(token, "§"):', ("compare_digest",)),
    ('self.assertEqual(user.password, "§")', ("assertEqual",)),
    ('user.set_password("§")', ("user.set_password",)),
    ('setattr(user, "password", "§")', ("setattr(user,",)),
    ('client.login("bob", "§")', ('client.login("bob"',)),
    ('requests.get(url, auth=("bob", "§"), timeout=3)', ("timeout=3",)),
    ('headers = {"Authorization": "Bearer " + "§"}', ("headers =",)),
    ('s.headers["X-Api-Key"] = "§"', ("X-Api-Key",)),
    ('engine = create_engine("postgresql://bob:§@db1/shop")', ("@db1/shop",)),
    ('db.execute("UPDATE users SET password = \'§\' WHERE id = 3")', ("WHERE id = 3",)),
    ('db.execute("INSERT INTO users (name, password) VALUES (\'bob\', \'§\')")', ("bob",)),
    ('subprocess.run(["mysql", "--password=§", "-u", "bob"])', ("mysql",)),
    ("# password: §", ("# password",)),
    ('raise ValueError("bad password=§")', ("raise ValueError",)),
    ("password = §", ("password =",)),
    ('token = cache.get("x") or "§"', ("cache.get",)),
    ('secret = base64.b64decode("§")', ("base64.b64decode",)),
    ('body = json.dumps({"client_secret": "§", "grant_type": "x"})', ('"grant_type": "x"',)),
    ('body = \'{"password": "§"}\'', ("body =",)),
    ('HTTPBasicAuth("bob", "§")', ("HTTPBasicAuth",)),
    ('Fernet_key, x = "§", 1', ()),
    ("password = '§' if debug else None", ("if debug else None",)),
    ('url = "https://api.example.com/?api_key=§&page=2"', ("page=2",)),
    ('("password", "§"),', ("password",)),
    ('password="§"; user="bob"', ('user="bob"',)),
    ('match password:\n    case "§": pass', ("match password",)),
    ('if password.startswith("§"):', ("startswith",)),
    ('lambda password="§": password', ("lambda",)),
    ('SECRET_KEY = config("SECRET_KEY", default="§")', ("config(",)),
    ('parser.add_argument("--password", "-p", default="§", help="the one")', ("--password", "the one")),
    ('env("DB_PASSWORD", default="§")', ("DB_PASSWORD",)),
):  # fmt: skip
    plant("source", _template, PLAIN, *_kept)
plant("source", "pin_code = §", "4711", "pin_code =")

# --- SQL ------------------------------------------------------------------------------------------------------------

for _template, _kept in (
    ("SELECT * FROM users WHERE password = '§' AND name = 'bob'", ("name = 'bob'",)),
    ("SELECT * FROM users u WHERE u.token='§'", ("u.token=",)),
    ('SELECT * FROM users WHERE "api_key" = \'§\'', ()),
    ("SELECT * FROM users WHERE `password` = \"§\" AND a = 1", ("a = 1",)),
    ("SELECT * FROM t WHERE [Password] = N'§'", ()),
    ("INSERT INTO users (name, password) VALUES ('bob', '§')", ("'bob'",)),
    ("INSERT INTO users (password, name) VALUES ('x', 'al'), ('§', 'bob')", ("'bob'", "'al'")),
    ("INSERT INTO users(name, password, n) VALUES (lower('B'), '§', 3) RETURNING id", ("RETURNING id", "3")),
    ("INSERT INTO users (name, api_key) SELECT 'bob', '§' FROM t WHERE a = 'b'", ("'bob'", "a = 'b'")),
    ("INSERT INTO api_tokens VALUES (1, '§')", ("INSERT INTO api_tokens",)),
    ("UPDATE users SET password = crypt('§', gen_salt('bf')), name = 'bob' WHERE id = 3", ("name = 'bob'", "id = 3")),
    ("UPDATE users SET name = 'bob', secret = E'it\\'s §' WHERE id = 3", ("name = 'bob'", "id = 3")),
    ("UPDATE users SET secret = 'it''s §' WHERE id = 3", ("id = 3",)),
    ("UPDATE users SET token = $$§$$ WHERE id = 3", ("id = 3",)),
    ("UPDATE users SET token = $t$§$t$ WHERE id = 3", ("id = 3",)),
    ("CREATE USER bob WITH PASSWORD '§'", ("CREATE USER bob",)),
    ("ALTER ROLE bob ENCRYPTED PASSWORD '§' VALID UNTIL '2026-01-01'", ("2026-01-01",)),
    ("CREATE USER 'bob'@'%' IDENTIFIED BY '§'", ("IDENTIFIED BY",)),
    ("SET PASSWORD FOR bob = PASSWORD('§')", ()),
    ("SELECT 1 WHERE '§' = token", ()),
    ("SELECT 1 FROM t WHERE token IN ('a', '§') OR x = 'y'", ("x = 'y'",)),
    ("SELECT 1 FROM t WHERE md5(password) = '§'", ()),
    ("SELECT 1 FROM t WHERE password LIKE '§%'", ()),
    ("SELECT 1 FROM t WHERE data->>'password' = '§'", ()),
    ("SELECT pgp_sym_decrypt(ssn, '§') FROM t", ("FROM t",)),
    ("SELECT 1 FROM t WHERE token = '§", ()),
    ("SELECT 1 /* password=§ */ FROM t", ("FROM t",)),
    ("SELECT dblink('host=db1 password=§')", ("host=db1",)),
    ("SELECT 1 FROM t WHERE password <> '§' ORDER BY id", ("ORDER BY id",)),
    ("SELECT 1 FROM t WHERE token BETWEEN 'a' AND '§' AND n = 2", ("n = 2",)),
    ("MERGE INTO users AS u USING (SELECT 1) s ON u.token = '§' WHEN MATCHED THEN DELETE", ("WHEN MATCHED",)),
):  # fmt: skip
    plant("sql", _template, PLAIN, *_kept)

# --- argv -----------------------------------------------------------------------------------------------------------

for _arguments, _kept in (
    (["app", "--password", "§", "--user", "bob"], ("bob",)),
    (["app", "--password=§", "--user=bob"], ("--user=bob",)),
    (["app", "--db-password", "§"], ("--db-password",)),
    (["app", "--api-key", "§"], ()),
    (["app", "--token=§"], ()),
    (["app", "--client-secret", "§"], ()),
    (["app", "-p", "§"], ()),
    (["mysql", "-p§", "-u", "bob"], ("bob",)),
    (["sshpass", "-p", "§", "ssh", "bob@host"], ("bob@host",)),
    (["redis-cli", "-h", "cache", "-a", "§"], ("cache",)),
    (["curl", "-u", "bob:§", "https://x.example.com"], ("https://x.example.com",)),
    (["curl", "--user", "bob:§"], ("bob",)),
    (["curl", "-H", "Authorization: Bearer §x12345"], ("-H",)),
    (["psql", "postgres://bob:§@db1/shop"], ("@db1/shop",)),
    (["env", "DB_PASSWORD=§", "app"], ("app",)),
    (["app", "--header", "X-Api-Key: §"], ()),
    (["app", "/password:§"], ()),
    (["app", "--set", "auth.token=§"], ("--set",)),
    (["app", "--password", "-§"], ()),
):  # fmt: skip
    plant("argv", _arguments, PLAIN, *_kept)


# --- what must come through unchanged -------------------------------------------------------------------------------

INNOCENT: list[tuple[str, Any]] = []


def innocent(channel: str, *given: Any) -> None:
    INNOCENT.extend((channel, one) for one in given)


UUID = "550e8400-e29b-41d4-a716-446655440000"
SHA = made(HEX, 40, "sha")
innocent(
    "text",
    "password is required", "The password field is required.", "Invalid password.", "Wrong password or user name",
    "Your password must be at least 8 characters long", "password: must be at least 8 characters", "Password: required",
    "password: this field may not be blank.", "Enter a valid token", "Invalid token: line 3, column 14", "Unexpected token: '}'",
    "Unexpected token '}' in JSON at position 14", "unknown token at line 3", "token expired", "Token is expired",
    "The token is invalid", "token: expired", "authentication failed for user bob", "password authentication failed for user \"bob\"",
    "auth: user bob logged in", "authorization failed", "Authorization: denied", "basic authentication required", "bearer of bad news",
    "secret sauce", "secretary: Jane", "KeyError: 'password'", "KeyError: 'token'", "KeyError: 'api_key'",
    "'NoneType' object has no attribute 'token'", "missing 1 required positional argument: 'password'",
    "no such column: users.password", "column \"token\" does not exist", "unexpected keyword argument 'auth'",
    "token=None", "password=None, user='bob'", "password=''", '{"password": null, "user": "bob"}', "{'token': None}",
    "primary key: 42", "cache key: user:42", "duplicate key value violates unique constraint \"users_pkey\"",
    "Key (id)=(42) already exists.", "Duplicate entry '42' for key 'users.PRIMARY'", "sort key = name", "key=value",
    "max_tokens=4096", "prompt_tokens: 1200, completion_tokens: 300", "token_count=17", "This model's maximum context length is 8192 tokens",
    "author: Jane Doe", "authority=example.com", "the keyboard is on", "monkey: banana", "bypass=true", "compass: north",
    "1 error for Order\ncity\n  Too short [type=short, input_value='Bonn', input_type=str]", "Command '['ssh', '-p', '22', 'bob@host']' returned 1",
    "Command 'docker run -u 1000:1000 -p 8080:80 x' failed", "task_id=8f3a2c", "disk_usage=80%", "desk_id: 7",
)  # fmt: skip
innocent(
    "text",
    f"order {UUID} not found", f"commit {SHA}", f"sha256:{made(HEX, 64, 'digest')}", f"{SHA[:7]} fix the cart", "trace 4bf92f3577b34da6a3ce929d0e0e4736",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "/srv/app/shop/checkout/services/payment_gateway.py:118",
    "C:\\Users\\bob\\AppData\\Local\\Programs\\app.exe", "shop.checkout.services.PaymentGateway", "django.contrib.auth.middleware",
    "2026-11-25T18:18:59.123456+00:00", "2026-11-25 18:18:59,123 INFO worker started", "v1.2.3-beta.4+build.567", "Python/3.11.7 aiohttp/3.9.1",
    "https://example.com/orders/4711?page=2&sort=name", "http://localhost:8000/health", "https://user@host.example.com/x", "ssh://git@github.com/org/repo.git",
    "git@github.com:org/repo.git", "see https://example.com/a:b@c for more", "mailto:bob@example.com", "bob.smith+tag@example.com", "John.Smith2024@example.com",
    "email:bob@example.com", "+49 30 1234 5678", "(555) 010-4477", "call 0800-1234567 now", "127.0.0.1:5432", "2001:db8::ff00:42:8329", "00:1B:44:11:3A:B7",
    "order 4711 for 12.50 EUR", "1700000000000", "1700000000000000000", "order 4242424242424242 shipped", "invoice no. 4012888888881881",
    "tracking 1Z999AA10123456784", "IBAN DE89 3704 0044 0532 0130 00", "4242424242424243", "version 4111.1111.1111.1111",
    "flex items-center justify-between px-4 py-2 bg-blue-500 hover:bg-blue-700", "md:hover:bg-blue-500", "OrderProcessingHandlerFactory2Impl",
    "getUserByIdAndTenantIdOrRaise2", "test_checkout_with_expired_card_and_retry_v2", "IMG_20240101_123456.jpg", "report-2024-Q3-Final_v2.pdf",
    "web-7d4b9c6f5-x2x8z", "ip-10-0-12-34.eu-west-1.compute.internal", "arn:aws:iam::123456789012:role/DeployRole-AB12", "us-east-1a",
    "gpt-4o-mini-2024-07-18", "claude-3-5-sonnet-20241022", "meta-llama/Llama-3.1-8B-Instruct", "python:3.11-slim-bookworm",
    "application/vnd.api+json;charset=UTF-8", "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0", "en-US,en;q=0.9,de;q=0.8",
    "sha384-oqVuAfXRKap7fdgcCY5uykM6+R9GqQ8K/uxy9rx7HNQlGYl1kPzQho1wx4JwY8wC", "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4", "lorem ipsum dolor sit amet", "Größe: 12 µm, Preis: 3 €",
    "2 of 3 replicas failed (timeout=30, retries=3)", "x = y + 1; z => 3", "a: b, c: d", "status code: 500", "exit code = 137", "error code is E1234",
    "cus_NffrFeUfNV2Hib", "pi_3MtwBwLkdIwHu7ix28a3tqPa", "0ujsszwN8NRY24YaXiTIE2VWDTS", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "507f1f77bcf86cd799439011",
    "chatcmpl-9XyZ1aBcDeFgHiJkLmNoP", "SKU-Blue-XL-2024", "ORD-2024-000123-DE", "$2 off your order", "costs $2a or $5", "x*y+z/w-(a%b)",
    "UPDATE orders SET state = 'paid' WHERE id = 7", "INSERT INTO orders (id, total) VALUES (7, 12.5)", "SELECT name FROM users WHERE email = 'bob@example.com'",
)  # fmt: skip
innocent(
    "value",
    {"order_id": "V1StGXR8_Z5jdHi6B-myT"}, {"requestId": "x9KdP2mQvR7nL4wT8bYc"}, {"task_id": UUID, "user_id": 7}, {"id": 4242424242424242},
    {"etag": "aB3dE5fG7hI9jK1lM3nO5"}, {"commit": SHA, "path": "/srv/app"}, {"author": "Jane", "authority": "x", "keyboard": "de"},
    {"max_tokens": 4096, "prompt_tokens": 12, "token_type": "bearer"}, {"has_password": True, "password_changed_at": "2026-01-01"},
    {"password": None, "token": "", "is_secret": False}, {"primary_key": 3, "foreign_key": "order_id", "sort_key": "name", "cache_key": "user:42"},
    {"first_pass": 3, "bypass": True, "compass": "north", "passenger": "Jo", "passport_country": "DE"}, {"tokenizer": "bpe", "secretary": "Jane"},
    {"next_page_token": "abc123", "token_count": 3, "num_tokens": 5}, {"session_id": UUID, "distinct_id": "u1", "device": "phone"},
    {"amount": 12.5, "currency": "EUR", "items": [{"sku": "A-1", "qty": 2}]}, {"created": 1700000000, "ns": 1700000000000000000, "ok": True, "none": None},
    {"auth_method": "password", "auth_type": "basic", "auth_backend": "ldap"}, {"token_url": "https://example.com/oauth/token"}, {"public_key_id": "k1"},
    {"cookie_secure": True, "cookie_domain": "example.com"}, {"cwd": "/home/bob", "PATH": "/usr/bin:/bin", "HOME": "/home/bob", "LANG": "C.UTF-8"},
    {"key": "color", "value": "red"}, [["a", 1], ["b", 2]], ["password", "email", "name"], {"fields": ["password", "token"]}, {"method": "GET", "path": "/login"},
    {"password_field": "id_password", "password_validators": ["length"]}, {"secret_name": "db/prod"}, {"phone": "+49 30 123456", "zip": "10115"},
)  # fmt: skip
innocent(
    "source",
    "password = request.form['password']", "password = os.environ['DB_PASSWORD']", "token = get_token(user)", "if not password:",
    "if password is None:", 'raise ValueError("password is required")', 'if not token: raise ValueError("Token missing")', "def login(user, password):",
    'fields = ["password", "email"]', "token = tokens[0]", 'token.kind = "NUMBER"', 'author = "Jane Doe"', 'name = "bob"', 'total = price * 1.19 + 4.90',
    "charge = gateway.charge(order.total, currency='EUR', idempotency_key=key)", 'logger.info("user %s logged in", user.name)', "return self._secret",
    'task_id = "8f3a-7"', 'disk_usage = shutil.disk_usage("/")', 'password = getpass.getpass()', 'password = None', "password = ''", "max_tokens = 4096",
    'tokenizer = Tokenizer("bpe")', 'response = client.get("/orders/4711", params={"page": 2})', 'secret = get_secret("db/prod")', "password = config.get('password')",
    'x = {"order_id": 7, "items": [1, 2]}', "@pytest.mark.parametrize('n', [1, 2, 3])", "assert response.status_code == 200", "    password: str", "    password=password,",
    "    token=self.token,", 'url = f"https://api.example.com/orders/{order_id}"', "import secrets", "from auth.tokens import Token", "class Token(Base):", "# the password is checked later",
    'PASSWORD_FIELD = "id_password"', 'date = "2026-11-25"', "for token in tokens:", "return token == other.token", 'd["key"] = "value"', 'os.environ.get("HOME", "/root")',
    'sort_key = "name"', 'primary_key = "id"', 'has_password = "yes"', 'x = "don\'t"', "it's a docstring line", "lambda token: token.value",
    'field = CharField("password", max_length=128)', 'parser.add_argument("--token", help="the API token")', 'f"password={password} user={user}"',
)  # fmt: skip
innocent(
    "sql",
    "SELECT id, password FROM users WHERE email = 'bob@example.com'", "SELECT * FROM orders WHERE id = 7 AND state = 'paid'", "INSERT INTO orders (id, state) VALUES (7, 'paid')",
    "UPDATE users SET name = 'bob' WHERE id = 3", "SELECT * FROM users WHERE password IS NULL AND name = 'bob'", "SELECT token FROM t WHERE author = 'Jane' ORDER BY token LIMIT 10",
    "DELETE FROM sessions WHERE expires < '2026-01-01'", "SELECT * FROM users WHERE password = %s AND name = 'bob'", "SELECT * FROM users WHERE token = ? AND state = 'x'",
    "SELECT count(*) FROM t WHERE task_id = 'a-7'", "CREATE TABLE users (id int, password text NOT NULL DEFAULT '')", "SELECT 'it''s', E'a\\'b', $$c$$",
)  # fmt: skip
innocent(
    "argv",
    ["app", "run", "--port", "8080"], ["pytest", "-p", "no:cacheprovider", "-q", "tests"], ["docker", "run", "-p", "8080:80", "nginx"], ["ssh", "-p", "2222", "bob@host"],
    ["mkdir", "-p", "a/b/c"], ["git", "commit", "-m", "fix the token parser"], ["curl", "-u", "bob", "https://example.com"], ["app", "--author", "Jane", "--max-tokens", "5"],
    ["python", "-m", "shop", "--task-id", "8f3a"], ["app", "--no-password"], ["app", "-p", "8000"], ["app", "--user", "bob", "--id", "7"],
)  # fmt: skip


def as_text(result: Any) -> str:
    """*result* of any channel as one text to search in."""
    if isinstance(result, str):
        return result

    def default(one: Any) -> Any:
        return one.decode("utf-8", "replace") if isinstance(one, bytes) else list(one)

    return json.dumps(result, default=default, ensure_ascii=False) + str(result)
