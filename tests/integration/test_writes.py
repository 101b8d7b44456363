"""What is written to Neutron is what Nova writes, as recorded from Nova's own code.

The expectations are Nova 34's against Neutron 28: method, path and body of each write, in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from fakevm.errors import ConflictError, FakevmError
from fakevm.lab import Lab as Library
from fakevm.migrate.request import MigrationRequest
from fakevm.neutron.api import Neutron
from fakevm.protocol.steps import Faults
from fakevm.vms.requests import PortRequest
from tests.integration.cloud import Cloud
from tests.integration.lab import Lab, migrate
from tests.integration.recorder import Recorder, Request

OWNER = "compute:nova"
DELEGATED = {"os_vif_delegation": True}
# A VM that comes back at once after a live migration meets scenario N: it goes on to the next one.
SOURCE, DESTINATION, NEXT = "compute-1", "compute-2", "compute-3"

Write = tuple[str, str, Any]


class Story:
    """A VM's life by the library, with Neutron behind a recorder."""

    def __init__(self, lab: Lab, recorder: Recorder, network: str, instance: str) -> None:
        self.recorder = recorder
        self.network = network
        self.instance = instance
        neutron = Neutron(recorder.endpoint)
        neutron.connect()
        self.library = Library(lab.name, neutron=neutron)
        self.names: dict[str, str] = {}
        self.instance_id = ""

    def boot(self, host: str = SOURCE) -> str:
        request = PortRequest(
            network=self.network, instance=self.instance, host=host, addressing="static"
        )
        row = self.library.create_port(request).row
        self.instance_id = row.instance_id
        self.names[row.port_id] = f"own{len(self.names) or ''}"
        return row.port_id

    def own(self) -> str:
        """Return the id of the VM's own port."""
        return next(port_id for port_id, name in self.names.items() if name == "own")

    def give(self, port_id: str) -> None:
        self.names[port_id] = "given"
        self.library.attach(self.instance, port_id, addressing="static")

    def migrate(self, port_id: str, destination: str, **wishes: Any) -> None:
        migrate(self.library, port_id, MigrationRequest(destination=destination, **wishes))

    def listed(self) -> list[str]:
        """Return the ports' names in the order in which Neutron lists them."""
        return [self.names[p.id] for p in self.library.neutron.ports(device_id=self.instance_id)]

    def requests(self) -> list[Request]:
        return self.recorder.taken()

    def writes(self) -> list[Write]:
        """Return the writes since the last time, with the ports' names for their ids."""
        return [
            (one.method, self.named(one.path), one.body)
            for one in self.requests()
            if one.method != "GET"
        ]

    def named(self, path: str) -> str:
        path = path.removeprefix("/v2.0")
        for port_id, name in self.names.items():
            path = path.replace(port_id, name)
        return path


@pytest.fixture
def story(lab: Lab, cloud: Cloud) -> Iterator[Story]:
    network = cloud.network(cidr="10.77.0.0/24")
    endpoint = lab.sdk.config.config["auth"]["endpoint"]
    with Recorder(endpoint) as recorder:
        story = Story(lab, recorder, network, f"{cloud.prefix}-vm")
        with story.library:
            story.requests()
            yield story


@pytest.fixture
def given(lab: Lab, story: Story) -> str:
    """A port of the user's own, with a profile."""
    port = lab.sdk.network.create_port(
        network_id=story.network, name="given", binding_profile={"mine": "keep"}
    )
    return str(port.id)


def user_part(story: Story) -> Write:
    body = {
        "device_id": story.instance_id,
        "network_id": story.network,
        "admin_state_up": True,
        "tenant_id": "fake_project_id",
    }
    return ("POST", "/ports", {"port": body})


def compute_part(story: Story, name: str, **more: Any) -> Write:
    body = {
        "device_id": story.instance_id,
        "device_owner": OWNER,
        "binding:host_id": SOURCE,
    }
    return ("PUT", f"/ports/{name}", {"port": {**body, **more}})


def bind(name: str, host: str) -> Write:
    body = {"host": host, "vnic_type": "normal", "profile": DELEGATED}
    return ("POST", f"/ports/{name}/bindings", {"binding": body})


def write_profile(name: str, profile: Mapping[str, Any]) -> Write:
    return ("PUT", f"/ports/{name}", {"port": {"binding:profile": dict(profile)}})


def activate(name: str, host: str) -> Write:
    return ("PUT", f"/ports/{name}/bindings/{host}/activate", None)


def unbind(name: str, host: str) -> Write:
    return ("DELETE", f"/ports/{name}/bindings/{host}", None)


def rebind(name: str, host: str, **more: Any) -> Write:
    body = {"binding:host_id": host, "device_owner": OWNER, **more}
    return ("PUT", f"/ports/{name}", {"port": body})


