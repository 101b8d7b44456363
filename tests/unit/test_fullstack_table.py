"""The table of docs/fullstack.md."""

from __future__ import annotations

from pathlib import Path

from tests.scenarios import table

MODULE = "tests.scenarios.test_mtu"

JUNIT = """<testsuites><testsuite>
<testcase classname="tests.scenarios.test_mtu" name="test_a" time="1.25"/>
<testcase classname="tests.scenarios.test_mtu" name="test_b" time="0">{}</testcase>
</testsuite></testsuites>"""

ELSEWHERE = '<skipped type="pytest.skip" message="needs a lab of ovn"/>'
FAULT = '<skipped type="pytest.xfail" message="bug 1"/>'


def _results(folder: Path, inside: str) -> dict[tuple[str, str], table.Result]:
    file = folder / "junit.xml"
    file.write_text(JUNIT.format(inside))
    return table.results(file)


def test_a_junit_file_says_what_came_of_each_test(tmp_path: Path) -> None:
    assert _results(tmp_path, ELSEWHERE)[MODULE, "test_a"] == table.Result(mark="✓", seconds=1.25)
    marks = [
        _results(tmp_path, inside)[MODULE, "test_b"].mark
        for inside in (ELSEWHERE, FAULT, "<failure/>", "<error/>")
    ]
    assert marks == ["—", "!", "✗", "✗"]


def test_a_row_has_both_backends_results_and_what_its_module_takes_up(tmp_path: Path) -> None:
    ovs, ovn = _results(tmp_path, ELSEWHERE), _results(tmp_path, FAULT)
    text = "".join(table.page(table.rows({"ovs": ovs, "ovn": ovn})))
    assert "| fullstack test_mtu (`test_mtu`) | test_a | ✓ | ✓ | 1.2, 1.2 |" in text
    assert "|  | test_b | — | ! | 0.0 |" in text
    assert "- test_b (ovn): bug 1" in text
    assert "2 tests, of which 1 on ML2/OVS and 1 on ML2/OVN pass" in text


def test_each_module_says_what_it_takes_up() -> None:
    root = table.HERE.parents[1]
    for file in table.HERE.rglob("test_*.py"):
        module = ".".join(file.relative_to(root).with_suffix("").parts)
        words = table.takes_up(module)
        assert "fullstack" in words or "neutron-tempest-plugin" in words, file
