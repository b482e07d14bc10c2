import time
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import row, segment

from collectors.redact import Redactor, RulesError
from models.behaviour import SEGMENT

SECRET = "hunter2Zq9"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
AWS = "AKIAIOSFODNN7EXAMPLE"
GITHUB = "ghp_" + "a1B2" * 9


@pytest.mark.parametrize(
    "argv",
    [
        ["app", f"--password={SECRET}"],
        ["app", "--password", SECRET],
        ["app", "-password", SECRET],
        ["app", f"--db-password={SECRET}"],
        ["app", f"--dbPassword={SECRET}"],
        ["app", "--redis_password", SECRET],
        ["app", f"--api-key={SECRET}"],
        ["env", f"PGPASSWORD={SECRET}", "psql"],
        ["env", f"AWS_SECRET_ACCESS_KEY={SECRET}"],
        ["env", f"DB_PASS='{SECRET} {SECRET}'"],
        ["sh", "-c", f"PGPASSWORD={SECRET} psql -h db"],
        ["sh", "-c", f"mysql --password='{SECRET}' -h db"],
        ["mysql", "-u", "root", f"-p{SECRET}"],
        ["/usr/bin/mysqldump", f"-p{SECRET}"],
        ["sshpass", "-p", SECRET, "ssh", "host"],
        ["redis-server", "--requirepass", SECRET],
        ["redis-cli", "-a", SECRET],
        ["curl", "-u", f"me:{SECRET}", "https://x"],
        ["curl", "-H", f"Authorization: Bearer {SECRET}"],
        ["curl", "-H", f"Authorization: AWS4 Credential=x/y, Signature={SECRET}"],
        ["curl", "-H", f"authorization: Basic {SECRET}"],
        ["curl", "-H", f"Cookie: a=1; sid={SECRET}"],
        ["curl", "-H", f"X-Api-Key: {SECRET}"],
        ["curl", "-d", f'{{"user": "a", "password": "{SECRET}"}}'],
        ["curl", f"https://user:{SECRET}@host/path"],
        ["psql", f"postgresql://user:a@{SECRET}@host/db"],
        ["curl", f"https://host/p?x=1&access_token={SECRET}&y=2"],
        ["curl", f"https://host/p?X-Amz-Signature={SECRET}"],
        ["app", JWT],
        ["app", "x" + JWT + "y"],
        ["app", AWS],
        ["app", GITHUB],
        ["app", "-----BEGIN RSA PRIVATE KEY-----\nMIIE" + SECRET + "\n-----END RSA PRIVATE KEY-----"],
        ["app", "-----BEGIN PRIVATE KEY-----\ncut short " + SECRET],
    ],
    ids=lambda a: " ".join(a)[:40],
)
def test_secret_is_gone(argv: list[str]) -> None:
    told = Redactor().argv(argv)
    assert len(told) == len(argv)
    assert told[0] == argv[0]
    assert not any(s in word for word in told for s in (SECRET, JWT, AWS, GITHUB))


@pytest.mark.parametrize(
    "argv",
    [
        ["nginx", "-g", "daemon off;"],
        ["docker", "run", "-p", "80:80", "-p8080:80"],
        ["grep", "-r", "password", "/etc/pam.d"],
        ["cat", "/run/secrets/kubernetes.io/serviceaccount/token"],
        ["app", "--password-file=/run/secrets/db"],
        ["app", "--token-ttl=30m", "--author=me", "--compass=n"],
        ["app", "--no-password", "--host", "db"],
        ["curl", "https://host/path?x=1&tokenizer=bpe"],
        ["env", "PWD=/home/x", "PATH=/usr/bin"],
        ["git", "checkout", "da39a3ee5e6b4b0d3255bfef95601890afd80709"],
        ["ssh", "user@host"],
        [],
        [""],
        ["", "\x00", "\x1b[0m", "ü", "\ud800"],
    ],
    ids=lambda a: " ".join(a)[:40].encode("ascii", "replace").decode(),
)
def test_what_is_no_secret_stays(argv: list[str]) -> None:
    told = Redactor().argv(argv)
    assert told == [w.encode("utf-8", "replace").decode() for w in argv]


