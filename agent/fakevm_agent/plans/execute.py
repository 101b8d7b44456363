"""A plan's steps are carried out, each with its undo."""

from contextlib import ExitStack

from fakevm.errors import FakevmError
from fakevm_agent import kernel
from fakevm_agent.guest import addressing
from fakevm_agent.host.parts import Host
from fakevm_agent.host.undo import push
from fakevm_agent.host.vm import create_vm, remove_vm_if_empty
from fakevm_agent.kernel import ip, netlink, netns
from fakevm_agent.plans.steps import (
    Connect,
    MakeNetns,
    MakeNic,
    MissDevice,
    PlugPort,
    Remember,
    RemoveDevice,
    SetAddresses,
    SetNic,
    SetState,
    StartNic,
    Step,
    StopClients,
    UnplugPort,
)
from fakevm_agent.records import Record, owner_of


def execute(host: Host, step: Step, record: Record, undo: ExitStack) -> None:
    """Do one step for a record's VIF."""
    vif, vm = record.vif, record.vm
    driver = host.drivers.of(vif)
    port_name = driver.port_name(vif.port_id)
    # Each undo is pushed before its act, so that a half-made thing goes, too.
    match step:
        case MakeNetns():
            push(undo, remove_vm_if_empty, host, vm.instance_id)
            create_vm(host, vm)
        case RemoveDevice():
            kernel.devices.delete_link(vif.device)
        case MakeNic():
            push(undo, kernel.devices.delete_link, vif.device)
            _make_nic(record)
        case StartNic():
            _start_nic(record)
        case SetNic(mac_address, mtu):
            netlink.set_link(vif.device, mtu=mtu)
            with netns.entered(vm.instance_id):
                netlink.set_link(record.nic, mtu=mtu, mac_address=mac_address)
        case SetState(up):
            with netns.entered(vm.instance_id):
                netlink.set_link(record.nic, up=up)
        case StopClients():
            addressing.give_up(record.nic, host.guest(vm.instance_id))
        case SetAddresses(add, remove, routes):
            with netns.entered(vm.instance_id):
                ip.set_addresses(record.nic, add=add, remove=remove, routes=routes)
        case UnplugPort(before, interface):
            host.unplug_port(interface, before)
        case PlugPort(new):
            if new:
                if not driver.in_open_vswitch:
                    push(undo, host.ovsdb.forget, vif.port_id)
                push(undo, driver.unplug, vif, vm)
            try:
                driver.plug(vif, vm)
            except FakevmError:
                host.ovsdb.check()
                # It waits for ovs-vswitchd, too, when the port is there; so does `plug` then,
                # with its own timeout and words.
                if not host.ovsdb.has(port_name):
                    raise
        case MissDevice():
            host.ovsdb.wait_until_tried(port_name, timeout=host.ofport_timeout)
        case Connect():
            driver.connect(vif)
        case Remember():
            host.remember([record])


def _make_nic(record: Record) -> None:
    vif, instance_id = record.vif, record.vm.instance_id
    kernel.devices.create_veth(
        vif.device,
        peer=record.nic,
        namespace=instance_id,
        # As libvirt has it: a bridge takes the lowest MAC of its ports, and never this one.
        mac_address=f"fe{vif.mac_address[2:]}",
        peer_mac=vif.mac_address,
        mtu=vif.mtu,
    )
    # The host itself has no part in the VIF's network: no address there, and no ARP answers.
    netns.write_sysctl(f"net/ipv6/conf/{vif.device}/disable_ipv6", "1")
    netns.write_sysctl(f"net/ipv4/conf/{vif.device}/arp_ignore", "1")
    alias = owner_of(record).alias()
    netlink.set_link(vif.device, alias=alias, up=True)


def _start_nic(record: Record) -> None:
    with netns.entered(record.vm.instance_id):
        if record.vif.vif_details.get("datapath_type") == "netdev":
            # Open vSwitch's userspace datapath drops what the sender left for hardware to sum.
            netlink.disable_tx_checksum(record.nic)
        netlink.set_link("lo", up=True)
        if not record.paused:
            netlink.set_link(record.nic, up=True)
