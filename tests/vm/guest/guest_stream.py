"""Pytest plugin of the guest: writes what happens, one JSON object a line, for the pytest outside to report again.

The lines, in order: ``{"collected": [node ids]}``, then any of ``{"started": id}``, ``{"report": {…}}`` and
``{"error": {"nodeid", "text"}}`` (a file that could not be collected), at last ``{"finished": exit status}``.
"""

import json
import os
from typing import Any

import pytest


class Stream:
    """Appends to the file; each line is out before the next test starts, since that one may take the kernel down."""

    def __init__(self, path: str, config: pytest.Config) -> None:
        self._file = open(path, "w", buffering=1)  # noqa: PTH123, SIM115 - lives as long as the process
        self._config = config

    def _write(self, **line: Any) -> None:
        self._file.write(json.dumps(line) + "\n")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._write(error={"nodeid": report.nodeid, "text": report.longreprtext})

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._write(collected=[item.nodeid for item in session.items])

    def pytest_runtest_logstart(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        self._write(started=nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._write(report=data)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        self._write(finished=int(exitstatus))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Stream(os.environ["DISCOVER_REPORTS"], config), "guest-stream")