def test_kind_of_a_token_stays_visible() -> None:
    redactor = Redactor()
    assert redactor.argv(["app", JWT, AWS]) == ["app", "<jwt>", "<aws-key-id>"]
    assert redactor.text(f"https://a:b@h/x?token={SECRET}&y=1") == "https://<redacted>@h/x?token=<redacted>&y=1"
    assert redactor.argv(["curl", "-H", f"Authorization: Bearer {SECRET}"])[2] == "Authorization: <redacted>"


def test_paths_keep_their_shape() -> None:
    paths = pa.array(
        ["/etc/passwd", f"/srv/{JWT}/x", "/tmp/da39a3ee5e6b4b0d3255", None, "/run/secrets/token", f"/c/{AWS}.json"]
    )
    told = Redactor().paths(paths).to_pylist()
    assert told == [
        "/etc/passwd",
        "/srv/<jwt>/x",
        "/tmp/da39a3ee5e6b4b0d3255",
        None,
        "/run/secrets/token",
        "/c/<aws-key-id>.json",
    ]
    assert Redactor(paths=["da39[0-9a-f]+"]).paths(paths).to_pylist()[2] == "/tmp/<redacted>"


def test_rows_with_secret_names(tmp_path: Path) -> None:
    rows = [
        row("u", "open", path=p)
        for p in (f"/srv/{JWT}".encode(), f"/srv/\udcff-{AWS}".encode("utf-8", "surrogateescape"), b"/a\xff")
    ]
    told = Redactor().segment(segment(rows))
    assert told.schema.equals(SEGMENT)
    assert told["path"].to_pylist() == ["/srv/<jwt>", "/srv/\\xff-<aws-key-id>", "/a\\xff"]
    assert told["path_raw"].to_pylist() == [None, None, b"/a\xff"]


def test_rules_of_a_file_add_to_the_built_in_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("names: [pin]\nwords: ['corp-[0-9a-f]{8}']\nkeep: ['--password=none']\n")
    argv = ["app", "--pin=1234", "--pin", "77", "x corp-0123abcd y", "--password=none", f"--password={SECRET}"]
    expected = [
        "app",
        "--pin=<redacted>",
        "--pin",
        "<redacted>",
        "x <redacted> y",
        "--password=none",
        "--password=<redacted>",
    ]
    assert Redactor.load(rules).argv(argv) == expected
    monkeypatch.setenv("DISCOVER_REDACT_RULES", str(rules))
    assert Redactor.load(None).argv(argv) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: [", "no YAML"),
        ("- a", "no mapping"),
        ("nmaes: [a]", "unknown keys: nmaes"),
        ("names: pin", "no list"),
        ("words: ['(']", "missing"),
        (r"words: ['(a)\1']", "words"),
    ],
)
def test_rules_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(text)
    with pytest.raises(RulesError, match=message) as e:
        Redactor.load(rules)
    assert e.value.hint
    with pytest.raises(RulesError, match="cannot read"):
        Redactor.load(tmp_path / "absent")


@pytest.mark.parametrize(
    "text",
    [
        "a_" * 50_000,
        "password" * 12_500,
        "password=" * 11_111,
        "https://" * 12_500,
        "https://" + "a" * 100_000,
        "a:" * 50_000 + "@",
        "eyJ" + "A" * 100_000,
        ("eyJ" + "A" * 8 + ".") * 8_000,
        "-----BEGIN PRIVATE KEY-----" * 3_700,
        '"password": "' + "\\" * 100_000,
        "AKIA" * 25_000,
        "bearer " * 14_000,
        " " * 100_000,
        "token: " + " " * 100_000,
    ],
    ids=lambda t: t[:20],
)
def test_hostile_argument_takes_bounded_time(text: str) -> None:
    redactor = Redactor()
    start = time.process_time()
    redactor.argv(["x", text])
    redactor.paths(pa.array([text]))
    assert time.process_time() - start < 2


@given(st.lists(st.text(max_size=40), max_size=6), st.text("abcXYZ0189", min_size=6, max_size=30))
def test_value_of_a_password_option_never_survives(others: list[str], secret: str) -> None:
    told = Redactor().argv(["app", *others, f"--password={secret}"])
    assert len(told) == len(others) + 2
    assert told[-1] == "--password=<redacted>" or told[-1] == "<redacted>"
