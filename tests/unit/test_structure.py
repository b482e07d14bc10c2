"""The rooms import only what the design lets them, and no module outgrows one idea."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = {
    "bpf": set(),
    "models": set(),
    "collectors": {"bpf", "models"},
    "enforcer": {"bpf", "models"},
    "discover": {"bpf", "models", "collectors", "enforcer"},
}
MODULES = sorted(p for room in ROOMS for p in (ROOT / room).rglob("*.py"))


def imported_rooms(module: Path) -> set[str]:
    tree = ast.parse(module.read_text())
    names = [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    names += [n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module and not n.level]
    return {n.split(".")[0] for n in names} & set(ROOMS)


@pytest.mark.parametrize("module", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_room_imports_only_what_the_design_allows(module: Path) -> None:
    room = module.relative_to(ROOT).parts[0]
    assert imported_rooms(module) <= ROOMS[room] | {room}


@pytest.mark.parametrize("module", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_module_is_one_idea(module: Path) -> None:
    assert len(module.read_text().splitlines()) <= 400
