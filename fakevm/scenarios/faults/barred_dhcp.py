"""T: a VM whose security groups have no rule for it gets no address by DHCP."""

from __future__ import annotations

from fakevm.errors import FakevmError
from fakevm.scenarios.faults import leases
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import Stage

# To DHCP servers.
RULE = {
    "direction": "egress",
    "ethertype": "IPv4",
    "protocol": "udp",
    "port_range_min": 67,
    "port_range_max": 67,
}


def run(stage: Stage) -> Finding:
    """Let a VM ask for its address by DHCP without a rule, and with one where none came."""
    host, _ = stage.hosts
    group = str(stage.make("security_group")["id"])
    for rule in stage.neutron.listed("security-group-rules", [("security_group_id", group)]):
        stage.neutron.write("DELETE", f"/security-group-rules/{rule['id']}")
    network = stage.network({"cidr": "192.0.2.0/24", "ip_version": 4})
    vm = stage.vm(network, "mute", host, group=group, addressing="none")
    without = leases.asked(stage, vm).seconds
    if without is not None:
        words = f"The VM had its address by DHCP after {without} s, without any rule."
        return Finding(fault=False, words=words, measured={"leased_after_s": without})
    stage.say("a rule that lets out UDP to port 67")
    body = {"security_group_rule": {"security_group_id": group, **RULE}}
    stage.neutron.write("POST", "/security-group-rules", body)
    again = leases.asked(stage, vm).seconds
    if again is None:
        raise FakevmError("the VM gets no address by DHCP with a rule that lets it ask, either")
    measured = {"leased_after_s": None, "leased_with_a_rule_after_s": again}
    words = (
        f"The VM got no address by DHCP within {leases.WITHIN_S:.0f} s. It had one {again} s after"
        " a rule let out UDP to port 67."
    )
    return Finding(fault=True, words=words, measured=measured)


SCENARIO = Scenario(
    name="barred-dhcp",
    letter="T",
    title="a VM whose security groups do not let DHCP out gets no address",
    shows=(
        "ML2/OVS's firewalls always let a VM ask for its address, whatever its security groups say."
        " ML2/OVN drops all that no rule allows (common/ovn/utils.py, create_neutron_pg_drop), and"
        " DHCP's requests with it: a VM without a rule of egress boots without an address. Its"
        " driver once had a rule of its own for that, for ports outside of port groups."
    ),
    reference=(
        "common/ovn/acl.py, add_acl_dhcp, which commit “ovn: Remove is_port_groups_supported()"
        " code” called no more (2020); no bug number is known"
    ),
    expects="A VM gets its address by DHCP without a rule for it.",
    run=run,
)
