"""Migrations that nobody carried out: reports as a lab would give them, for what shows them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fakevm.model import Entry
from fakevm.neutron.values import HttpRequest
from fakevm.probes import flows
from fakevm.probes.plan import Nic, Prober, plan
from fakevm.protocol.journal import StepTime
from fakevm.reports.migration import FlowReport, MigrationReport, Moments, PortStatus
from tests.fakes.traffic import Traffic

STARTED = 1_795_000_000.25
INSTANCE = "7f3b0c52-6a35-5d0e-9f56-3f6a1c1e6d0d"
PORTS = (
    "d1c0ffee-0000-4000-8000-000000000001",
    "5eedcafe-0000-4000-8000-000000000002",
)
NIC = Nic(port_id=PORTS[0], network_id="net", addresses=("10.0.0.7/24", "2001:db8::7/64"))

# Name, actor, Nova's function, seconds to the next one, seconds that it took.
_LIVE = [
    ("bind", "conductor", "LiveMigrationTask._bind_ports_on_destination", 0.31, 0.305),
    ("plug", "destination", "ComputeManager.pre_live_migration", 0.12, 0.118),
    ("announce", "destination", "neutron.API.setup_networks_on_host", 0.41, 0.402),
    ("wait", "source", "ComputeManager._do_live_migration", 1.52, 1.519),
    ("pause", "source", "virDomainMigrate", 0.009, 0.0085),
    ("activate", "source", "neutron.API.migrate_instance_start", 0.4905, 0.490),
    ("resume", "destination", "virDomainMigrate", 0.0095, 0.009),
    ("activate again", "source", "neutron.API.migrate_instance_start", 0.045, 0.044),
    ("unplug", "source", "ComputeManager.post_live_migration_at_source", 0.09, 0.086),
    ("unbind", "destination", "neutron.API.setup_networks_on_host", 0.26, 0.255),
    ("wait for ACTIVE", "destination", "", 0.2, 0.175),
]


def make_report(
    *,
    probers: int = 1,
    ipv6: bool = False,
    lasts: bool = False,
    ports: int = 1,
    **changes: Any,
) -> MigrationReport:
    """Return a live migration's report; one that `lasts` never gets its network back."""
    steps = _steps(STARTED + 0.02, _LIVE)
    at = {step.name: step for step in steps}
    moments = Moments(
        paused=at["pause"].end - 0.0005,
        activating=at["activate"].start + 0.001,
        activated=at["activate"].end - 0.0005,
        resumed=at["resume"].end - 0.001,
    )
    assert moments.resumed
    path = at["wait for ACTIVE"].end - 0.05
    traffic = Traffic(
        start=STARTED - 1.1,
        end=at["wait for ACTIVE"].end + 1.2,
        moments=moments,
        path_from=10**12 if lasts else path,
        dropped={random.Random(1).randrange(1, 60)},
        doubled={30},
        late={40: 0.03},
    )
    made = MigrationReport(
        lab="fakevm",
        vm="vm1",
        instance_id=INSTANCE,
        kind="live",
        source="compute-1",
        destination="compute-2",
        neutron_version="28.0.2",
        backend="ML2/OVS, vxlan, l2population",
        port_ids=PORTS[:ports],
        started=STARTED,
        ended=at["wait for ACTIVE"].end,
        steps=steps,
        moments=moments,
        waited="event",
        statuses=tuple(
            PortStatus(time=t, port_id=port_id, status=status)
            for port_id in PORTS[:ports]
            for t, status in (
                (STARTED, "ACTIVE"),
                (at["announce"].start + 0.21, "DOWN"),
                (at["announce"].end + 0.62, "ACTIVE"),
                (moments.activated or 0, "DOWN"),
                *([] if lasts else [(path - 0.01, "ACTIVE")]),
            )
        ),
        events=tuple(
            _event(seq, t, name)
            for seq, (t, name) in enumerate(
                [
                    (at["announce"].end + 0.1, "network-vif-unplugged"),
                    (at["wait"].end - 0.004, "network-vif-plugged"),
                    (at["activate"].end + 0.45, "network-vif-unplugged"),
                    *([] if lasts else [(path + 0.35, "network-vif-plugged")]),
                ]
            )
        ),
        rate=100.0,
        processes={"812": "nginx: worker process", "1033": "sleep 86400"},
        requests=_requests(at),
    )
    said = _flow_reports(probers, traffic, steps, moments, ipv6=ipv6)
    return replace(made, **{"flows": said, **changes})


