"""A scenario is tried as often as it takes to tell, each time on a stage of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from fakevm.errors import ConflictError
from fakevm.lab import Lab
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import Stage


def carry_out(
    scenario: Scenario,
    lab: Lab,
    *,
    timeout_s: float,
    say: Callable[[str], None],
    tries: int | None = None,
) -> Finding:
    """Try a scenario, `tries` times at most if given; return what all tries together found."""
    if why := scenario.not_on.get(lab.backend.name):
        raise ConflictError(f"it does not apply to {lab.backend.title}: {why}")
    if command := lab.backend.other_l2_agent(lab.options):
        raise ConflictError(
            f"the faults are {lab.backend.title}'s; this lab's hosts have {command}",
            hint="fakevm up --name ANOTHER",
        )
    wanted = tries or scenario.tries
    findings: list[Finding] = []
    for number in range(1, wanted + 1):
        if wanted > 1:
            say(f"try {number} of {wanted}")
        with Stage(lab, scenario.name, timeout_s=timeout_s, say=say) as stage:
            findings.append(scenario.run(stage))
        if findings[-1].fault:
            break
    return together(findings, wanted=wanted)


def together(findings: Sequence[Finding], *, wanted: int) -> Finding:
    """Return what was found in several tries: the first fault, or the last try, and how often."""
    faults = [finding for finding in findings if finding.fault]
    finding = faults[0] if faults else findings[-1]
    if wanted == 1:
        return finding
    words = f"In {_count(len(faults), len(findings))}: {finding.words}"
    if not faults:
        words = f"In none of {len(findings)} tries; in the last: {finding.words}"
    measured = {"tries": f"{len(faults)} of {len(findings)}", **finding.measured}
    return replace(finding, words=words, measured=measured)


def _count(faults: int, tries: int) -> str:
    return "the first try" if tries == 1 else f"{faults} of {tries} tries"
