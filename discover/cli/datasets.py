"""`discover datasets`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import click

__all__ = ["command"]


@click.group("datasets")
def command() -> None:
    """List, finish, merge and remove recordings.

    \b
    Examples:
      discover datasets list recordings
      discover datasets finish recordings/web
      discover datasets merge recordings/web-1 recordings/web-2 -o recordings/web
      discover datasets remove recordings/old
    """  # noqa: D301 - click's own mark


_PATH = click.Path(path_type=Path)
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a recording.")


@command.command("list")
@click.argument("directory", type=_PATH, default=Path("recordings"))
@_JSON
def list_(directory: Path, as_json: bool) -> None:
    """List the recordings in DIRECTORY and the folders below (default: recordings).

    Exit status: 0, or 1 if one of them cannot be read.

    \b
    Examples:
      discover datasets list
      discover datasets list /var/lib/discover --json | jq .status
    """  # noqa: D301 - click's own mark
    from discover.tables import json_line, print_table  # noqa: PLC0415 - heavy
    from models.dataset import DatasetError, NoDataset, Recording, find_recordings  # noqa: PLC0415

    if not directory.is_dir():
        raise NoDataset(f"{directory} is no folder", "record something with `discover record -o DIR -- COMMAND`")
    rows, broken = [], False
    for path in find_recordings(directory):
        try:
            rows.append(_described(Recording.open(path)))
        except DatasetError as e:
            broken = True
            rows.append({"path": str(path), "status": "unreadable", "problem": str(e)})
    if as_json:
        for row in rows:
            click.echo(json_line(row))
    elif rows:
        titles = ["path", "workload", "status", "units", "behaviours", "lost", "size", "started"]
        print_table(titles, [[_short(t, r.get(t)) for t in titles] for r in rows])
        for row in rows:
            if "problem" in row:
                _warn(str(row["problem"]))
    else:
        click.echo(f"no recording in {_safe(directory)}", err=True)
    if broken:
        click.get_current_context().exit(1)


def _short(title: str, value: object) -> object:
    if title == "size" and isinstance(value, int):
        return f"{value / 1e6:.1f} MB"
    if title == "workload" and isinstance(value, list):
        return ", ".join(value[:3]) + (f" and {len(value) - 3} more" if len(value) > 3 else "")
    if title == "started" and isinstance(value, str):
        return value[:19].replace("T", " ")
    return value


def _described(recording: Any) -> dict[str, object]:
    import pyarrow.compute as pc  # noqa: PLC0415 - heavy

    from models.dataset_layout import check_file  # noqa: PLC0415

    units, losses = recording.units(), recording.losses()
    if recording.unfinished:
        behaviours = recording.behaviours().num_rows
    else:
        behaviours = 0
        for path in recording.behaviour_files():
            with check_file(path, "behaviours") as file:
                behaviours += file.metadata.num_rows
    names = sorted(set(units["workload"].to_pylist())) or [recording.workload]
    return {
        "path": str(recording.path),
        "id": recording.id,
        "workload": names,
        "status": recording.status,
        "units": units.num_rows,
        "behaviours": behaviours,
        "lost": pc.sum(losses["count"]).as_py() or 0,
        "size": recording.size(),
        "backend": recording.manifest.get("backend"),
        "watched": recording.manifest.get("watched"),
        "started": recording.manifest.get("started"),
        "ended": recording.manifest.get("ended"),
    }


@command.command("finish")
@click.argument("recordings", nargs=-1, required=True, type=_PATH)
def finish(recordings: tuple[Path, ...]) -> None:
    """Bring interrupted recordings to their final form; nothing is lost if this is interrupted too.

    What the kernel has counted since the recorder was killed is not in it: for that, `discover record --resume`.

    \b
    Examples:
      discover datasets finish recordings/web
    """  # noqa: D301 - click's own mark
    from collectors.writer import RecordingWriter  # noqa: PLC0415 - heavy
    from models.dataset import Recording  # noqa: PLC0415

    for path in recordings:
        before = Recording.open(path)
        waits = (path / "segments").is_dir() or (path / "compacted").is_dir()
        if not waits and before.manifest.get("status") != "recording":
            click.echo(f"{_safe(path)}: nothing to do, it is {before.status}", err=True)
            continue
        ended = before.manifest.get("ended")
        before.behaviours()  # what cannot be read is told before anything changes
        writer = RecordingWriter.resume(path, same_counters=True)
        writer.manifest["ended"] = ended or _last_seen(before)
        _let_go(before)
        writer.finish("interrupted")
        click.echo(f"{_safe(path)}: finished", err=True)


def _let_go(recording: Any) -> None:
    """End what a killed recorder has left in the kernel: it would count on for ever."""
    from collectors.live.backend import unpin  # noqa: PLC0415 - heavy

    pins = recording.manifest.get("pins")
    if pins and Path(pins).is_dir():
        unpin(Path(pins))
        click.echo(f"{_safe(recording.path)}: its programs are out of the kernel", err=True)


def _last_seen(recording: Any) -> str | None:
    import pyarrow.compute as pc  # noqa: PLC0415 - heavy

    last = pc.max(recording.behaviours()["last_seen"]).as_py()
    return last.isoformat(timespec="milliseconds") if last else None


@command.command("merge")
@click.argument("recordings", nargs=-1, required=True, type=_PATH)
@click.option("-o", "--output", required=True, type=_PATH, help="Folder of the new recording.")
def merge(recordings: tuple[Path, ...], output: Path) -> None:
    """Put the units of several recordings into a new one; what they are made of stays.

    A class counts as watched only if every one of them watched it. A unit name that two of them use becomes
    NAME@RECORDING-ID.

    \b
    Examples:
      discover datasets merge recordings/web-1 recordings/web-2 -o recordings/web
    """  # noqa: D301 - click's own mark
    from discover.merging import merge as merged  # noqa: PLC0415 - heavy
    from models.dataset import open_dataset  # noqa: PLC0415

    rows = merged(open_dataset(recordings), output)
    click.echo(f"{_safe(output)}: {rows} behaviours", err=True)


@command.command("remove")
@click.argument("recordings", nargs=-1, required=True, type=_PATH)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def remove(recordings: tuple[Path, ...], yes: bool) -> None:
    """Delete recordings. Only folders that hold a recording are deleted, and none that is being recorded.

    \b
    Examples:
      discover datasets remove recordings/old
      discover datasets remove --yes recordings/web-1 recordings/web-2
    """  # noqa: D301 - click's own mark
    from discover.errors import UsageError  # noqa: PLC0415
    from models.dataset_layout import NoDataset, is_live, is_recording  # noqa: PLC0415 - heavy

    for path in recordings:
        if path.is_symlink() or not is_recording(path):
            raise NoDataset(f"{path} is no recording", "nothing was deleted")
        if is_live(path):
            raise UsageError(f"{path} is being recorded", "stop the recorder first; nothing was deleted")
    for path in recordings:
        if not yes and not click.confirm(f"delete {_safe(path)}?", err=True):
            continue
        shutil.rmtree(path)
        click.echo(f"{_safe(path)}: deleted", err=True)


def _safe(path: Path) -> str:
    from discover.text import printable  # noqa: PLC0415

    return printable(str(path))


def _warn(text: str) -> None:
    from discover.text import printable  # noqa: PLC0415

    click.echo(f"warning: {printable(text)}", err=True)
