"""The ring's reader, on memory laid out as the kernel does it: two pages of positions, then the data twice."""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bpf.ring import Ring

PAGE, SIZE = mmap.PAGESIZE, 4 * mmap.PAGESIZE
RECORD = np.dtype([("number", "<u8"), ("pad", "u1", 32)])
STRIDE = 48
BUSY, DISCARDED = 1 << 31, 1 << 30


class Kernel:
    """The producer's side, in a file."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 2 * PAGE + 2 * SIZE)
        self.produced = 0

    def write(self, number: int, bits: int = 0) -> None:
        content = (len(RECORD.descr) | bits).to_bytes(8, "little") + number.to_bytes(8, "little") + bytes(32)
        for n, byte in enumerate(content):  # each byte lies at two places, as with pages that are mapped twice
            at = (self.produced + n) % SIZE
            for place in (at, at + SIZE):
                os.pwrite(self.fd, bytes([byte]), 2 * PAGE + place)
        self.produced += STRIDE
        os.pwrite(self.fd, self.produced.to_bytes(8, "little"), PAGE)

    @property
    def consumed(self) -> int:
        return int.from_bytes(os.pread(self.fd, 8, 0), "little")


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    os.close(made.fd)


def mapped(kernel: Kernel) -> int:
    """Bytes of the ring that this process has mapped."""
    found = 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "memfd:ring" in line:
            start, end = (int(n, 16) for n in line.split()[0].split("-"))
            found += end - start
    return found


def test_records_come_in_order_over_the_end_and_room_is_given_back_only_when_told(kernel: Kernel) -> None:
    ring, seen, number = Ring(kernel.fd, SIZE, RECORD), [], 0
    assert SIZE % STRIDE  # so that a record lies across the end
    for batch in (100, 200, 1, 341, 150, 300):
        for _ in range(batch):
            kernel.write(number)
            number += 1
        before = kernel.consumed
        records, slots = ring.view()
        assert (slots, kernel.consumed) == (batch, before)
        assert ring.fill == pytest.approx(batch * STRIDE / SIZE)
        seen += records["number"].tolist()
        ring.advance(slots)
        assert kernel.consumed == kernel.produced
    assert seen == list(range(number))


def test_it_stops_at_what_is_being_written_and_leaves_out_what_was_discarded(kernel: Kernel) -> None:
    ring = Ring(kernel.fd, SIZE, RECORD)
    for number, bits in enumerate((0, DISCARDED, 0, BUSY, 0)):
        kernel.write(number, bits)
    records, slots = ring.view()
    assert (records["number"].tolist(), slots) == ([0, 2], 3)
    records, slots = ring.view(limit=1)
    assert (records["number"].tolist(), slots) == ([0], 1)


def test_a_ring_that_nobody_reads_has_two_pages(kernel: Kernel) -> None:
    ring = Ring(kernel.fd, SIZE, RECORD)
    assert ring.view()[1] == 0
    assert mapped(kernel) == 2 * PAGE
    for number in range(200):
        kernel.write(number)
    records, _ = ring.view()
    assert mapped(kernel) > 2 * PAGE
    assert records["number"][-1] == 199
    del records
    assert mapped(kernel) == 2 * PAGE
