"""B: the INACTIVE binding that a failed live migration left keeps a VM from its host."""

from __future__ import annotations

from fakevm.migrate.live import PROFILE
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import Stage


def run(stage: Stage) -> Finding:
    """Bind a port by `binding:host_id` to a host that it has an INACTIVE binding to."""
    source, destination = stage.hosts
    vm = stage.vm(stage.network(), "vm", source)
    stage.say(f"an INACTIVE binding to {destination}, as a live migration that failed leaves it")
    stage.neutron.create_binding(vm.id, destination, vnic_type=vm.vnic_type, profile=PROFILE)

    body = {"binding:host_id": destination, "device_owner": vm.device_owner}
    stage.say(f"binding:host_id {destination}, as an evacuation or a cold migration writes it")
    cursor = stage.lab.events.cursor()
    answer = stage.ask(lambda neutron: neutron.update_port(vm.id, body))
    measured: dict[str, object] = {
        "put_host_id": answer.status,
        "answer_s": answer.seconds,
        "host": stage.neutron.port(vm.id).host,
    }
    if answer.accepted and measured["host"] == destination:
        words = f"Neutron bound the port to {destination} (status {answer.status})."
        return Finding(fault=False, words=words, measured=measured)
    events = stage.lab.events.kept(cursor, instance_ids=[vm.device_id])
    measured["vif_unplugged"] = sum(one.name == "network-vif-unplugged" for one in events)

    stage.say("the same without that binding")
    stage.neutron.delete_binding(vm.id, destination)
    again = stage.ask(lambda neutron: neutron.update_port(vm.id, body))
    measured["put_host_id_without"] = again.status
    words = (
        f"Neutron answered {answer}, and the port is still bound to {measured['host']};"
        f" {again} once the INACTIVE binding was deleted."
    )
    return Finding(fault=True, words=words, measured=measured)


SCENARIO = Scenario(
    name="stale-binding",
    letter="B",
    title="an INACTIVE binding that was left makes an evacuation fail",
    shows=(
        "A live migration that failed left an INACTIVE binding. An evacuation, or a cold migration,"
        " to the same host writes binding:host_id: Neutron tries again and again for minutes, tells"
        " Nova network-vif-unplugged each time, and answers 500."
    ),
    reference=(
        "family of LP #1979072; cleanup tool neutron-remove-duplicated-port-bindings (LP #2144977)"
    ),
    expects="Neutron binds the port to that host.",
    run=run,
)
