"""Which paths no wider rule may swallow, and where nothing new may be written."""

from __future__ import annotations

import pytest

from models.learn.sensitive import Sensitive, is_protected, is_scratch

SECRET = [
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/sudoers",
    "/etc/sudoers.d/ops",
    "/etc/ssl/private/web.key",
    "/etc/ssh/ssh_host_ed25519_key",
    "/etc/kubernetes/admin.conf",
    "/etc/letsencrypt/live/x/privkey.pem",
    "/var/run/secrets/kubernetes.io/serviceaccount/token",
    "/run/secrets/db",
    "/root/.ssh/id_ed25519",
    "/home/ann/.aws/credentials",
    "/root/.pgpass",
    "/home/ann/.netrc",
    "/srv/app/.env",
    "/srv/tls/server.key",
    "/srv/tls/ca.pem",
    "/data/wallet.p12",
    "/proc/4711/environ",
    "/proc/4711/mem",
    "/proc/4711/task/4712/environ",
    "/proc/4711/root/etc/passwd",
    "/proc/kcore",
    "/sys/kernel/security/lsm",
    "/dev/sda",
    "/dev/mem",
    "/var/lib/kubelet/pods/x/token",
    "/opt/deep/down/id_rsa",
]
PUBLIC = [
    "/etc/passwd",
    "/etc/hosts",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/certs/ISRG_Root_X1.pem",
    "/usr/share/ca/x.pem",
    "/usr/lib/python3/dist-packages/certifi/cacert.pem",
    "/proc/4711/status",
    "/proc/meminfo",
    "/dev/null",
    "/dev/urandom",
    "/etc/ssh/ssh_host_ed25519_key.pub",
    "/srv/environ",
    "/home/ann/ssh/config",
    "/sys/devices/system/cpu/online",
    "/etc/shadowed",
]


@pytest.mark.parametrize("path", SECRET)
def test_secret(path: str) -> None:
    assert Sensitive()(path)


@pytest.mark.parametrize("path", PUBLIC)
def test_public(path: str) -> None:
    assert not Sensitive()(path)


def test_people_add_to_the_list_also_what_is_public_otherwise() -> None:
    more = Sensitive(("/etc/passwd", "/etc/ssl/certs/*", "/srv/keys/**"))
    for path in ("/etc/passwd", "/etc/ssl/certs/x.pem", "/srv/keys/a/b", *SECRET):
        assert more(path)
    assert not more("/etc/ssl/certs/deeper/x.pem")
    assert not more("/etc/group")


def test_many_paths_are_judged_as_one_is() -> None:
    hostile = ["/srv/a\n.key", "/srv/\udcff.key", "/srv/*.key", "/\n/id_rsa", "/srv/x.key\n", "/srv/$", "", "/"]
    paths = [*SECRET, *PUBLIC, *hostile, *(f"/usr/share/doc/{n}" for n in range(1500))]
    sensitive = Sensitive(("/srv/keys/**", "/usr/share/doc/7"))
    expected = [p for p in paths if sensitive(p)]
    assert Sensitive(("/srv/keys/**", "/usr/share/doc/7")).among(paths) == expected
    encodable = [p for p in paths if p.isascii()]
    assert len(encodable) > 1000
    assert Sensitive(("/srv/keys/**", "/usr/share/doc/7")).among(encodable) == [p for p in expected if p.isascii()]


@pytest.mark.parametrize(
    ("directory", "protected", "scratch"),
    [
        ("/", True, False),
        ("", True, False),
        ("/etc", True, False),
        ("/etc/app/conf.d", True, False),
        ("/usr/local/bin", True, False),
        ("/lib64", True, False),
        ("/root", True, False),
        ("/proc/1", True, False),
        ("/var/spool/cron/crontabs", True, False),
        ("/var/run/secrets/x", True, False),
        ("/home/ann/.ssh", True, False),
        ("/home/ann/work", False, False),
        ("/etcetera", False, False),
        ("/var/lib/app", False, False),
        ("/srv", False, False),
        ("/tmp", False, True),
        ("/tmp/x/y", False, True),
        ("/dev/shm", False, True),
        ("/run/user/1000/app", False, True),
        ("/tmpfs", False, False),
    ],
)
def test_directories(directory: str, protected: bool, scratch: bool) -> None:
    assert (is_protected(directory), is_scratch(directory)) == (protected, scratch)
    if directory not in ("", "/"):
        assert is_protected(directory + "/") == protected