def make_rollback(*, probers: int = 1) -> MigrationReport:
    """Return the report of a migration that waited in vain and was undone."""
    words = "network-vif-plugged did not come for port d1c0ffee within 3 s"
    done = _steps(STARTED + 0.02, _LIVE[:3])
    waited = StepTime(
        name="wait",
        actor="source",
        start=done[-1].end + 0.001,
        end=done[-1].end + 3.004,
        outcome="failed",
        source="ComputeManager._do_live_migration",
        error=f"WaitTimeoutError: {words}",
    )
    undone = []
    now = waited.end + 0.002
    for step in reversed(done):
        took = 0.2 if step.name != "plug" else 0.06
        undone.append(replace(step, outcome="undone", start=now, end=now + took))
        now += took + 0.001
    steps = (*done, waited, *undone)
    rebound = undone[0].start + 0.11
    traffic = Traffic(start=STARTED - 1.1, end=now + 1.3, silences=((rebound, rebound + 0.135),))
    return MigrationReport(
        lab="fakevm",
        vm="vm1",
        instance_id=INSTANCE,
        kind="live",
        source="compute-1",
        destination="compute-2",
        neutron_version="28.0.2",
        backend="ML2/OVS, vxlan, l2population",
        port_ids=PORTS[:1],
        started=STARTED,
        ended=now,
        outcome="rolled back",
        error=words,
        steps=steps,
        statuses=(
            PortStatus(time=STARTED, port_id=PORTS[0], status="ACTIVE"),
            PortStatus(time=rebound, port_id=PORTS[0], status="DOWN"),
            PortStatus(time=now + 0.4, port_id=PORTS[0], status="ACTIVE"),
        ),
        events=(
            _event(0, rebound + 0.2, "network-vif-unplugged"),
            _event(1, now + 0.6, "network-vif-plugged"),
        ),
        flows=_flow_reports(probers, traffic, steps, Moments(), ipv6=False),
        rate=100.0,
    )


def _steps(
    start: float, plan: Sequence[tuple[str, str, str, float, float]]
) -> tuple[StepTime, ...]:
    steps = []
    for name, actor, source, to_next, took in plan:
        steps.append(StepTime(name=name, actor=actor, source=source, start=start, end=start + took))
        start += to_next
    return tuple(steps)


def _flow_reports(
    probers: int,
    traffic: Traffic,
    steps: Sequence[StepTime],
    moments: Moments,
    *,
    ipv6: bool,
) -> tuple[FlowReport, ...]:
    addresses = NIC.addresses[: 2 if ipv6 else 1]
    some: Any = object()
    made = plan(
        [NIC],
        [
            Prober(
                name=f"vm{number + 2}",
                agent=some,
                nic=Nic(
                    port_id=f"p{number}",
                    network_id="net",
                    addresses=tuple(a.replace("7/", f"{number + 8}/") for a in addresses),
                ),
            )
            for number in range(probers)
        ],
    )
    said = []
    for number, flow in enumerate(made):
        own = replace(traffic, path_from=traffic.path_from + number * 0.013)
        said.append(
            flows.report(
                flow,
                own.ends(flow),
                rate=traffic.rate,
                moments=moments,
                steps=steps,
                until=traffic.end,
            )
        )
    return tuple(said)


def _event(seq: int, t: float, name: str) -> Entry:
    return Entry(
        seq=seq,
        time=t,
        kind="event",
        instance_id=INSTANCE,
        port_id=PORTS[0],
        name=name,
        status="completed",
        source="neutron-api",
        code=200,
    )


def _requests(at: Mapping[str, StepTime]) -> tuple[HttpRequest, ...]:
    port = f"/v2.0/ports/{PORTS[0]}"
    return tuple(
        HttpRequest(
            start=at[step].start + 0.001,
            end=at[step].end - 0.0005,
            method=method,
            path=path,
            status=status,
            body=body,
            answer='{"ok": true}' if method != "DELETE" else "",
        )
        for step, method, path, status, body in (
            (
                "bind",
                "POST",
                f"{port}/bindings",
                201,
                '{"binding": {"host": "compute-2", "vnic_type": "normal",'
                ' "profile": {"os_vif_delegation": true}}}',
            ),
            (
                "announce",
                "PUT",
                port,
                200,
                '{"port": {"binding:profile": {"os_vif_delegation": true,'
                ' "migrating_to": "compute-2"}}}',
            ),
            ("activate", "PUT", f"{port}/bindings/compute-2/activate", 200, ""),
            ("activate again", "GET", f"{port}/bindings/compute-2", 200, ""),
            ("unbind", "DELETE", f"{port}/bindings/compute-1", 204, ""),
        )
    )
