"""C: Neutron lets the ACTIVE binding be deleted, and the port is of no use afterwards."""

from __future__ import annotations

from fakevm.migrate.live import PROFILE
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import Stage


def run(stage: Stage) -> Finding:
    """Delete a port's ACTIVE binding; activate its other one, and bind it anew."""
    source, destination = stage.hosts
    vm = stage.vm(stage.network(), "vm", source)
    stage.neutron.create_binding(vm.id, destination, vnic_type=vm.vnic_type, profile=PROFILE)

    stage.say(f"deleting the ACTIVE binding, to {source}")
    deleted = stage.ask(lambda neutron: neutron.delete_binding(vm.id, source))
    measured: dict[str, object] = {"delete_active": deleted.status}
    if not deleted.accepted:
        words = f"Neutron did not delete the ACTIVE binding: it answered {deleted}."
        return Finding(fault=False, words=words, measured=measured)

    stage.say(f"activating the other one, to {destination}")
    activated = stage.ask(lambda neutron: neutron.activate_binding(vm.id, destination))
    stage.say(f"binding:host_id {source}")
    body = {"binding:host_id": source}
    updated = stage.ask(lambda neutron: neutron.update_port(vm.id, body))
    measured |= {"activate_other": activated.status, "put_host_id": updated.status}
    if activated.accepted and updated.accepted:
        words = "Neutron deleted the ACTIVE binding, and the port could be bound again."
        return Finding(fault=False, words=words, measured=measured)

    stage.say(f"a new binding to {source}")
    made = stage.ask(
        lambda neutron: neutron.create_binding(
            vm.id, source, vnic_type=vm.vnic_type, profile=PROFILE
        )
    )
    measured["post_binding"] = made.status
    words = (
        f"Neutron deleted the ACTIVE binding. Then it answered {activated} to the activation of the"
        f" other one, {updated} to a write of binding:host_id, and {made} to a new binding."
    )
    return Finding(fault=True, words=words, measured=measured)


SCENARIO = Scenario(
    name="delete-active-binding",
    letter="C",
    title="the ACTIVE binding can be deleted, and the port is stuck",
    shows=(
        "DELETE of the ACTIVE binding is accepted. Then no other binding can be activated, and"
        " Neutron does not find the port that is to be bound."
    ),
    reference="no bug number is known",
    expects="Neutron refuses to delete the ACTIVE binding, or the port can be bound again.",
    run=run,
)
