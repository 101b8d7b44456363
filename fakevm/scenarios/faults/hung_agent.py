"""AA: an L2 agent starts, and hangs for ever before it has set a flow."""

from __future__ import annotations

from fakevm.errors import FakevmError
from fakevm.protocol.interrupt import deferred
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import Stage

# How long the agent takes for its first flows: 2 s, of which OpenFlow's first answer are 0.1 s.
FLOWS_S = 20.0

# In every other of them it hangs, on an idle machine.
STARTS = 8

# Its options are read in the first second of its life.
_START = """
options=/etc/neutron/neutron.conf.d/zz-scenario.conf
trap exit HUP INT TERM
trap 'rm -f "$options"' EXIT
printf '[DEFAULT]\\ndebug = true\\ndefault_log_levels = %s\\n' "$1" >"$options"
cd /run/services
s6-svc -d l2-agent
s6-svwait -D -t 20000 l2-agent
s6-svc -u l2-agent
sleep 5
"""

# As an operator's own, who knows nothing of those that Neutron adds (common/config.py).
_LEVELS = "amqp=WARN,oslo_messaging=INFO"


def run(stage: Stage) -> Finding:
    """Let an L2 agent start some times as one that logs more, until it hangs."""
    host, _ = stage.hosts
    starts, hung = 0, False
    try:
        while starts < STARTS and not hung:
            starts += 1
            hung = not _starts(stage, host)
    finally:
        stage.say(f"restarting the L2 agent of {host}")
        with deferred():
            former = stage.cookies(host)
            stage.lab.restart([host], only="l2-agent")
    if not _has_set_flows(stage, host, former):
        raise FakevmError(f"the L2 agent of {host} sets no flows after a restart, either")
    return judge(starts=starts, hung=hung)


def judge(*, starts: int, hung: bool) -> Finding:
    """Return what it means that an agent hung in the last of its starts, or in none of them."""
    measured: dict[str, object] = {"starts": starts, "hung": hung}
    if not hung:
        words = f"The L2 agent had its first flows in all of {starts} starts."
        return Finding(fault=False, words=words, measured=measured)
    words = (
        f"In start {starts} the L2 agent had no flow after {FLOWS_S:.0f} s, and waited for ever; a"
        " restart healed it."
    )
    return Finding(fault=True, words=words, measured=measured)


def _starts(stage: Stage, host: str) -> bool:
    """Start a host's L2 agent anew as one that logs more; tell whether it sets flows."""
    stage.say(f"the L2 agent of {host} starts with debug, and default_log_levels {_LEVELS}")
    former = stage.cookies(host)
    stage.in_service(host, "sh", "-c", _START, "-", _LEVELS)
    return _has_set_flows(stage, host, former)


def _has_set_flows(stage: Stage, host: str, former: set[str]) -> bool:
    seconds = stage.seconds_until(lambda: stage.cookies(host) - former, within_s=FLOWS_S)
    return seconds is not None


SCENARIO = Scenario(
    name="hung-agent",
    letter="AA",
    title="an L2 agent hangs while it starts",
    shows=(
        "os-ken tells its apps that a bridge has connected before it knows its datapath-ID:"
        " observers hear of the features' answer first (controller.py, Datapath._recv_loop), then"
        " the handler logs it, and sets the ID (ofp_handler.py, switch_features_handler). With"
        " threads instead of eventlet ofctl's app may be quicker, and finds no ID: its assertion"
        " (app/ofctl/service.py, _switch_features_handler) ends its event loop without a word,"
        " since TaskExit is every Exception (lib/hub.py). The L2 agent then waits for its answer"
        " for ever (_get_dp_by_dpid). It comes once in some hundred starts of a busy machine, and"
        " in every other one where OFPHandler's debug log is on, for which a thread gives way: as"
        " with debug and default_log_levels of one's own, which replace Neutron's. Here it is."
    ),
    reference="os-ken 4.1.2; no bug number is known",
    expects="The L2 agent sets its flows in every start.",
    run=run,
    not_on={"ovn": "no agent of Neutron's speaks OpenFlow there"},
)
