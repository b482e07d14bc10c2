import importlib
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from conftest import ROOT, Run

from discover.cli import group
from discover.cli.registry import COMMANDS


def commands() -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    for name in COMMANDS:
        command = importlib.import_module(f"discover.cli.{name}").command
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {n}", c) for n, c in command.commands.items()]
    return found


@pytest.mark.parametrize(("name", "command"), commands(), ids=lambda v: v if isinstance(v, str) else "")
def test_every_command_has_help_with_an_example(name: str, command: click.Command) -> None:
    assert command.help
    assert "\\b" not in command.help  # a raw docstring, whose examples click would wrap
    lines = command.help.splitlines()
    assert "Examples:" in [line.strip() for line in lines]
    assert any(f"discover {name}" in line for line in lines[lines.index(next(x for x in lines if "Examples:" in x)) :])
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_help_names_every_command_and_none_twice(discover: Run) -> None:
    told = discover("--help")
    assert told.returncode == 0
    for name, line in COMMANDS.items():
        assert told.stdout.count(f"\n  {name} ") == 1
        assert line in " ".join(told.stdout.split())
    assert set(group.list_commands(click.Context(group))) == set(COMMANDS)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, discover; from discover.cli import group\n"
        "try: group(['--help'], prog_name='discover')\nexcept SystemExit: pass\n"
        "heavy = {'pyarrow', 'duckdb', 'numpy', 'rich', 'yaml', 'models', 'collectors', 'bpf'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert told.returncode == 0, told.stderr


def test_help_is_quick() -> None:
    code = "from discover.cli import main; main()"
    spent = []
    for _ in range(5):
        before = os.times()
        subprocess.run([sys.executable, "-c", code, "--help"], stdout=subprocess.DEVNULL, check=True, cwd=ROOT)
        after = os.times()
        spent.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(spent) < 0.15, spent


def test_called_as_a_plugin_of_kubectl(discover: Run) -> None:
    assert "Usage: kubectl discover " in discover("--help", name="/usr/bin/kubectl-discover").stdout
    assert "Usage: kubectl discover show " in discover("show", "--help", name="kubectl-discover").stdout
    assert "Usage: discover " in discover("--help", name="/usr/bin/discover").stdout


def test_version(discover: Run) -> None:
    told = discover("--version")
    assert told.returncode == 0
    assert told.stdout.startswith("discover ")


@pytest.mark.parametrize(
    ("typed", "hint"), [("shwo", "did you mean show?"), ("dataset", "did you mean datasets?"), ("xyzzy", "--help")]
)
def test_unknown_command(discover: Run, typed: str, hint: str) -> None:
    told = discover(typed)
    assert told.returncode == 2
    assert told.stdout == ""
    assert told.stderr.startswith("error: no command")
    assert hint in told.stderr


def test_an_unknown_command_is_not_obeyed_by_the_terminal(discover: Run) -> None:
    assert "\x1b" not in discover("\x1b[31mred").stderr


def test_unknown_option(discover: Run) -> None:
    told = discover("show", "--nope", "x")
    assert told.returncode == 2
    assert told.stderr.startswith("error: ")
    assert "hint: discover show --help" in told.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_that_the_shell_takes(discover: Run, shell: str, tmp_path: Path) -> None:
    told = discover("completion", shell)
    assert told.returncode == 0
    assert "_DISCOVER_COMPLETE" in told.stdout
    if interpreter := shutil.which(shell):
        script = tmp_path / "script"
        script.write_text(told.stdout)
        subprocess.run([interpreter, "-n", str(script)], check=True)


def test_completion_completes(discover: Run) -> None:
    told = discover(_DISCOVER_COMPLETE="bash_complete", COMP_WORDS="discover sh", COMP_CWORD="1")
    assert "plain,show" in told.stdout.split()


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    import synthetic

    synthetic.record(tmp_path / "r", [f"web-{n}" for n in range(30)])
    code = "from discover.cli import main; main()"
    command = [sys.executable, "-c", code, "show", str(tmp_path / "r"), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline().startswith("{")
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_ctrl_c_leaves_no_traceback(tmp_path: Path) -> None:
    import synthetic

    synthetic.record(tmp_path / "r", ["web-1"])
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # a background job ignores it
    code = f"{heeding}; from discover.cli import main; main()"
    command = [sys.executable, "-c", code, "datasets", "remove", str(tmp_path / "r")]
    terminal, theirs = pty.openpty()
    with subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=30)
    os.close(terminal)
    os.close(theirs)
    assert process.returncode == 130
    assert "Traceback" not in complaint
    assert (tmp_path / "r").is_dir()
