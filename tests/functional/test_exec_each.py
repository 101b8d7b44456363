"""A command in several VMs at once: each has its own words, end and processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import pytest

from fakevm.model import Vm
from fakevm_agent.guest.spawner import AT_ONCE
from tests.functional.agent import Agent, Client, Done, RefusedError, ended
from tests.functional.conftest import make_vif, make_vm
from tests.functional.test_exec import DAEMON, wait_until_gone

# In vm0 it ends and leaves a daemon, in the others it goes on with one beside it.
UNEVEN = f"""
python3 -c '{DAEMON}'
echo $$
test $(hostname) = vm0 || exec sleep 3600
"""


@pytest.fixture
def client(agent: Agent) -> Iterator[Client]:
    with Client(agent.socket) as found:
        yield found


@pytest.fixture
def vms(agent: Agent) -> list[Vm]:
    return _vms(agent, 3)


def test_each_vm_has_its_own_words_and_end(client: Client, vms: list[Vm]) -> None:
    gone = make_vm("gone")
    script = "hostname; ls /sys/class/net; echo $HOME >&2; cat; exit $(hostname | tr -d vm)"
    everywhere = [*vms, gone]
    found = client.finish_each(client.start_each(everywhere, "sh", "-c", script), everywhere)
    assert found[:-1] == [
        Done(code=number, stdout=f"vm{number}\neth0\nlo\n", stderr="/root\n")
        for number in range(len(vms))
    ]
    assert isinstance(found[-1], RefusedError)
    assert found[-1].type == "NotFoundError"


def test_much_output_comes_apart_and_whole(client: Client, vms: list[Vm]) -> None:
    script = "seq -f $(hostname)-%.0f 50000"
    found = client.finish_each(client.start_each(vms, "sh", "-c", script), vms)
    for number, done in enumerate(found):
        said = "".join(f"vm{number}-{n}\n" for n in range(1, 50001))
        assert done == Done(code=0, stdout=said, stderr="")


def test_no_command_is_each_vms_failure(client: Client, vms: list[Vm]) -> None:
    found = client.finish_each(client.start_each(vms, "no-such-command"), vms)
    said = "no-such-command: command not found\n"
    assert found == [Done(code=127, stdout="", stderr=said)] * len(vms)


def test_more_vms_than_an_order_has(agent: Agent, client: Client) -> None:
    vms = _vms(agent, AT_ONCE + 2)
    found = client.finish_each(client.start_each(vms, "hostname"), vms)
    assert found == [Done(code=0, stdout=f"{vm.name}\n", stderr="") for vm in vms]
    assert client.finish_each(client.start_each([], "hostname"), []) == []


def test_a_timeout_ends_what_still_runs_and_nothing_else(client: Client, vms: list[Vm]) -> None:
    number = client.start_each(vms, "sh", "-c", UNEVEN, timeout_s=5.0)
    first, *late = client.finish_each(number, vms)
    assert isinstance(first, Done)
    assert first.code == 0
    assert not ended(int(first.stdout.split()[0]))
    for vm, found in zip(vms[1:], late, strict=True):
        assert isinstance(found, RefusedError)
        assert found.type == "WaitTimeoutError"
        # They ended before the answer came.
        assert [ended(int(pid)) for pid in client.said(number, vm=vm).split()] == [True, True]


@pytest.mark.parametrize("way", ["close", "cancel"])
def test_a_client_that_goes_takes_what_runs_along(agent: Agent, vms: list[Vm], way: str) -> None:
    client = Client(agent.socket)
    number = client.start_each(vms, "sh", "-c", UNEVEN)
    (daemon, shell), *others = _pids(client, number, vms)
    wait_until_gone(shell)
    if way == "cancel":
        client.notify("exec.cancel", id=number)
        found = client.finish_each(number, vms)
        assert [done.code for done in found if isinstance(done, Done)] == [0, 137, 137]
    client.close()
    for pid in chain(*others):
        wait_until_gone(pid)
    assert not ended(daemon)


def test_the_end_of_a_vm_ends_the_command_there_alone(
    agent: Agent, client: Client, vms: list[Vm]
) -> None:
    number = client.start_each(vms, "sh", "-c", f"python3 -c '{DAEMON}'; echo $$; exec sleep 3600")
    first, *others = _pids(client, number, vms)
    agent.unplug(client.port_of(vms[0]))
    for pid in first:
        wait_until_gone(pid)
    assert not any(map(ended, chain(*others)))
    client.notify("exec.cancel", id=number)
    found = client.finish_each(number, vms)
    assert [done.code for done in found if isinstance(done, Done)] == [137] * len(vms)


def _vms(agent: Agent, count: int) -> list[Vm]:
    found = [make_vm(f"vm{number}") for number in range(count)]
    for vm in found:
        agent.plug(make_vif(), vm)
    return found


def _pids(client: Client, number: int, vms: Sequence[Vm]) -> list[list[int]]:
    """Wait until the command has said two PIDs in each VM, and return them."""
    while any(len(client.said(number, vm=vm).split()) < 2 for vm in vms):
        client.receive()
    return [[int(pid) for pid in client.said(number, vm=vm).split()] for vm in vms]