def test_a_vm_with_one_port(story: Story) -> None:
    port_id = story.boot()
    assert story.writes() == [user_part(story), compute_part(story, "own")]

    story.migrate(port_id, DESTINATION)
    sent = story.requests()
    assert [
        (one.method, story.named(one.path), one.body) for one in sent if one.method != "GET"
    ] == [
        bind("own", DESTINATION),
        write_profile("own", {"migrating_to": DESTINATION}),
        activate("own", DESTINATION),
        unbind("own", SOURCE),
    ]
    # Nova looks at the binding before it activates it, and once more when it would again.
    paths = [(one.method, story.named(one.path)) for one in sent]
    looks = [n for n, p in enumerate(paths) if p == ("GET", f"/ports/own/bindings/{DESTINATION}")]
    (activated,) = (n for n, (_, path) in enumerate(paths) if path.endswith("/activate"))
    assert len(looks) == 2
    assert looks[0] == activated - 1
    assert looks[1] > activated

    # The flag stays, and is written again with `migrating_to`.
    story.migrate(port_id, NEXT)
    assert story.writes() == [
        bind("own", NEXT),
        write_profile("own", {**DELEGATED, "migrating_to": NEXT}),
        activate("own", NEXT),
        unbind("own", DESTINATION),
    ]

    with pytest.raises(FakevmError, match="--fail-at"):
        story.migrate(port_id, SOURCE, faults=Faults(fail_at="pause"))
    assert story.writes() == [
        bind("own", SOURCE),
        write_profile("own", {**DELEGATED, "migrating_to": SOURCE}),
        write_profile("own", DELEGATED),
        unbind("own", SOURCE),
    ]

    story.migrate(port_id, DESTINATION, kind="cold")
    sent = story.requests()
    assert [
        (one.method, story.named(one.path), one.body) for one in sent if one.method != "GET"
    ] == [rebind("own", DESTINATION), unbind("own", NEXT)]
    # There is no such binding: Neutron bound the port anew.
    assert [one.status for one in sent if one.method == "DELETE"] == [404]

    story.migrate(port_id, SOURCE, kind="evacuate", force=True)
    assert story.writes() == [
        write_profile("own", {**DELEGATED, "migrating_to": SOURCE}),
        rebind("own", SOURCE, **{"binding:profile": DELEGATED}),
    ]

    story.library.delete_vm(story.instance)
    assert story.writes() == [("DELETE", "/ports/own", None)]


@pytest.mark.nightly
def test_a_vm_with_two_ports_one_of_them_given(story: Story, given: str) -> None:
    port_id = story.boot()
    story.requests()
    story.give(given)
    # What is written of a profile replaces all of it.
    kept = {"binding:profile": {"mine": "keep"}}
    assert story.writes() == [compute_part(story, "given", **kept)]

    # Of each binding in the order of the NICs; profiles and deletions as Neutron lists the ports.
    nics, listed = ["own", "given"], story.listed()
    before = {"own": {}, "given": {"mine": "keep"}}
    story.migrate(port_id, DESTINATION)
    assert story.writes() == [
        *(bind(name, DESTINATION) for name in nics),
        *(write_profile(name, {**before[name], "migrating_to": DESTINATION}) for name in listed),
        *(activate(name, DESTINATION) for name in nics),
        *(unbind(name, SOURCE) for name in listed),
    ]

    with pytest.raises(FakevmError, match="--fail-at"):
        story.migrate(port_id, NEXT, faults=Faults(fail_at="pause"))
    announced = {**DELEGATED, "migrating_to": NEXT}
    assert story.writes() == [
        *(bind(name, NEXT) for name in nics),
        *(write_profile(name, announced) for name in listed),
        *(write_profile(name, DELEGATED) for name in listed),
        *(unbind(name, NEXT) for name in listed),
    ]

    story.migrate(port_id, SOURCE, kind="cold")
    assert story.writes() == [
        *(rebind(name, SOURCE) for name in listed),
        *(unbind(name, DESTINATION) for name in listed),
    ]

    story.migrate(port_id, DESTINATION, kind="evacuate", force=True)
    assert story.writes() == [
        *(write_profile(name, {**DELEGATED, "migrating_to": DESTINATION}) for name in listed),
        *(rebind(name, DESTINATION, **{"binding:profile": DELEGATED}) for name in listed),
    ]

    # The source was not down, so nothing has removed its guest there.
    left, _ = story.library.cleanup()
    assert {(one.host, one.port_id) for one in left} >= {(SOURCE, name) for name in story.names}
    assert story.writes() == []

    story.library.delete_vm(story.instance)
    released = {
        "binding:host_id": None,
        "device_id": "",
        "device_owner": "",
        "binding:profile": DELEGATED,
    }
    assert story.writes() == [
        ("PUT", "/ports/given", {"port": released}),
        ("DELETE", "/ports/own", None),
    ]


