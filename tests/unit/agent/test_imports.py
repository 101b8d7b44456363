"""The agent's parts import downwards only, and each library has one module that imports it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3] / "agent" / "fakevm_agent"

# From the top down; packages in one line do not import each other.
ORDER = (
    {"__main__"},
    {"agent"},
    {"server", "nova_events"},
    {"vms"},
    {"plans"},
    {"host"},
    {"suspend", "vif", "ovs"},
    {"guest"},
    {"records"},
    {"protocol", "asleep"},
    {"kernel", "config", "probe", "api"},
)

# Who imports a package, where that is not all that is above it.
ONLY_BY = {
    "agent": {"__main__"},
    "asleep": {"__main__", "agent"},
    "server": {"agent"},
    "plans": {"vms"},
    "protocol": {"ovs", "vms", "server", "nova_events"},
    "nova_events": set(),
    "api": {"agent", "vms", "nova_events"},
    "probe": set(),
}

ONLY_IN = {
    "pyroute2": {"kernel.devices"},
    "ovsdbapp": {"ovs.connection"},
    "os_vif": {"vif.osvif"},
    "vif_plug_ovs": {"vif.osvif"},
    "oslo_config": {"config", "vif.osvif"},
    "pydantic": {"protocol.wire"},
    "ctypes": {"kernel.libc"},
}

# Packages that import a module when it is needed (fakevm/lazy.py), and which one.
LAZY = {"kernel": "devices", "vif": "osvif"}

# Of the standard library, and of these packages: a prober starts in a VM, while a guest moves; the
# spawner is forked before all else is imported; an agent that is asleep holds nothing else.
PLAIN = {
    "probe": {"probe"},
    "guest.spawner": {"kernel"},
    "asleep": {"kernel"},
    "kernel.libc": set(),
    "kernel.sockets": set(),
}


def modules() -> dict[str, Path]:
    """Return the agent's modules by their names below its own; packages are empty."""
    found = {path.relative_to(ROOT).with_suffix("").parts: path for path in ROOT.rglob("*.py")}
    return {".".join(parts): found[parts] for parts in sorted(found) if parts[-1] != "__init__"}


def imports(node: ast.AST) -> Iterator[str]:
    """Yield what is imported, by full names; a relative import keeps its dots."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import):
            yield from (alias.name for alias in inner.names)
        elif isinstance(inner, ast.ImportFrom):
            for alias in inner.names:
                yield f"{'.' * inner.level}{inner.module or ''}.{alias.name}"


def package(module: str) -> str:
    return module.split(".")[0]


def level(module: str) -> int:
    (found,) = (n for n, names in enumerate(ORDER) if package(module) in names)
    return found


def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


def imported(module: str) -> set[str]:
    return set(imports(tree(module)))


def ours(module: str) -> set[str]:
    """Return the other packages of the agent that a module imports."""
    names = {name.split(".")[1] for name in imported(module) if name.startswith("fakevm_agent.")}
    return names - {package(module)}


def test_packages_are_empty_and_say_what_they_own() -> None:
    for path in ROOT.rglob("__init__.py"):
        says, *rest = ast.parse(path.read_text(encoding="utf-8")).body
        assert isinstance(says, ast.Expr), path
        if path.parent.name in LAZY:
            assert "__getattr__ = lazy.modules(__name__)" in ast.unparse(rest[-1]), path
        else:
            assert not rest, path


@pytest.mark.parametrize("module", sorted({f"{p}.{m}" for p, m in LAZY.items()}))
def test_what_is_loaded_when_it_is_needed_is_imported_by_none(module: str) -> None:
    # What stands there for who checks types is not run.
    heads = {
        one: " ".join(
            name
            for node in tree(one).body
            if not isinstance(node, ast.If | ast.ClassDef)
            for name in imports(node)
        )
        for one in modules()
    }
    assert [one for one, names in heads.items() if f"fakevm_agent.{module}" in names] == []


@pytest.mark.parametrize("module", modules())
def test_imports_say_where_they_go(module: str) -> None:
    assert not [name for name in imported(module) if name.startswith(".")]


@pytest.mark.parametrize("module", modules())
def test_the_agent_shares_values_and_errors_alone(module: str) -> None:
    shared = {name.split(".")[1] for name in imported(module) if name.startswith("fakevm.")}
    assert shared <= {"model", "names", "errors", "lazy"}


@pytest.mark.parametrize("module", modules())
def test_a_package_imports_what_is_below_it(module: str) -> None:
    below = {name for name in ours(module) if level(name) > level(module)}
    assert ours(module) - below == set()


@pytest.mark.parametrize("name", ONLY_BY)
def test_a_package_is_imported_by_these_alone(name: str) -> None:
    assert {package(module) for module in modules() if name in ours(module)} == ONLY_BY[name]


@pytest.mark.parametrize("module", modules())
def test_imports_stand_at_the_top(module: str) -> None:
    inner = {
        name
        for node in ast.walk(tree(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for name in imports(node)
    }
    # The spawner is forked before anything heavy is imported.
    assert inner == ({"fakevm_agent.agent.run"} if module == "__main__" else set())


@pytest.mark.parametrize("module", [m for m in modules() if {m, package(m)} & PLAIN.keys()])
def test_what_starts_alone_is_plain(module: str) -> None:
    inner = {name for name in imported(module) if name.startswith("fakevm_agent.")}
    assert {name.split(".")[0] for name in imported(module) - inner} <= sys.stdlib_module_names
    allowed = PLAIN.get(module) or PLAIN.get(package(module), set())
    assert {name.split(".")[1] for name in inner} <= allowed


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_has_one_importer(library: str) -> None:
    importers = {
        module
        for module in modules()
        if library in {name.split(".")[0] for name in imported(module)}
    }
    assert importers == ONLY_IN[library]
