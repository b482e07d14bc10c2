"""Random names: from three differing examples a typed slot, that fits the next names and no others."""

from __future__ import annotations

import random
import string
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.quality.judge import compiled
from benchmarks.quality.synthetic.rows import APP, app, evidence_of, opened
from benchmarks.quality.verdicts import Bar
from models.learn import Options, learn
from models.policy import Access, Op, Ruleset, Target

__all__ = ["SLOTS", "Slot", "measure"]

EXAMPLES = 3
TRIALS, FRESH = 20, 100
"""Other examples each time, so that no alphabet is a matter of luck."""


@dataclass(frozen=True)
class Slot:
    """A kind of name: how one is made, and names that are not of it."""

    name: str
    make: Callable[[random.Random], str]
    strangers: tuple[str, ...]
    access: str = "read+write+create"


def _letters(rng: random.Random, alphabet: str, length: int) -> str:
    return "".join(rng.choice(alphabet) for _ in range(length))


_WORDS = string.ascii_letters + string.digits
_PYTHON = string.ascii_lowercase + string.digits + "_"
SLOTS = (
    Slot(
        "mkstemp",
        lambda r: f"/tmp/app-{_letters(r, _WORDS, 6)}",
        ("/tmp/x", "/tmp/app-long-name.sh", "/tmp/app-abcdef/x"),
    ),
    Slot("tempfile", lambda r: f"/tmp/tmp{_letters(r, _PYTHON, 8)}", ("/tmp/x", "/tmp/xmrig", "/tmp/tmpAB-.sh/x")),
    Slot(
        "mkdtemp",
        lambda r: f"/tmp/job-{_letters(r, _WORDS, 6)}/body",
        ("/tmp/job-abcdef/.x/miner", "/tmp/other-abcdef/body", "/tmp/job-abcdef/run.sh"),
    ),
    Slot(
        "uuid",
        lambda r: f"/var/lib/app/sessions/{uuid.UUID(int=r.getrandbits(128), version=4)}.json",
        ("/var/lib/app/sessions/index.json", "/var/lib/app/sessions/x.sh", "/var/lib/app/other"),
    ),
    Slot(
        "pid",
        lambda r: f"/proc/{r.randrange(2, 32768)}/status",
        ("/proc/1/environ", "/proc/self/mem", "/proc/kcore", "/proc/22/maps"),
        "read",
    ),
    Slot(
        "pid file",
        lambda r: f"/var/lib/app/temp-{r.randrange(2, 32768)}.rdb",
        ("/var/lib/app/dump.rdb", "/var/lib/app/temp-x.rdb", "/var/lib/app/temp-1.sh"),
    ),
    Slot(
        "sha256",
        lambda r: f"/var/cache/app/{_letters(r, '0123456789abcdef', 64)}",
        ("/var/cache/app/index", "/var/cache/app/0123abcd", "/var/cache/app/" + "g" * 64),
    ),
    Slot(
        "md5 in fans",
        lambda r: "/var/cache/app/" + (h := _letters(r, "0123456789abcdef", 32))[-1] + f"/{h[-3:-1]}/{h}",
        ("/var/cache/app/index", "/var/cache/app/a/b", "/var/cache/app/a/bc/evil.so"),
    ),
    Slot(
        "timestamp",
        lambda r: f"/var/lib/app/export/ticks-{1_700_000_000 + r.randrange(90_000_000)}.csv",
        ("/var/lib/app/export/ticks.csv", "/var/lib/app/export/all.csv", "/var/lib/app/export/ticks-x.sh"),
    ),
    Slot(
        "counter",
        lambda r: f"/var/lib/app/wal/{r.randrange(1, 4000):010}",
        ("/var/lib/app/wal/control", "/var/lib/app/wal/evil.so"),
    ),
    Slot(
        "ConfigMap's directory",
        lambda r: "/etc/config/..2026_03_{:02}_{:02}_{:02}_{:02}.{}/app.yaml".format(
            *(r.randrange(1, 24) for _ in range(4)), r.randrange(10**8, 4 * 10**9)
        ),
        ("/etc/config/app.yaml", "/etc/config/..2026/other", "/etc/shadow"),
        "read",
    ),
)


def measure(target: Target = Target.DISCOVER) -> list[Bar]:
    """For each kind of name, whether fresh ones are allowed and strangers are not."""
    return [_measured(slot, target) for slot in SLOTS]


def _measured(slot: Slot, target: Target) -> Bar:
    allowed, strangers = 0, set()
    for trial in range(TRIALS):
        rng = random.Random(f"slots/{slot.name}/{trial}")
        rows = []
        for unit in (f"unit-{n}" for n in range(EXAMPLES)):
            rows += [*app(unit), opened(unit, slot.make(rng), slot.access, owner_match=True)]
        ruleset = compiled(learn(evidence_of(rows), Options(target=target)).spec, target)
        allowed += sum(_allowed(ruleset, slot, slot.make(rng)) for _ in range(FRESH))
        strangers |= {s for s in slot.strangers if _allowed(ruleset, slot, s)}
    figure = f"{allowed:,} of {TRIALS * FRESH:,} fresh names allowed, {len(strangers)} of {len(slot.strangers)} others"
    figure += f" ({', '.join(sorted(strangers))})" if strangers else ""
    holds = allowed == TRIALS * FRESH and not strangers
    return Bar("random names", slot.name, target, "a slot from 3 examples", figure, holds)


def _allowed(ruleset: Ruleset, slot: Slot, path: str) -> bool:
    write = "write" in slot.access
    asked = Access(
        op=Op.OPEN,
        path=path,
        source=APP,
        read=True,
        write=write,
        create=write,
        owner_match=True,
        parent_owner_match=True,
    )
    return ruleset.decide(asked).allowed
