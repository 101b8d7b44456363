"""What OVN's southbound database says of ports, as it changes (ovn-sb(5), Port_Binding)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fakevm.backends.backend import PortFact, TrailReader

_COLUMNS = ("logical_port", "chassis", "additional_chassis", "up", "options")
# Neutron's driver writes the first two of them (ovn_client.py), ovn-controller the last: the guest
# was heard by RARP.
_OPTIONS = ("requested-chassis", "activation-strategy", "additional-chassis-activated")

# First the chassis, then Port_Binding and its changes, until stdin ends.
COMMAND = (
    *("sh", "-c"),
    "ovn-sbctl --timeout=10 --format=json --columns=_uuid,name list Chassis && "
    "{ ovsdb-client --timestamp --format=json monitor unix:/run/ovn/ovnsb_db.sock OVN_Southbound "
    f"Port_Binding {','.join(_COLUMNS)} & cat; kill $!; }}",
)


class PortBindings(TrailReader):
    """Reads what the command prints, a line at a time."""

    def __init__(self, port_ids: Collection[str]) -> None:
        self._last: dict[str, dict[str, str]] = {port_id: {} for port_id in port_ids}
        self._chassis: dict[str, str] | None = None

    def read(self, line: str) -> Iterator[PortFact]:
        """Return what a line says anew of the ports."""
        told = json.loads(line)
        if self._chassis is None:
            self._chassis = {uuid: name for (_, uuid), name in told["data"]}
            return
        at = datetime.strptime(told["time"], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC).timestamp()
        for _, action, *values in told["data"]:
            row = dict(zip(_COLUMNS, values, strict=True))
            # "old" has what changed alone, "delete" what is gone.
            if action in ("initial", "insert", "new") and row["logical_port"] in self._last:
                yield from self._changed(row, at)

    def _changed(self, row: Mapping[str, Any], at: float) -> Iterator[PortFact]:
        port_id = row["logical_port"]
        last = self._last[port_id]
        for name, value in self._facts(row).items():
            if last.get(name, "") != value:
                last[name] = value
                yield PortFact(time=at, port_id=port_id, name=name, value=value)

    def _facts(self, row: Mapping[str, Any]) -> dict[str, str]:
        assert self._chassis is not None
        options = dict(row["options"][1])
        named = {
            name: ", ".join(sorted(self._chassis.get(uuid, uuid) for uuid in _uuids(row[name])))
            for name in ("chassis", "additional_chassis")
        }
        up = row["up"] if isinstance(row["up"], bool) else ""
        return {
            **named,
            "up": str(up).lower(),
            **{name: str(options.get(name, "")) for name in _OPTIONS},
        }


def _uuids(value: Sequence[Any]) -> list[str]:
    """Return the UUIDs of a column that has any number of them (RFC 7047, 5.1)."""
    kind, content = value
    return [content] if kind == "uuid" else [uuid for _, uuid in content]
