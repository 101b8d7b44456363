"""The agent's parts import downwards only, and each library has one module that imports it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3] / "agent" / "fakevm_agent"

ONLY_IN = {
    "pyroute2": {"kernel.netlink"},
    "ovsdbapp": {"ovs.connection"},
    "os_vif": {"vif.osvif"},
    "pydantic": {"protocol.wire"},
    "ctypes": {"kernel.libc"},
}


def modules() -> dict[str, Path]:
    """Return the agent's modules by their names below its own."""
    found = (path.relative_to(ROOT).with_suffix("") for path in sorted(ROOT.rglob("*.py")))
    return {
        ".".join(part for part in path.parts if part != "__init__"): ROOT / path.with_suffix(".py")
        for path in found
    }


def imports(node: ast.AST) -> Iterator[str]:
    """Yield what is imported, by full names; a relative import keeps its dots."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import):
            yield from (alias.name for alias in inner.names)
        elif isinstance(inner, ast.ImportFrom):
            for alias in inner.names:
                yield f"{'.' * inner.level}{inner.module or ''}.{alias.name}"


def imported(module: str) -> set[str]:
    return set(imports(ast.parse(modules()[module].read_text(encoding="utf-8"))))


@pytest.mark.parametrize("module", modules())
def test_imports_say_where_they_go(module: str) -> None:
    assert not [name for name in imported(module) if name.startswith(".")]


@pytest.mark.parametrize("module", modules())
def test_the_agent_shares_values_and_errors_alone(module: str) -> None:
    shared = {name.split(".")[1] for name in imported(module) if name.startswith("fakevm.")}
    assert shared <= {"model", "names", "errors"}


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_has_one_importer(library: str) -> None:
    importers = {
        module
        for module in modules()
        if library in {name.split(".")[0] for name in imported(module)}
    }
    assert importers == ONLY_IN[library]
