"""Back ends under test, and one recording for each program and back end."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hard_cases import programs
from hard_cases.recording import Recording, record

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
