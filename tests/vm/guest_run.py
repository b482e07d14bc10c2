"""Run a guest's pytest and report each of its tests here, as it happens."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boot
import pytest

POLL = 0.3  # seconds between looks at the reports file


class GuestError(Exception):
    """The guest could not be booted, crashed, hung, or left tests undone."""


class GuestRun:
    """One boot: `arguments` for the guest's pytest, its `environment`, and `share`, the folder both sides write."""

    def __init__(
        self, item: pytest.Item, kernel: boot.Kernel, share: Path, environment: dict[str, str], arguments: list[str]
    ) -> None:
        self._item = item
        self._kernel = kernel
        self._share = share
        self._reports = Path(environment["DISCOVER_REPORTS"])
        self._owed: list[str] = []  # collected in the guest, no result yet
        self._running = ""
        self._exit: int | None = None
        _forget_earlier(share.parent)
        self._share.mkdir(parents=True)
        self._write("environment", [f"{name}={value}" for name, value in environment.items()])
        self._write("arguments", arguments)

    def _write(self, name: str, words: list[str]) -> None:
        (self._share / name).write_bytes(b"".join(word.encode() + b"\0" for word in words))

    def run(self) -> None:
        """Boot and follow to the end, passing each test's reports to pytest's hooks; raises GuestError."""
        start = boot.HERE / "guest" / "start.sh"
        try:
            machine = boot.Machine(self._kernel, ["bash", str(start), str(self._share)], self._share)
        except boot.BootError as error:
            raise GuestError(str(error)) from None
        try:
            why = self._follow(machine)
        finally:
            machine.kill()
        if why is None:
            shutil.rmtree(self._share)
            return
        where = f" during {self._running}" if self._running else ""
        why = f"kernel {self._kernel.version}: {why}{where}\n{machine.last_words()}"
        for nodeid in self._owed:
            self._fail(nodeid, _ENDED_IT if nodeid == self._running else _NEVER_RAN)
        raise GuestError(why)

    def _follow(self, machine: boot.Machine) -> str | None:
        started = heard = time.monotonic()
        lines = _Lines(self._reports)
        while True:
            ended = machine.wait(POLL)
            for line in lines.new():
                heard = time.monotonic()
                self._take(line)
            if ended:
                break
            now = time.monotonic()
            if now - started > self._kernel.limit:
                return f"not finished after {self._kernel.limit} s"
            if now - heard > self._kernel.silence:
                return f"nothing heard for {self._kernel.silence} s"
        if self._exit is None:
            return "the guest stopped or crashed"
        if self._owed:
            return f"{len(self._owed)} tests were collected and not run"
        if self._exit not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            return f"the guest's pytest ended with status {self._exit}"
        return None

    def _take(self, line: dict[str, Any]) -> None:
        hook, config = self._item.ihook, self._item.config
        if "collected" in line:
            self._owed = line["collected"]
            self._item.session.testscollected += len(self._owed)
        elif "started" in line:
            self._running = line["started"]
        elif "error" in line:
            self._fail(line["error"]["nodeid"], line["error"]["text"])
        elif "finished" in line:
            self._exit = line["finished"]
            self._running = ""
        else:
            report = config.hook.pytest_report_from_serializable(config=config, data=line["report"])
            if isinstance(report.longrepr, list):  # a skip's (file, line, reason): JSON has no tuples
                report.longrepr = tuple(report.longrepr)
            if report.when == "teardown" and report.nodeid in self._owed:
                self._owed.remove(report.nodeid)
            self._pass_on(hook, report)

    def _pass_on(self, hook: Any, report: pytest.TestReport) -> None:
        report.nodeid = f"{self._kernel.version}:{report.nodeid}"
        report.location = (f"{self._kernel.version}:{report.location[0]}", *report.location[1:])
        if report.when == "setup":
            hook.pytest_runtest_logstart(nodeid=report.nodeid, location=report.location)
        hook.pytest_runtest_logreport(report=report)
        if report.when == "teardown":
            hook.pytest_runtest_logfinish(nodeid=report.nodeid, location=report.location)

    def _fail(self, nodeid: str, text: str) -> None:
        file, _, name = nodeid.partition("::")
        self._pass_on(self._item.ihook, _report(nodeid, (file, None, name or file), text, 0.0))


_ENDED_IT = "the guest ended during this test; boot[…] says how"
_NEVER_RAN = "not run: the guest ended before; boot[…] says why"


def _forget_earlier(folder: Path) -> None:
    """Remove what failed runs left in `folder` (VERSION-PID each), but for runs that are still going on."""
    for old in folder.glob("*-*"):
        if not Path("/proc", old.name.rpartition("-")[2]).exists():
            shutil.rmtree(old)


class _Lines:
    """The complete JSON lines that have been added to a growing file since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def new(self) -> Iterator[dict[str, Any]]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._read += len(line)
                yield json.loads(line)


def _report(
    nodeid: str, location: tuple[str, int | None, str], failure: str | None, duration: float
) -> pytest.TestReport:
    if failure is None:
        return pytest.TestReport(nodeid, location, {}, "passed", None, "call", duration=duration)
    return pytest.TestReport(nodeid, location, {}, "failed", failure, "call", duration=duration)


def log_item(item: pytest.Item) -> None:
    """Run and report an item without pytest's set-up, call and tear-down; GuestError is its one way to fail."""
    hook = item.ihook
    hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    started = time.monotonic()
    failure = None
    try:
        item.runtest()
    except GuestError as error:
        failure = str(error)
    duration = time.monotonic() - started
    hook.pytest_runtest_logreport(report=_report(item.nodeid, item.location, failure, duration))
    hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
