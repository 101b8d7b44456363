"""V: a router's gateway gets another address, and the router keeps the former one."""

from __future__ import annotations

from fakevm.errors import FakevmError
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import Stage

SUBNET = {
    "cidr": "192.0.2.0/24",
    "ip_version": 4,
    "gateway_ip": None,
    "enable_dhcp": False,
    "allocation_pools": [{"start": "192.0.2.2", "end": "192.0.2.99"}],
}
# Nobody else is given them by chance.
FORMER, NEW = "192.0.2.100", "192.0.2.101"

_EXTERNAL = {
    "router:external": True,
    "provider:network_type": "vlan",
    "provider:physical_network": "physnet1",
}

# How long the gateway may take to be there, and to move.
THERE_S = 30.0
MOVED_S = 8.0


def run(stage: Stage) -> Finding:
    """Give another address to a router's gateway port, and ping both from outside."""
    host, _ = stage.hosts
    outside = stage.network(SUBNET, **_EXTERNAL)
    gateway = {"network_id": outside.id, "enable_snat": False}
    router = stage.make("router", external_gateway_info={**gateway, **_at(FORMER)})
    stranger = stage.vm(outside, "stranger", host)
    if stage.answered_after(stranger, FORMER, within_s=THERE_S) is None:
        raise FakevmError(f"the router's gateway {FORMER} does not answer")
    (port,) = stage.neutron.ports(device_id=str(router["id"]), network_id=outside.id)
    stage.say(f"the gateway's port: {NEW} instead of {FORMER}")
    stage.neutron.update_port(port.id, {"fixed_ips": [{"ip_address": NEW}]})
    moved = stage.answered_after(stranger, NEW, within_s=MOVED_S)
    former, again = False, None
    if moved is None:
        former = stage.answered_after(stranger, FORMER, within_s=0) is not None
        stage.say("no gateway, and the gateway again")
        for info in ({}, {**gateway, **_at(NEW)}):
            body = {"router": {"external_gateway_info": info}}
            stage.neutron.write("PUT", f"/routers/{router['id']}", body)
        again = stage.answered_after(stranger, NEW, within_s=MOVED_S)
    return judge(moved_after_s=moved, former_answers=former, set_again_after_s=again)


def judge(
    *, moved_after_s: float | None, former_answers: bool, set_again_after_s: float | None
) -> Finding:
    """Return after how long the new address answered; None: not in time."""
    measured: dict[str, object] = {"moved_after_s": moved_after_s}
    if moved_after_s is not None:
        words = f"The gateway answered at its new address after {moved_after_s} s."
        return Finding(fault=False, words=words, measured=measured)
    measured |= {"former_answers": former_answers, "set_again_after_s": set_again_after_s}
    healed = "not even" if set_again_after_s is None else f"{set_again_after_s} s"
    kept = ", but still at its former one" if former_answers else ""
    words = (
        f"The gateway did not answer at its new address within {MOVED_S:.0f} s{kept}; it did"
        f" {healed} after the router's gateway was taken away and set again."
    )
    return Finding(fault=True, words=words, measured=measured)


def _at(address: str) -> dict[str, object]:
    return {"external_fixed_ips": [{"ip_address": address}]}


SCENARIO = Scenario(
    name="moved-gateway",
    letter="V",
    title="a router's gateway port gets another address, and the router does not",
    shows=(
        "An administrator gives the gateway port of a router another address. ML2/OVN takes what a"
        " router's port has to the Logical_Router_Port when its Logical_Switch_Port changes, but of"
        " interfaces alone (ovsdb_monitor.py, LogicalSwitchPortUpdateLogicalRouterPortEvent"
        ".match_fn: ROUTER_INTERFACE_OWNERS has no network:router_gateway). The router goes on with"
        " its former address, which Neutron may give to somebody else."
    ),
    reference=(
        "commit “[OVN] Use the LSP update event to update the LRP” (2024, the fix of LP #2056558);"
        " no bug number is known of this"
    ),
    expects="The router answers at its gateway port's address within seconds.",
    run=run,
)
