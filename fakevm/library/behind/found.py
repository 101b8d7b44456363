"""What a lab has already, as objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from fakevm.contents.part import Part, only
from fakevm.errors import NotFoundError
from fakevm.inventory import several, vifs
from fakevm.lab import Lab
from fakevm.library.floating_ip import FloatingIp
from fakevm.library.handle import Handle
from fakevm.library.vm import Vm

H = TypeVar("H", bound=Handle)


class Found(Generic[H]):
    """All objects of a kind that a lab has, by their names; each look asks anew."""

    def __init__(
        self, find: Callable[[str], H | None], read: Callable[[], list[H]], what: str
    ) -> None:
        self._find = find
        self._read = read
        self._what = what

    def __getitem__(self, name: str) -> H:
        found = self._find(name)
        if found is None:
            raise NotFoundError(f"there is no {self._what} {name!r}")
        return found

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) is not None

    def __iter__(self) -> Iterator[H]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())


def named(lab: Lab, made: type[H], collection: str, what: str) -> Found[H]:
    """Return Neutron's objects of a collection, "networks"."""

    def find(name: str) -> H | None:
        rows = Part(lab).rows(collection, name=[name])
        return made(lab=lab, name=name, id=only(rows, f"{what} {name}")["id"]) if rows else None

    def read() -> list[H]:
        rows = Part(lab).rows(collection)
        return [made(lab=lab, name=row["name"], id=row["id"]) for row in rows]

    return Found(find, read, what)


def floating_ips(lab: Lab) -> Found[FloatingIp]:
    """Return a lab's floating IPs, whose names are their addresses."""

    def read(**wanted: list[str]) -> list[FloatingIp]:
        rows = Part(lab).rows("floatingips", **wanted)
        return [FloatingIp(lab=lab, name=r["floating_ip_address"], id=r["id"]) for r in rows]

    def find(address: str) -> FloatingIp | None:
        return next(iter(read(floating_ip_address=[address])), None)

    return Found(find, read, "floating IP")


def vms(lab: Lab) -> Found[Vm]:
    """Return a lab's VMs: one that is shelved by its name alone, all others by its host, too."""

    def find(name: str) -> Vm | None:
        vm = vifs.vm_of(name)
        there = lab.neutron.ports(device_id=vm.instance_id, fields=("id",))
        return Vm(lab=lab, name=name, id=vm.instance_id) if there else None

    def read() -> list[Vm]:
        targets, failures = several.all_vms(lab)
        for error in failures.values():
            raise error
        ids = {target.instance_id: target.vm_name for target in targets}
        return [Vm(lab=lab, name=name, id=instance_id) for instance_id, name in ids.items()]

    return Found(find, read, "VM")
