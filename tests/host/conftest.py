"""Back ends under test, one recording for each program and back end; and workloads to point at."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hard_cases import programs
from hard_cases.recording import Recording, record
from workloads import Podman, telling, until

BACKENDS = os.environ.get("DISCOVER_BACKENDS", "tracepoint").split(",")
PORTS = 16


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", BACKENDS, scope="session")


@pytest.fixture(scope="session")
def program_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if os.geteuid() != 0:
        pytest.fail("the hard cases load eBPF programs and make mounts and cgroups: run them as root")
    return programs.build(tmp_path_factory.mktemp("programs"))


def free_ports(first: int, last: int, number: int) -> int:
    """The first of `number` ports in a row that are free on IPv4 and IPv6."""
    run = 0
    for port in range(first, last):
        try:
            for family in (socket.AF_INET, socket.AF_INET6):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    with socket.socket(family, kind) as probe:
                        probe.bind(("", port))
        except OSError:
            run = 0
        else:
            run += 1
        if run == number:
            return port - number + 1
    pytest.fail(f"no {number} free ports in a row between {first} and {last}")


@pytest.fixture(scope="session")
def recorded(program_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Recording]:
    """``recorded(program, backend)``: made at its first use. One that failed fails again, with the same reason."""
    made: dict[tuple[str, str], Recording | BaseException] = {}

    def make(program: str, backend: str) -> Recording:
        # one length for all: the programs make paths of a given length
        folder = tmp_path_factory.mktemp(f"{program}-{backend:-<10}")
        base = folder / "base"
        base.mkdir(mode=0o755)
        folder.chmod(0o755)
        argv = [str(program_folder / program), str(base)]
        if program == "sockets":
            argv += [str(free_ports(21000, 32000, PORTS)), str(free_ports(600, 1024, 1))]
        return record(argv, backend=backend, folder=folder / "recording", base=base)

    def get(program: str, backend: str) -> Recording:
        if (program, backend) not in made:
            try:
                made[program, backend] = make(program, backend)
            except BaseException as error:
                made[program, backend] = error
        result = made[program, backend]
        if isinstance(result, BaseException):
            raise result
        return result

    return get


@pytest.fixture
def children() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str, **options: object) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(command, **options))  # type: ignore[call-overload]
        return started[-1]

    yield start
    for child in started:
        if child.poll() is None:
            child.kill()
        child.wait()


@pytest.fixture
def cgroup() -> Iterator[str]:
    """A cgroup of the telling tree with one below it."""
    tree, path = telling(), f"/discover-test-{os.getpid()}"
    inner = tree.directory(f"{path}/in ner")
    inner.mkdir(parents=True)
    yield path
    for directory in (inner, inner.parent):
        for pid in (directory / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        until(lambda d=directory: not (d / "cgroup.procs").read_text())
        directory.rmdir()


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    busybox = shutil.which("busybox")
    if not busybox or not shutil.which("podman"):
        pytest.skip("needs podman and busybox-static")
    errors = []
    with tempfile.TemporaryDirectory(prefix="discover-podman-", dir="/tmp") as text:
        folder = Path(text)
        (folder / "root/bin").mkdir(parents=True)
        shutil.copy(busybox, folder / "root/bin/busybox")
        for name in ("sh", "sleep", "true"):
            (folder / "root/bin" / name).symlink_to("busybox")
        subprocess.run(["tar", "-C", str(folder / "root"), "-cf", str(folder / "root.tar"), "."], check=True)
        # crun refuses hybrid hosts; runc takes them.
        for oci_runtime in filter(None, (os.environ.get("DISCOVER_RUNC"), shutil.which("crun"), shutil.which("runc"))):
            made = Podman(folder, oci_runtime)
            try:
                made("import", str(folder / "root.tar"), "localhost/box:1")
                made.run("probe", "/bin/sleep", "60")
            except RuntimeError as error:
                errors.append(f"{oci_runtime}: {error}")
                made("rm", "-af", "-t", "0")
                continue
            made("rm", "-af", "-t", "0")
            yield made
            made("rm", "-af", "-t", "0")
            return
    pytest.skip("no container can be started here: " + ("; ".join(errors) or "neither crun nor runc is installed"))


@pytest.fixture
def boxes(podman: Podman, monkeypatch: pytest.MonkeyPatch) -> Iterator[Podman]:
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", podman.environment["CONTAINERS_STORAGE_CONF"])
    yield podman
    podman("rm", "-af", "-t", "0")
