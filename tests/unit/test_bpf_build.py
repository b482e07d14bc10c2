"""bpf/build.py: which objects a source gives, and when they are made again."""

import os
from pathlib import Path

import pytest

from bpf import build

SOURCE = (
    '#include "number.h"\nchar LICENSE[] __attribute__((section("license"), used)) = "GPL";\nint number = NUMBER;\n'
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "number.h").write_text("#define NUMBER 1\n")
    (tmp_path / "one.bpf.c").write_text(SOURCE)
    return tmp_path


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def age(path: Path) -> None:
    os.utime(path, (1, 1))


def test_a_source_gives_one_object_or_one_a_variant(folder: Path) -> None:
    (folder / "two.bpf.c").write_text("// SPDX\n/*\n * variants: a=-DA\n *   b_2=-DB,-DC=1\n */\n" + SOURCE)
    found = {target.object.name: target.flags for target in build.targets(folder)}
    assert found == {"one.bpf.o": (), "two.a.bpf.o": ("-DA",), "two.b_2.bpf.o": ("-DB", "-DC=1")}


def test_a_malformed_variant_is_an_error(folder: Path) -> None:
    (folder / "one.bpf.c").write_text("/* variants: tracepoint */\n")
    with pytest.raises(build.BuildError, match="'tracepoint' is not name=-DFLAG"):
        build.targets(folder)


def test_only_what_is_out_of_date_is_compiled(folder: Path) -> None:
    for path in folder.iterdir():
        age(path)
    assert names(build.build(folder)) == ["one.bpf.o"]
    assert build.build(folder) == []
    (folder / "number.h").write_text("#define NUMBER 2\n")
    later = (folder / "one.bpf.o").stat().st_mtime + 10
    os.utime(folder / "number.h", (later, later))
    assert names(build.build(folder)) == ["one.bpf.o"]
    assert names(build.build(folder, force=True)) == ["one.bpf.o"]


def test_equal_sources_give_equal_bytes_anywhere(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("elsewhere")
    for name in ("number.h", "one.bpf.c"):
        (other / name).write_bytes((folder / name).read_bytes())
    (first,), (second,) = build.build(folder), build.build(other)
    assert first.read_bytes() == second.read_bytes()


def test_a_source_that_does_not_compile_leaves_no_object(folder: Path) -> None:
    (folder / "one.bpf.c").write_text("int broken(void) { return missing; }\n")
    with pytest.raises(build.BuildError, match=r"one\.bpf\.c does not compile(.|\n)*missing"):
        build.build(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["number.h", "one.bpf.c"]


def test_without_clang_current_objects_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build.build(folder)
    monkeypatch.setenv("CLANG", "/nonexistent/clang")
    assert build.build(folder) == []
    age(folder / "one.bpf.o")
    with pytest.raises(build.BuildError, match="hint: apt-get install clang"):
        build.build(folder)


def test_the_command_reports_and_exits_3_on_failure(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main([str(folder)]) == 0
    assert capsys.readouterr().out.startswith("compiled one.bpf.o (")
    (folder / "one.bpf.c").write_text("/* variants: = */")
    assert build.main([str(folder)]) == 3
    assert capsys.readouterr().err.startswith("error: ")