def release(name: str, profile: Mapping[str, Any]) -> Write:
    body = {
        "binding:host_id": None,
        "device_id": "",
        "device_owner": "",
        "binding:profile": dict(profile),
    }
    return ("PUT", f"/ports/{name}", {"port": body})


def delete(name: str) -> Write:
    return ("DELETE", f"/ports/{name}", None)


def shelved(name: str, profile: Mapping[str, Any]) -> Write:
    body = {"binding:host_id": None, "binding:profile": dict(profile)}
    return ("PUT", f"/ports/{name}", {"port": body})


MINE = {"mine": "keep"}


@pytest.mark.nightly
def test_a_vm_on_its_host_and_on_none(story: Story, given: str) -> None:
    story.boot()
    story.give(given)
    story.requests()
    nics, listed = ["own", "given"], story.listed()
    profiles: dict[str, dict[str, Any]] = {"own": {}, "given": MINE}
    library, vm = story.library, story.instance

    for verb in (library.pause, library.resume, library.reboot, library.rebuild):
        verb(vm)
        assert story.writes() == [], verb

    library.shelve(vm)
    assert story.writes() == [shelved(name, profiles[name]) for name in nics]
    rows = library.unshelve(vm, host=DESTINATION)
    assert story.writes() == [rebind(name, DESTINATION) for name in listed]
    assert [(row.nic, row.host, row.status, row.differs) for row in rows] == [
        ("eth0", DESTINATION, "ACTIVE", ""),
        ("eth1", DESTINATION, "ACTIVE", ""),
    ]

    # The VM goes on with the other NIC.
    assert not library.detach(given).deleted
    assert story.writes() == [release("given", MINE)]
    story.give(given)
    assert story.writes() == [
        compute_part(story, "given", **{"binding:profile": MINE, "binding:host_id": DESTINATION})
    ]
    assert library.detach(story.own()).deleted
    assert story.writes() == [delete("own")]
    assert [row.differs for row in library.rows() if row.vm_name == vm] == [""]

    # Shelved, it is on no host that could tell which port it was given.
    story.boot(DESTINATION)
    story.requests()
    library.shelve(vm)
    story.requests()
    library.delete_vm(vm)
    assert story.writes() == [release("given", MINE), delete("own2")]


@pytest.mark.nightly
def test_a_cold_migration_that_is_left_open(story: Story, given: str) -> None:
    port_id = story.boot()
    story.give(given)
    story.requests()
    listed = story.listed()

    def confirmed() -> list[Write]:
        return [unbind(name, SOURCE) for name in listed]

    story.migrate(port_id, DESTINATION, kind="cold", confirm=False)
    assert story.writes() == [rebind(name, DESTINATION) for name in listed]
    with pytest.raises(ConflictError, match="not confirmed"):
        story.migrate(port_id, SOURCE)
    story.migrate(port_id, "", kind="revert")
    assert story.writes() == [rebind(name, SOURCE) for name in listed]

    story.migrate(port_id, DESTINATION, kind="cold", confirm=False)
    story.requests()
    assert story.library.confirm_migration(port_id) == SOURCE
    sent = [one for one in story.requests() if one.method != "GET"]
    assert [(one.method, story.named(one.path), one.body) for one in sent] == confirmed()
    assert {one.status for one in sent} == {404}

    story.migrate(port_id, SOURCE, kind="cold")
    story.migrate(port_id, DESTINATION, kind="cold", confirm=False)
    story.requests()
    story.library.delete_vm(story.instance)
    assert story.writes() == [*confirmed(), release("given", MINE), delete("own")]


def test_a_build_that_is_rescheduled(story: Story) -> None:
    request = PortRequest(
        network=story.network,
        instance=story.instance,
        host=SOURCE,
        reschedule=DESTINATION,
        addressing="static",
    )
    row = story.library.create_port(request).row
    story.instance_id = row.instance_id
    story.names[row.port_id] = "second"
    writes = story.writes()
    (gone,) = (path for method, path, _ in writes if method == "DELETE")
    story.names[gone.rpartition("/")[2]] = "first"
    # Nova 34 keeps no network: its own port is another one at the second attempt.
    assert [(method, story.named(path), body) for method, path, body in writes] == [
        user_part(story),
        compute_part(story, "first"),
        delete("first"),
        user_part(story),
        compute_part(story, "second", **{"binding:host_id": DESTINATION}),
    ]
    assert (row.host, row.status, row.differs) == (DESTINATION, "ACTIVE", "")
