import os

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long runs only where all of it is asked for."""
    if os.environ.get("FULL"):
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="slow: FULL=1 runs it"))
