"""What types do not say of values: these strings become names of files and devices.

Each raises ConfigError naming the field.
"""

import ipaddress
import re

from fakevm.errors import ConfigError
from fakevm.model import Vif, Vm

_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MAC = re.compile("[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_NIC = re.compile("eth[0-9]{1,4}")
_MTU = range(68, 65536)
_TIMEOUT_MAX = 7 * 86400
_SIZES = range(1, 65536)


def check_plugged(vif: Vif, vm: Vm, nic: str) -> None:
    """Check a VIF, the VM that it is of, and what its NIC is called there, if that is said."""
    check_uuid("vm.instance_id", vm.instance_id)
    if nic and not _NIC.fullmatch(nic):
        raise ConfigError(f"nic: {nic!r:.80} is not like eth0")
    _check_vif(vif)


def check_size(field: str, rows: int, cols: int) -> None:
    """Check a terminal's size."""
    if rows not in _SIZES or cols not in _SIZES:
        raise ConfigError(f"{field}: {rows} rows, {cols} columns are not from 1 to {_SIZES[-1]}")


def check_uuid(field: str, value: str | None) -> None:
    """Check that it is a UUID as Neutron writes it."""
    if value is None or not _UUID.fullmatch(value):
        raise ConfigError(f"{field}: {value!r:.80} is not a UUID in small letters")


def check_timeout(value: float) -> None:
    """Check a number of seconds to wait."""
    if not 0 < value <= _TIMEOUT_MAX:
        raise ConfigError(f"timeout_s: {value} is not above 0 and at most {_TIMEOUT_MAX}")


def _check_vif(vif: Vif) -> None:
    check_uuid("vif.port_id", vif.port_id)
    check_uuid("vif.network_id", vif.network_id)
    if not _MAC.fullmatch(vif.mac_address):
        raise ConfigError(f"vif.mac_address: {vif.mac_address!r} is not like fa:16:3e:00:00:01")
    if vif.mtu not in _MTU:
        raise ConfigError(f"vif.mtu: {vif.mtu} is not from {_MTU[0]} to {_MTU[-1]}")
    for number, fixed in enumerate(vif.fixed_ips):
        field = f"vif.fixed_ips.{number}"
        try:
            ipaddress.ip_interface(f"{fixed.ip_address}/{fixed.prefix_len}")
        except ValueError as error:
            raise ConfigError(f"{field}.ip_address: {error}") from error
        if fixed.gateway_ip is not None:
            try:
                ipaddress.ip_address(fixed.gateway_ip)
            except ValueError as error:
                raise ConfigError(f"{field}.gateway_ip: {error}") from error
