"""Fixtures of the tests that run only in a guest."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache

import pytest
from containers import (
    DOCKER,
    IMAGE,
    PODMAN,
    Container,
    Runtime,
    StartContainer,
    make_image,
    make_root,
    start_containerd,
    start_docker,
)

from discover.enforce.bpffs import PINS, mount_bpffs
from enforcer.bpf_lsm.domains import Domains
from enforcer.bpf_lsm.programs import Programs
from enforcer.compile import compile_tables
from models.policy import KubeArmorPolicy, Posture, Process, ProcessPath, Spec


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Runtime]]:
    """``runtime("podman")`` or ``runtime("docker")``, ready, with busybox as IMAGE; dockerd starts at first use."""
    daemons = []

    @cache
    def ready(name: str) -> Runtime:
        found = {"podman": PODMAN, "docker": DOCKER}[name]
        folder = tmp_path_factory.mktemp(name)
        if found is DOCKER:
            daemons.append(start_containerd(folder))
            daemons.append(start_docker(folder))
        make_image(found, make_root(folder / "root"))
        return found

    yield ready
    for daemon in reversed(daemons):
        daemon.terminate()
        daemon.wait(60)


@pytest.fixture
def container(runtime: Callable[[str], Runtime]) -> Iterator[StartContainer]:
    """Start one: ``container("sleep", "100", options=["--name", "web"], by="docker")``; gone when the test ends."""
    started: list[Container] = []

    def start(*command: str, image: str = IMAGE, options: Sequence[str] = (), by: str = "podman") -> Container:
        started.append(Container(runtime(by), command, image, options))
        return started[-1]

    yield start
    for one in started:
        one.remove()


@pytest.fixture(scope="session")
def loaded() -> Iterator[Programs]:
    """The enforcer's programs, pinned where `discover enforce` looks. Loading takes a minute here: once for all tests.

    A policy set about nobody keeps them in the kernel when the last one of a test is stopped.
    """
    assert mount_bpffs()
    with Programs.load(PINS) as programs:
        policy = KubeArmorPolicy(
            spec=Spec(process=Process(match_paths=(ProcessPath(path="/nothing", action="Audit"),)))
        )
        number = Domains(programs).add(compile_tables([policy], Posture.all("audit")))
        yield programs
        Domains(programs).remove(number)
        programs.unpin()


@pytest.fixture
def programs(loaded: Programs) -> Iterator[Programs]:
    """The programs, of which a test may ask anything: what it puts in force is removed at its end."""
    nobody = Domains(loaded).in_use
    yield loaded
    domains = Domains(loaded)
    for number in set(domains.in_use) - set(nobody):
        domains.remove(number)
    loaded.state["broken_glass"] = 0
