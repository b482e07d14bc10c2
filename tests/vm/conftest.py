"""The VM tier: one guest a kernel runs a whole pytest; each of its tests is reported here as a result of its own.

Outside, ``kernels.toml`` is collected: one item a kernel, ``boot[6.1]``. Running it boots the guest, which runs
``tests/host`` again, with every back end, and ``tests/vm/guest``. The item itself passes when the guest ran to its end;
a guest that crashes, hangs or cannot boot fails it, and every test that it still owed.
"""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boot
import guest_run
import pytest

from bpf import build

BACKENDS = "lsm,fentry,tracepoint,bcc"
# In this order: what the tests stand on first; and the conftest loaded last is the one that `import conftest` gives.
TESTS = ("tests/vm/guest", "tests/host")

# Only a guest may collect these: they attach LSM programs that deny, and change the machine.
collect_ignore = [] if os.environ.get("DISCOVER_GUEST") else ["guest"]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("vm")
    group.addoption("--kernel", default="6.1", help="kernels to boot, by comma, or 'all' (default: 6.1)")
    group.addoption("--guest", default="", metavar="ARGS", help="arguments for the guest's pytest: paths, -k, -x …")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.name == "kernels.toml" and not os.environ.get("DISCOVER_GUEST"):
        return Kernels.from_parent(parent, path=file_path)
    return None


class Kernels(pytest.File):
    """``kernels.toml``: one item for each kernel that --kernel names."""

    def collect(self) -> Iterator[pytest.Item]:
        known = boot.known_kernels()
        wanted = self.config.getoption("--kernel")
        for version in known if wanted == "all" else wanted.split(","):
            if version not in known:
                raise pytest.UsageError(f"--kernel {version}: not one of {', '.join(known)}, all")
            yield Boot.from_parent(self, name=f"boot[{version}]", kernel=known[version])


class Boot(pytest.Item):
    """One guest, from boot to the last of its reports."""

    def __init__(self, *, kernel: boot.Kernel, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kernel = kernel
        self.add_marker(pytest.mark.timeout(0))  # it has limits of its own, in kernels.toml

    def runtest(self) -> None:
        try:
            build.build(boot.HERE / "guest")
        except build.BuildError as error:
            raise guest_run.GuestError(str(error)) from None
        share = boot.CACHE / "vm" / f"{self.kernel.version}-{os.getpid()}"
        environment = {
            "DISCOVER_GUEST": self.kernel.version,
            "DISCOVER_BACKENDS": os.environ.get("DISCOVER_BACKENDS", BACKENDS),
            "DISCOVER_FULL": os.environ.get("FULL", ""),
            "DISCOVER_REPORTS": str(share / "reports.jsonl"),
            "PYTHONPATH": f"{boot.HERE / 'guest'}:{boot.ROOT / 'tests/host'}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": "/tmp",
            "LANG": "C.UTF-8",
        }
        chosen = shlex.split(self.config.getoption("--guest"))
        paths = [] if any(word.startswith("tests") for word in chosen) else TESTS
        options = [
            "--continue-on-collection-errors",
            "-p",
            "guest_stream",
            "-p",
            "no:cacheprovider",
            "-o",
            "timeout=600",
            "-o",  # /tmp is in memory: 100,000 files for each back end do not fit
            "tmp_path_retention_policy=none",
        ]
        guest_run.GuestRun(self, self.kernel, share, environment, [*options, *chosen, *paths]).run()

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.name


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Take the place of set-up, call and tear-down for a Boot: reports arrive during it, so nothing may be captured."""
    if not isinstance(item, Boot):
        return None
    guest_run.log_item(item)
    return True
