"""What tests made is removed, in whichever order Neutron allows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from fakevm.errors import FakevmError, NotFoundError, UnavailableError, attempt_each, raise_all
from fakevm.lab import Lab
from fakevm.library.behind.making import remove
from fakevm.neutron.made import Made

# VMs at a time.
_AT_ONCE = 4

# What is in use by another one may be removed after it. So often all is tried once more.
_ROUNDS = 3

_OWNER = "compute:"

# What goes with another one; and so does what has that one in its path, beyond "/qos/policies".
_PARTS = ("/subnets", "/security-group-rules")
_OWN = 2

# Where Nova has its VMs.
_VMS = "/servers"


def remove_all(lab: Lab, things: Sequence[Made]) -> list[Made]:
    """Remove what is left of these, VMs first; return what that was. Raise what stays."""
    if not things:
        return []
    removed = _remove_vms(lab, things)
    backwards = list(reversed(things))
    # A part goes with its whole, unless its whole is in use by it.
    parts = [one for one in backwards if _is_part(one)]
    done, left, _ = _attempt(lab, [one for one in backwards if one not in parts])
    removed += done
    left += parts
    for last in (*[False] * (_ROUNDS - 1), True):
        done, busy, failures = _attempt(lab, left)
        removed += done
        if not busy:
            break
        if last or len(busy) == len(left):
            raise_all(failures)
        left = busy
    return removed


def _attempt(lab: Lab, things: Iterable[Made]) -> tuple[list[Made], list[Made], list[FakevmError]]:
    """Try to remove each; return what is removed, what stays for now, and why."""
    removed, busy, failures = [], [], list[FakevmError]()
    for one in things:
        try:
            if _removed(lab, one):
                removed.append(one)
        except UnavailableError:
            raise
        except FakevmError as error:
            # Of a subnet pool that is in use Neutron says 400, and not 409.
            busy.append(one)
            failures.append(error)
    return removed, busy, failures


def _is_part(one: Made) -> bool:
    """Tell whether it goes with another one: "/qos/policies/ID/dscp_marking_rules"."""
    return one.collection in _PARTS or one.collection.count("/") > _OWN


def said(made: Made) -> str:
    """Return what a thing is called: "router edge"."""
    what = made.collection.rpartition("/")[2].replace("-", " ").replace("_", " ")
    what = {"policies": "QoS policy", "servers": "VM"}.get(what, what.removesuffix("s"))
    return f"{what} {made.name or made.id}"


def _remove_vms(lab: Lab, things: Iterable[Made]) -> list[Made]:
    """Delete the VMs that have one of these ports: one may be a VM's that was made before it."""
    ids = [one.id for one in things if one.collection == "/ports"]
    if not ids:
        return []
    rows = lab.neutron.listed("ports", [("id", one) for one in ids])
    vms = {row["device_id"] for row in rows if row["device_owner"].startswith(_OWNER)}

    def delete(instance_id: str) -> Made:
        name = lab.server(instance_id).name
        with suppress(NotFoundError):
            lab.delete_vm(instance_id)
        return Made(collection=_VMS, id=instance_id, name=name)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        futures = [pool.submit(attempt_each, [vm], delete) for vm in vms]
        told = [future.result() for future in futures]
    raise_all([error for _, errors in told for error in errors])
    return [vm for found, _ in told for vm in found]


def _removed(lab: Lab, one: Made) -> bool:
    """Remove a thing with its parts; tell whether it was there."""
    try:
        if one.collection == "/routers":
            lab.neutron.answer(one.path)
            remove(lab, "router", one.id)
        else:
            lab.neutron.write("DELETE", one.path)
    except NotFoundError:
        return False
    return True


def left_of(lab: Lab, things: Sequence[Made]) -> list[Made]:
    """Return those that are still there."""
    ids: dict[str, list[str]] = defaultdict(list)
    for one in things:
        ids[one.collection].append(one.id)
    there = set()
    for collection, wanted in ids.items():
        query = [("fields", "id"), *(("id", one) for one in wanted)]
        rows = lab.neutron.listed_if_known(collection.removeprefix("/"), query)
        there |= {row["id"] for row in rows}
    return [one for one in things if one.id in there]
