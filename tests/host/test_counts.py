"""``counted + lost == happened``, with a ring that is large enough and with one that is far too small."""

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hard_cases.recording import Recording, record

GUEST = "DISCOVER_GUEST" in os.environ
SCALE = 10 if GUEST else 1  # emulation is that much slower; the 100,000 files are not scaled
pytestmark = pytest.mark.timeout(600)

KINDS = {
    # what: (how often, operation)
    "files": (100_000, "open"),
    "repeats": (200_000 // SCALE, "open"),
    "forks": (10_000 // SCALE, "open"),
    "execs": (5_000 // SCALE, "exec"),
    "connects": (20_000 // SCALE, "connect"),
    "unlinks": (20_000 // SCALE, "unlink"),
}


@dataclass
class Count:
    """What a recording says of the one thing that was done an exact number of times."""

    counted: int
    distinct: int
    lost: int
    recording: Recording


Counts = Callable[..., Count]


@pytest.fixture
def counts(program_folder: Path, tmp_path: Path, backend: str) -> Counts:
    """``counts(what, number, *options)`` records one run."""

    runs = itertools.count()

    def run(what: str, number: int, *options: str) -> Count:
        folder = tmp_path / str(next(runs))
        base = folder / "base"
        (base / "files").mkdir(parents=True)
        if what in ("files", "forks", "unlinks"):
            for i in range(number):
                os.close(os.open(base / "files" / str(i), os.O_WRONLY | os.O_CREAT))
        (base / "one").touch()
        (base / "noop").write_bytes((program_folder / "noop").read_bytes())
        (base / "noop").chmod(0o755)
        argv = [str(program_folder / "counts"), str(base), what, str(number)]
        recording = record(argv, backend=backend, folder=folder / "recording", base=base, options=options)
        ours = of_kind(recording.behaviours, what, str(base))
        counted = pc.sum(ours["count"]).as_py() or 0
        return Count(counted, ours.num_rows, sum(recording.losses.values()), recording)

    return run


def of_kind(table: pa.Table, what: str, base: str) -> pa.Table:
    op = pc.equal(table["op"], KINDS[what][1])
    if what == "connects":
        return table.filter(pc.and_(op, pc.equal(table["type"], "dgram")))
    names = {"repeats": f"{base}/one", "execs": f"{base}/noop"}
    return table.filter(pc.and_(op, pc.starts_with(table["path"], names.get(what, f"{base}/files/"))))


@pytest.mark.parametrize("what", KINDS)
def test_all_are_counted(what: str, counts: Counts) -> None:
    number, _ = KINDS[what]
    count = counts(what, number, "--ring-size", "128M")  # room for all at once, however slow the machine
    assert count.counted + count.lost == number, count.recording.losses
    assert count.lost == 0, count.recording.losses
    if what in ("files", "forks", "connects", "unlinks"):
        assert count.distinct == number


@pytest.mark.parametrize("what", ["files", "connects", "unlinks"])
def test_a_small_ring_loses_and_says_so(what: str, counts: Counts) -> None:
    number, _ = KINDS[what]
    count = counts(what, number, "--ring-size", "64K")
    assert count.lost > 0, "the ring was not small enough to overflow"
    assert count.recording.losses.keys() == {"ring-full"}
    assert count.counted + count.lost == number, count.recording.losses
    assert count.distinct == count.counted


@pytest.mark.skipif(GUEST, reason="a rate of real hardware; the guest is emulated")
def test_two_thousand_forks_a_second(counts: Counts) -> None:
    """The workload keeps its rate while it is recorded, and every one of its processes is counted."""
    number, rates = 10_000, []
    for _ in range(3):  # the machine may be busy with something else
        count = counts("forks", number)
        assert count.counted + count.lost == number
        rates.append(count.recording.report.notes["forks", "a_second"])
        if rates[-1] >= 2000:
            return
    pytest.fail(f"the workload reached no more than {max(rates)} forks a second")
