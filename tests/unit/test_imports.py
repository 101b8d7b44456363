"""The parts import downwards only, and each library has one module that imports it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from fakevm.cli.root import COMMANDS

ROOT = Path(__file__).resolve().parents[2] / "fakevm"

PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))

# From the top down; packages and modules in one line do not import each other.
ORDER = (
    {"__main__"},
    {"cli"},
    {"ui", "testing"},
    {"library"},
    {"scenarios", "shortcut", "display"},
    {"lab"},
    {"looks"},
    {"evidence"},
    {"lifecycle", "trace", "outages", "capture", "logs", "preflight", "labfile"},
    {"contents"},
    {"stock"},
    {"migrate", "reach"},
    {"probes"},
    {"vms"},
    {"inventory"},
    {"reports", "labs"},
    {"recipe"},
    {"protocol"},
    {"clients"},
    {"backends"},
    {"neutron"},
    {"model", "names"},
    {"errors", "lazy"},
)

ONLY_IN = {
    "openstack": {"neutron.api", "neutron.sdk"},
    "keystoneauth1": {"neutron.sender", "neutron.password"},
    "docker": {"clients.docker_api", "clients.engine"},
    # capture.relay runs in a host.
    "subprocess": {"clients.process", "cli.lab.demo", "capture.relay"},
    "rich": {"display.tables", "display.live"},
    "yaml": {"display.documents", "recipe.compose", "labfile.source"},
    "pydantic": {"labfile.model"},
    "pydantic_core": {"labfile.model"},
}


def modules(root: Path = ROOT) -> dict[str, Path]:
    found = (path.relative_to(root).with_suffix("") for path in sorted(root.rglob("*.py")))
    return {
        ".".join(part for part in path.parts if part != "__init__"): root / path.with_suffix(".py")
        for path in found
        if path.parts != ("__init__",)
    }


@cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imports(path: Path) -> Iterator[str]:
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield f"{'.' * node.level}{node.module or ''}.{alias.name}"


def listed(path: Path) -> list[str]:
    """Return what a package's init names for type checkers."""
    names = [name for name in imports(path) if name.startswith("fakevm.")]
    return [name.rpartition(".")[2] for name in names if name.count(".") > 1]


def imports_in_functions(path: Path) -> Iterator[str]:
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Import | ast.ImportFrom):
                    yield f"line {inner.lineno}"


def level(module: str) -> int:
    (found,) = (n for n, names in enumerate(ORDER) if module.split(".")[0] in names)
    return found


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_what_is_below_it(module: str) -> None:
    names = list(imports(modules()[module]))
    assert not [name for name in names if name.startswith(".")], "they hide where they go"
    ours = {name.split(".")[1] for name in names if name.startswith("fakevm.")}
    ours -= {module.split(".")[0]}
    below = {name for name in ours if level(name) > level(module)}
    assert ours - below == set()


@pytest.mark.parametrize("module", modules())
def test_no_import_stands_in_a_function(module: str) -> None:
    # fakevm.lazy says what is done instead.
    assert list(imports_in_functions(modules()[module])) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_what_it_owns_and_imports_what_it_names_when_it_is_used(
    package: str,
) -> None:
    made = import_module(f"fakevm.{package}")
    assert made.__doc__
    assert "\n" not in made.__doc__
    for name in listed(ROOT / package / "__init__.py"):
        assert getattr(made, name) is import_module(f"fakevm.{package}.{name}")


def test_a_package_has_no_other_attributes() -> None:
    with pytest.raises(AttributeError, match=r"fakevm\.vms has no module 'nonsense'"):
        _ = import_module("fakevm.vms").nonsense


@pytest.mark.parametrize("module", modules())
def test_a_library_is_imported_in_its_own_module(module: str) -> None:
    used = {name.split(".")[0] for name in imports(modules()[module])}
    assert {lib for lib, owners in ONLY_IN.items() if lib in used and module not in owners} == set()


def test_a_module_is_read_in_one_sitting() -> None:
    lines = {
        name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules().items()
    }
    assert {name: count for name, count in lines.items() if count > 400} == {}


def test_a_package_is_seen_at_a_glance() -> None:
    rooms = {path.parent for path in ROOT.rglob("__init__.py")}
    counts = {str(room.relative_to(ROOT)): len(list(room.glob("[!_]*.py"))) for room in rooms}
    # A module for each known fault.
    del counts["scenarios/faults"]
    assert {room: count for room, count in counts.items() if count > 12} == {}


def test_the_agent_is_not_imported() -> None:
    names = [name for path in modules().values() for name in imports(path)]
    assert [name for name in names if name.startswith("fakevm_agent")] == []


# What is imported before the first question to Docker and Neutron; the rest comes later.
@pytest.mark.parametrize(
    ("modules", "without"),
    [
        (
            "fakevm.cli.vm.ports fakevm.lab",
            "docker keystoneauth1 openstack yaml rich fakevm.vms.boot",
        ),
        (
            "fakevm.cli.vm.ports fakevm.lab",
            "fakevm.clients.agents fakevm.clients.events fakevm.inventory.vifs"
            " fakevm.reports.migration",
        ),
        (
            "fakevm.cli.vm.vms fakevm.shortcut.execute",
            "docker keystoneauth1 openstack yaml rich dataclasses",
        ),
        (
            "fakevm.cli.root fakevm.cli.vm.vms fakevm.shortcut.offers fakevm.shortcut.asking",
            "docker keystoneauth1 openstack yaml rich dataclasses fakevm.lab fakevm.clients.engine",
        ),
        ("fakevm.cli.lab.labs fakevm.lab fakevm.labs.up", "pydantic"),
        (
            "fakevm.cli.root",
            "fakevm.cli.session fakevm.cli.lab.labs fakevm.clients fakevm.shortcut.offers",
        ),
    ],
)
def test_a_command_starts_with_little(modules: str, without: str) -> None:
    code = f"import sys; [__import__(m) for m in {modules.split()}]; print(*sys.modules)"
    argv = (sys.executable, "-c", code)
    loaded = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout
    assert set(loaded.split()) & set(without.split()) == set()


@pytest.mark.parametrize(
    "module",
    sorted({where.partition(":")[0] for names in COMMANDS.values() for where in names.values()}),
)
def test_a_shell_s_completion_imports_little_of_a_command(module: str) -> None:
    code = (
        f"import sys, fakevm.cli.root; before = len(sys.modules); import fakevm.cli.{module};"
        "print(len(sys.modules) - before, *sys.modules)"
    )
    argv = (sys.executable, "-c", code)
    loaded = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout
    more, *names = loaded.split()
    # `up` has what a lab may be as its options.
    assert int(more) <= (60 if module == "lab.labs" else 30)
    heavy = {
        "docker",
        "keystoneauth1",
        "yaml",
        "rich",
        "http.client",
        "fakevm.lab",
        "fakevm.clients.parts",
    }
    assert set(names) & heavy == set()
