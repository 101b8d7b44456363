"""The table of docs/fullstack.md: what is taken up, with each backend's result.

`python -m tests.scenarios.table JUNIT-OVS JUNIT-OVN > docs/fullstack.md`.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).parent
BACKENDS = ("ovs", "ovn")

HEAD = """\
# Neutron's fullstack

What `tests/scenarios` takes up of Neutron's `neutron/tests/fullstack` and of
neutron-tempest-plugin's scenarios: {passed}. `make scenarios` runs them on both
backends, `make scenarios BACKEND=ovn` on one, and writes JUnit files, of which
`python -m tests.scenarios.table results/scenarios-ovs.xml results/scenarios-ovn.xml`
prints this page.

✓ passes, ✗ fails, ! fails for a fault of Neutron's that is named below, — is not for this backend.
Seconds are each test's own, on OVS and on OVN: on two cores, beside another worker, without its lab
and without the removal of what it made.

"""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a test on a backend."""

    mark: str
    seconds: float
    # Why it is as it is, of one that did not pass.
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A test of a module, with its results by backend."""

    takes_up: str
    module: str
    test: str
    results: Mapping[str, Result]


def result_of(case: ElementTree.Element) -> Result:
    """Return what JUnit's element says."""
    seconds = float(case.get("time", "0"))
    if case.find("failure") is not None or case.find("error") is not None:
        return Result(mark="✗", seconds=seconds)
    skipped = case.find("skipped")
    if skipped is None:
        return Result(mark="✓", seconds=seconds)
    is_fault = skipped.get("type") == "pytest.xfail"
    reason = skipped.get("message", "")
    return Result(mark="!" if is_fault else "—", seconds=seconds, reason=reason)


def results(junit: Path) -> dict[tuple[str, str], Result]:
    """Return the results of a JUnit file, by module and test."""
    found = ElementTree.parse(junit).getroot().iter("testcase")
    return {(one.get("classname", ""), one.get("name", "")): result_of(one) for one in found}


def takes_up(module: str) -> str:
    """Return what a module's docstring says that it takes up: all before the colon."""
    file = Path(*module.split(".")).with_suffix(".py")
    words = ast.get_docstring(ast.parse((HERE.parents[1] / file).read_text(encoding="utf-8")))
    return (words or "").splitlines()[0].partition(": ")[0].rstrip(".")


def rows(by_backend: Mapping[str, Mapping[tuple[str, str], Result]]) -> list[Row]:
    """Return the tests of all files, as pytest has ordered them."""
    both = dict.fromkeys(key for found in by_backend.values() for key in found)
    return [
        Row(
            takes_up=takes_up(module),
            module=module.removeprefix("tests.scenarios."),
            test=test,
            results={name: found[key] for name, found in by_backend.items() if key in found},
        )
        for key in sorted(both, key=lambda key: key[0])
        for module, test in [key]
    ]


def page(found: Sequence[Row]) -> Iterator[str]:
    """Yield the page's pieces."""
    counts = [
        f"{sum(row.results[name].mark == '✓' for row in found if name in row.results)} on {word}"
        for name, word in (("ovs", "ML2/OVS"), ("ovn", "ML2/OVN"))
    ]
    yield HEAD.format(passed=f"{len(found)} tests, of which {' and '.join(counts)} pass")
    yield "| takes up | test | ovs | ovn | seconds |\n|---|---|---|---|---|\n"
    before = ""
    for row in found:
        marks = [row.results[b].mark if b in row.results else "—" for b in BACKENDS]
        ran = [r for b in BACKENDS if (r := row.results.get(b)) and r.mark != "—"]
        seconds = ", ".join(f"{one.seconds:.1f}" for one in ran)
        first = "" if row.module == before else f"{row.takes_up} (`{row.module}`)"
        yield f"| {first} | {row.test} | {marks[0]} | {marks[1]} | {seconds} |\n"
        before = row.module
    faults = {
        f"- {row.test} ({name}): {one.reason}\n": None
        for row in found
        for name, one in row.results.items()
        if one.mark == "!"
    }
    if faults:
        yield "\n## Faults of Neutron's\n\n"
        yield from faults
    yield f"\n{(HERE / 'cannot.md').read_text(encoding='utf-8')}"


def main() -> None:
    """Print the page."""
    files = [Path(name) for name in sys.argv[1:]]
    if len(files) != len(BACKENDS):
        sys.exit("python -m tests.scenarios.table JUNIT-OVS JUNIT-OVN")
    found = rows({b: results(file) for b, file in zip(BACKENDS, files, strict=True)})
    sys.stdout.write("".join(page(found)))


if __name__ == "__main__":
    main()
