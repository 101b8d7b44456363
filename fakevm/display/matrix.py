"""Who reaches whom, on stdout: a grid for people, JUnit's XML for a CI."""

from __future__ import annotations

from xml.etree import ElementTree

import click

from fakevm.display import output
from fakevm.reach.matrix import Matrix, Pair

# Of more VMs a grid is no picture any more.
GRID_MAX = 20

# What a cell has: the worst of its addresses has the word.
_MARKS = {"silent": "✗", "answered": "!", "not judged": "?", "as expected": "·", "reached": "✓"}


def state(pair: Pair) -> str:
    """Return a word for what came of one address."""
    if pair.failed:
        return "answered" if pair.answered else "silent"
    if pair.expected is None:
        return "not judged"
    return "reached" if pair.answered else "as expected"


def words(pair: Pair) -> str:
    """Return a failure as a sentence."""
    where = f"{pair.source} → {pair.target} ({pair.address})"
    if pair.answered is None:
        return f"{where}: nobody could ask: {pair.why}"
    if pair.answered:
        return f"{where}: an answer came that should not: {pair.why}"
    return f"{where}: no answer, and one should come"


def show(matrix: Matrix) -> None:
    """Print a grid of a few VMs, then what is not as it should be, and how much is."""
    if len(matrix.vms) <= GRID_MAX:
        _grid(matrix)
    for pair in matrix.failures:
        click.echo(output.visible(words(pair)))
    good = len(matrix.pairs) - len(matrix.failures)
    unjudged = sum(pair.expected is None for pair in matrix.pairs)
    click.echo(
        f"{good} of {len(matrix.pairs)} are as Neutron has it"
        + (f", {unjudged} of them not judged" if unjudged else "")
        + f"; {matrix.seconds} s"
    )


def _grid(matrix: Matrix) -> None:
    order = list(_MARKS)
    cells: dict[tuple[str, str], str] = {}
    for pair in matrix.pairs:
        place = pair.source, pair.target
        cells[place] = min(cells.get(place, order[-1]), state(pair), key=order.index)
    numbers = [str(number) for number in range(1, len(matrix.vms) + 1)]
    rows = [
        [
            number,
            output.visible(source),
            *(_MARKS.get(cells.get((source, target), ""), "") for target in matrix.vms),
        ]
        for number, source in zip(numbers, matrix.vms, strict=True)
    ]
    output.table(rows, ["", "from", *numbers])
    click.echo("✓ answers   · silent, as it should be   ? not judged   ✗ silent   ! answers\n")


def junit(matrix: Matrix) -> str:
    """Return it as a test suite, a case for each address that a VM asked."""
    suite = ElementTree.Element(
        "testsuite",
        name=f"fakevm ping of the lab {matrix.lab}",
        tests=str(len(matrix.pairs)),
        failures=str(len(matrix.failures)),
        skipped=str(sum(pair.expected is None for pair in matrix.pairs)),
        time=f"{matrix.seconds:g}",
    )
    for pair in matrix.pairs:
        name = f"{pair.target} ({pair.address})"
        case = ElementTree.SubElement(suite, "testcase", classname=pair.source, name=name)
        if pair.failed:
            ElementTree.SubElement(case, "failure", message=words(pair))
        elif pair.expected is None:
            ElementTree.SubElement(case, "skipped", message=pair.why)
    # What XML can't have, no name of Neutron's is printed with.
    return ElementTree.tostring(suite, encoding="unicode")
