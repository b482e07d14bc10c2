"""Many plain records at once are decoded to the very rows that one at a time gives."""

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bpf.object import BpfObject, object_path
from collectors.live import decode
from collectors.live.abi import Abi
from collectors.live.decode import Actor, Decoder, Tables
from collectors.live.paths import Root
from models.behaviour import SEGMENT


@pytest.fixture(scope="module")
def abi() -> Abi:
    return Abi.of(BpfObject(object_path("observer.tracepoint")).btf)


def decoder(abi: Abi) -> Decoder:
    tables = Tables(executables={1: b"/usr/bin/web", 2: b"/bin/sh"})
    tables.actors = {
        n: Actor(cgroup=n % 3, exe=1 + n % 2, parent_exe=2, uid=n, phase=n % 4 + 1, tty=bool(n % 2)) for n in range(8)
    }
    return Decoder(
        abi,
        tables,
        unit_of=lambda cgroup: f"unit-{cgroup}",
        root_of=lambda _tgid, _namespace: Root(None),
        redact=lambda words: words,
        clock=1_000_000_000,
        sees_exec=False,
        on_control=lambda _kind, _head: None,
        on_gone=lambda _cgroup: None,
    )


def records(abi: Abi, dtype: np.dtype[Any], count: int, hostile: bool) -> np.ndarray[Any, Any]:
    rng = random.Random(1)
    made = np.zeros(count, dtype)
    end = dtype["path"].itemsize
    flags = [0, abi.flags["OWNER_KNOWN"], abi.flags["OWNER_KNOWN"] | abi.flags["OWNER"], abi.flags["JOINED"]]
    flags += [abi.flags["UNHASHED"], abi.flags["ANONYMOUS"], abi.flags["PATH_CUT"]]
    numbers = [n for n, op in abi.operations.items() if op not in ("exec",)]
    for n, record in enumerate(made):
        head = record["head"]
        head["kind"] = abi.kinds["BEHAVIOUR"]
        head["id"], head["when"], head["actor"] = 1000 + n, 10**12 + n * 12_345, rng.randrange(8)
        head["op"] = rng.choice(numbers[:6] if n % 3 else numbers)
        head["access"], head["error"] = rng.choice((1, 2, 3, 9)), rng.choice((0, 0, 0, 2))
        head["flags"] = flags[0 if n % 2 else rng.randrange(len(flags))]
        head["mode"] = rng.choice((0o100644, 0o40755, 0o20666, 0))
        head["fs"] = rng.choice((b"ext4", b"overlay", b""))
        head["family"], head["type"] = 2, 1
        path = b"/" + bytes(rng.choices(b"abc/-. \n\xc3\xa9", k=rng.randrange(120))) if n % 50 else b""
        text = path.decode(errors="replace" if not hostile else "surrogateescape")
        path = text.encode(errors="surrogateescape")[:200]
        path = path if hostile else path.decode(errors="ignore").encode()
        head["path_at"] = end - len(path) if n % 70 else 0xFFFF
        record["path"] = (bytes(end - len(path)) + path).ljust(end, b"\0")
        head["given_length"] = 4
        record["given"] = b"name"
    return made


@pytest.mark.parametrize("ring", ["record", "long_record"])
@pytest.mark.parametrize("hostile", [False, True], ids=["text", "bytes"])
def test_rows_are_the_same(abi: Abi, monkeypatch: pytest.MonkeyPatch, ring: str, hostile: bool) -> None:
    batch = records(abi, getattr(abi, ring), 2000, hostile)
    tables = []
    for many in (1, 1 << 30):
        monkeypatch.setattr(decode, "_MANY", many)
        told = decoder(abi)
        assert told._plain(batch).sum() > 300
        told.feed(batch)
        table = told.take()
        assert table.schema.equals(SEGMENT)
        assert told.take().num_rows == 0
        tables.append(sorted(table.to_pylist(), key=lambda row: row["key"]))
    assert len(tables[0]) == 2000
    assert tables[0] == tables[1]


def test_one_batch_makes_one_table_of_whole_dictionaries(abi: Abi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "_MANY", 1)
    told = decoder(abi)
    told.feed(records(abi, abi.record, 500, False))
    table = told.take()
    for name in ("unit", "exe", "op"):
        dictionaries = {tuple(chunk.dictionary.to_pylist()) for chunk in table[name].chunks}
        assert len(dictionaries) == 1
    assert pa.types.is_dictionary(table.schema.field("op").type)
