"""The commands, so that ``discover --help`` imports none of them."""

from __future__ import annotations

__all__ = ["COMMANDS"]

COMMANDS = {
    "record": "Record what a workload does.",
    "show": "Show the behaviours of a recording.",
    "coverage": "Say how much of a workload has been seen.",
    "check": "Check policies for mistakes, and say what to write instead.",
    "explain": "Say why a rule is there.",
    "diff": "Say what changed between two policies or recordings.",
    "simulate": "Say what policies would deny of a recording.",
    "datasets": "List, finish, merge and remove recordings.",
    "generate": "Learn the smallest policy that will not break it.",
    "report": "Write the review of a policy as one page.",
    "review": "Open a recording and its policy in JupyterLab.",
    "propose": "Bring a policy to a Git repository as a request.",
    "ci": "Compare a test run with the policy in the repository.",
    "enforce": "Put policies in force: Audit, then Block.",
    "doctor": "Say what this host can do.",
    "completion": "Print a shell's completion script.",
}
"""Name to one line of help; the module is ``discover.cli.NAME``, its command ``command``."""
