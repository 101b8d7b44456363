"""Follows a packet from one VM to another, host by host."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from fakevm import trace
from fakevm.backends.openflow import Traced
from fakevm.backends.packet import Packet, Protocol
from fakevm.clients.process import ExitError
from fakevm.errors import UnavailableError
from fakevm.reach import read
from fakevm.reach.topology import RouterPort, Topology
from fakevm.trace import ends, routers, switch
from fakevm.trace.account import Account
from fakevm.trace.ends import End
from fakevm.trace.hosts import Hosts
from fakevm.trace.links import Aim, Place, beyond, gateways_of
from fakevm.trace.switch import Switch
from fakevm.trace.values import Ended, Trace

if TYPE_CHECKING:
    from fakevm.inventory.lookup import Lookup

# Of a way that leads on and on.
HOSTS_MAX, ROUTERS_MAX = 4, 8


def of(
    lab: Lookup, source: str, target: str, *, protocol: Protocol, port: int | None, live: bool
) -> Trace:
    """Return where a packet goes that one VM sends to another, and what becomes of it."""
    start = time.monotonic()
    neutron = lab.neutron
    neutron.connect()
    with ThreadPoolExecutor(3) as pool:
        reading = pool.submit(read.topology, neutron)
        a, b = pool.map(lab.find, (source, target))
        topology = reading.result()
    for one in (a, b):
        lab.check_is_a_vms(one)
    way = Way(
        lab,
        topology,
        End(ref=source, port=a, nic=ends.nic_of(topology, a)),
        End(ref=target, port=b, nic=ends.nic_of(topology, b)),
        address=ends.address_of(a, b),
    )
    try:
        verdict, arrives = way.follow(protocol, port), True
    except Ended as end:
        verdict, arrives = f"{end}{way.states}", False
    told, sent = way.account.told, None
    if live and way.packet:
        sent, told = trace.live.counted(way.hosts, way.source.port, way.packet, told)
    return Trace(
        lab=lab.name,
        source=way.source.called,
        target=way.target.called,
        packet=way.packet.words if way.packet else "",
        hops=tuple(one.hop for one in told),
        arrives=arrives,
        verdict=verdict,
        sent=sent,
        seconds=round(time.monotonic() - start, 1),
    )


class Way:
    """A packet's way, as far as it was followed."""

    def __init__(
        self, lab: Lookup, topology: Topology, source: End, target: End, *, address: str
    ) -> None:
        self._backend = lab.backend
        self._topology = topology
        self.source = source
        self.target = target
        self._address = address
        flows = not self._backend.pipeline.routers_are_namespaces
        self._gateways = gateways_of(topology.router_ports) if flows else {}
        self.hosts = Hosts(lab)
        self.account = Account(topology, source.nic, target.nic)
        # None: none could be sent yet.
        self.packet: Packet | None = None

    @property
    def states(self) -> str:
        """What Neutron says of ports that are not as they should be, for the end of a sentence."""
        return "".join(map(ends.state_of, (self.source, self.target)))

    def follow(self, protocol: Protocol, port: int | None) -> str:
        """Return where the packet arrives; Ended says why it does not."""
        for end in (self.source, self.target):
            ends.check_bound(end)
        self._look()
        here = self.hosts.switch(self.source.port.host, word="not sent")
        ends.check_sends(self.source)
        packet, router, question = self._first(protocol, port)
        self.packet = packet
        if self.hosts.answers(self.target.port.host):
            ends.check_arrives(self.target)
        if self.source.nic.hybrid:
            self.account.unseen("egress", packet, f"iptables of {here.host}")
        self._ask_logical(packet)
        device = here.of_port(self.source.port.id)
        if device is None:
            raise Ended(f"not sent: Open vSwitch has no interface of {self.source.called}")
        place = Place(host=here.host, bridge=device.bridge, through=f"in_port={device.name}")
        for _ in range(ROUTERS_MAX):
            if router is None or not self._backend.pipeline.routers_are_namespaces:
                return self._to_target(place, packet, question)
            name = routers.called(self._topology, router)
            aim = Aim(port_id=router.port_id, host=router.host, called=name)
            self._lead(place, packet, aim, question)
            led = routers.through(
                *(self._topology, router, packet, self.target),
                hosts=self.hosts,
                account=self.account,
            )
            packet, place, router, question = led.packet, led.place, led.router, ""
        raise Ended(f"lost: the way leads through more than {ROUTERS_MAX} routers")

    def _look(self) -> None:
        """Ask the hosts on the way, all at once."""
        a, b = self.source.port, self.target.port
        on_the_way = {a.host, b.host}
        if a.network_id != b.network_id:
            networks = {a.network_id, b.network_id}
            on_the_way |= {
                port.host
                for port in self._topology.router_ports
                if port.network_id in networks and port.host
            }
        self.hosts.look(on_the_way, (a.host, b.host))
        self.source, self.target = map(self._plugged, (self.source, self.target))

    def _plugged(self, end: End) -> End:
        host = end.port.host
        return (
            replace(end, vif=self.hosts.vif(host, end.port.id)) if self.hosts.answers(host) else end
        )

    def _first(self, protocol: Protocol, port: int | None) -> tuple[Packet, RouterPort | None, str]:
        """Return the packet as its VM sends it, the router that it is for, its next hop."""
        source, vif = self.source, self.source.vif
        assert vif is not None
        host = source.port.host
        code, said = self.hosts.in_vm(
            host, source.port.id, "ip", "-json", "route", "get", self._address
        )
        way = ends.route(said) if code == 0 else None
        if way is None:
            raise Ended(f"not sent: {source.called} has no route to {self._address}")
        if way.device != vif.nic:
            raise Ended(
                f"not sent by {vif.nic}: {source.called} sends what is for {self._address} by"
                f" {way.device}"
            )
        next_hop = way.gateway or self._address
        router = ends.router_port_at(self._topology, source.nic.network_id, next_hop)
        if router is None and (way.gateway or self.target.nic.network_id != source.nic.network_id):
            raise Ended(
                f"lost: {source.called} sends it to {next_hop}, where no router of Neutron's is"
            )
        packet = Packet(
            protocol=protocol,
            port=port,
            source=way.source,
            target=self._address,
            source_mac=vif.mac_address,
            target_mac=router.mac_address if router else self.target.port.mac_address,
        )
        by = f" and {next_hop}, {routers.called(self._topology, router)}" if router else ""
        self.account.tell(host, f"VM {source.called}", f"{packet.words}, by {way.device}{by}")
        return packet, router, next_hop

    def _ask_logical(self, packet: Packet) -> None:
        """Have the packet followed by who knows the way without the hosts, if anybody does."""
        logical = self._backend.logical
        if logical is None:
            return
        source, target = self.source.port, self.target.port
        argv = logical.argv(packet, port_id=source.id, network_id=source.network_id)
        try:
            said = self.hosts.in_service(logical.service, *argv)
        except ExitError as error:
            raise UnavailableError(
                f"{logical.service}: {error.output}", hint="fakevm status"
            ) from error
        routers_of = {
            one.port_id: routers.called(self._topology, one) for one in self._topology.router_ports
        }
        passage = logical.passage(said, source=source.id, target=target.id, routers=routers_of)
        self.account.passed("", passage, packet)

    def _to_target(self, place: Place, packet: Packet, question: str) -> str:
        target = self.target
        aim = Aim(port_id=target.port.id, host=target.port.host, called=target.called)
        self._lead(place, packet, aim, question)
        assert target.vif is not None
        if target.nic.hybrid:
            self.account.unseen("ingress", packet, f"iptables of {aim.host}")
        self.account.unfiltered()
        ends.check_gets(target, self._address)
        return f"arrives at {target.called}: {target.vif.device} on {aim.host}"

    def _lead(self, place: Place, packet: Packet, aim: Aim, question: str) -> None:
        """Follow a packet until it comes out at the aim; question: for whose MAC it is asked."""
        for _ in range(HOSTS_MAX):
            here = self.hosts.switch(place.host)
            flows = [f"{place.through},{packet.flow}"]
            if question:
                flows.append(f"{place.through},{packet.question(question)}")
            traced, *answers = switch.follow(here, place.bridge, *flows)
            for answer in answers:
                self._tell_answer(here, place, answer, question)
            self.account.passed(place.host, self._backend.pipeline.passage(traced), packet)
            device = here.of_port(aim.port_id)
            if place.host == aim.host and device and device in map(here.left_by, traced.outputs):
                return
            place, packet = beyond(
                *(here, traced, aim, packet, self._gateways),
                hosts=self.hosts,
                account=self.account,
            )
            question = ""
        raise Ended(f"lost: it does not come to {aim.called} on {aim.host}")

    def _tell_answer(self, here: Switch, place: Place, answer: Traced, address: str) -> None:
        own = here.named(place.through.removeprefix("in_port="))
        if own in map(here.left_by, answer.outputs):
            what = "answered by this host's own flows"
        elif answer.to_controller:
            what = "answered by the switch's controller"
        elif tunnels := {one.tunnel for one in answer.outputs if one.tunnel}:
            what = f"flooded, into {len(tunnels)} tunnel{'s' if len(tunnels) > 1 else ''}"
        else:
            what = "flooded on this host" if answer.outputs else "nobody hears it"
        self.account.tell(place.host, "who has it", f"asked for {address}: {what}")
