"""Fixtures of the tests that run only in a guest."""

from collections.abc import Iterator, Sequence

import pytest
from containers import IMAGE, Container, StartContainer, make_image, make_root


@pytest.fixture(scope="session")
def busybox_image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image of static busybox."""
    make_image(make_root(tmp_path_factory.mktemp("image") / "root"))
    return IMAGE


@pytest.fixture
def container(busybox_image: str) -> Iterator[StartContainer]:
    """Start a container, ``container("sleep", "100", options=["--name", "web"])``; gone when the test ends."""
    started: list[Container] = []

    def start(*command: str, image: str = busybox_image, options: Sequence[str] = ()) -> Container:
        started.append(Container(command, image, options))
        return started[-1]

    yield start
    for one in started:
        one.remove()
