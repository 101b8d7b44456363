"""D: a binding to a host that Neutron does not know is Neutron's own failure, not the user's."""

from __future__ import annotations

from fakevm.migrate.live import PROFILE
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import Stage

NOWHERE = "compute-nowhere"


def run(stage: Stage) -> Finding:
    """Bind a VM's port to a host without an L2 agent, by the bindings and by the port."""
    source, _ = stage.hosts
    network = stage.network()
    vm = stage.vm(network, "vm", source)
    stage.say(f"a binding to {NOWHERE}, which nobody knows")
    posted = stage.ask(
        lambda neutron: neutron.create_binding(
            vm.id, NOWHERE, vnic_type=vm.vnic_type, profile=PROFILE
        )
    )
    stage.say(f"another port, with binding:host_id {NOWHERE}")
    other = stage.neutron.create_port({"network_id": network.id})
    body = {"binding:host_id": NOWHERE}
    put = stage.ask(lambda neutron: neutron.update_port(other.id, body))
    measured = {
        "post_binding": posted.status,
        "put_host_id": put.status,
        "vif_type": stage.neutron.port(other.id).vif_type,
    }
    fault = posted.status is None or posted.status >= 500
    words = (
        f"Neutron answered {posted} to the binding; to binding:host_id in a port, {put} with the"
        f" vif_type {measured['vif_type']}."
    )
    return Finding(fault=fault, words=words, measured=measured)


SCENARIO = Scenario(
    name="bind-nowhere",
    letter="D",
    title="a binding to a host without an L2 agent is answered 500",
    shows=(
        "A host that nobody knows, or whose L2 agent is dead, is the caller's mistake; Neutron"
        " answers a POST of such a binding as if it had failed itself."
    ),
    reference="no bug number is known",
    expects="Neutron refuses the binding with a status from 400 to 499.",
    run=run,
)
