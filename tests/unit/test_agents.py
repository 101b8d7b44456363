from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from fakevm.clients import agents
from fakevm.clients.agents import Agent, Execution
from fakevm.clients.rpc import BACKLOG
from fakevm.errors import ConflictError, FakevmError, NotFoundError, UnavailableError
from fakevm.model import FixedIp, Vif, Vm
from tests.fakes.host import FLOOD, LINE_MAX, FakeAgent, FakeHost, FakeStream
from tests.waiting import wait_until

PORT = "aaaaaaaa-0000-4000-8000-000000000001"
VM = Vm(instance_id="11111111-0000-4000-8000-000000000001", name="vm")
VM2 = Vm(instance_id="11111111-0000-4000-8000-000000000002", name="vm2")


def make_vif(port_id: str = PORT) -> Vif:
    ip = FixedIp(
        ip_address="10.0.1.5", prefix_len=24, subnet_id="s", gateway_ip="10.0.1.1", method="static"
    )
    return Vif(
        port_id=port_id,
        network_id="n",
        mac_address="fa:16:3e:00:00:01",
        mtu=1450,
        vif_type="ovs",
        fixed_ips=(ip,),
    )


@pytest.fixture
def fake() -> FakeAgent:
    return FakeAgent(FakeHost("compute-1"))


@pytest.fixture
def agent(fake: FakeAgent) -> Iterator[Agent]:
    agent = Agent("compute-1", fake.stream(), timeout_s=5)
    yield agent
    agent.close()


def run(execution: Execution) -> tuple[bytes, bytes, int]:
    said = {"stdout": b"", "stderr": b""}
    with execution:
        for stream, data in execution.output():
            said[stream] += data
    return said["stdout"], said["stderr"], execution.exit_code


def wait_until_full(execution: Execution) -> None:
    deadline = time.monotonic() + 5
    while execution._answers.qsize() < BACKLOG:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_values_go_over_the_wire_and_come_back(agent: Agent, fake: FakeAgent) -> None:
    plugged = agent.plug(make_vif(), VM)
    assert plugged.changed
    assert plugged.vif == fake.host.vifs_by_port[PORT]
    assert agent.vifs(PORT) == [plugged.vif]
    assert plugged.vif.fixed_ips == make_vif().fixed_ips
    assert not agent.plug(make_vif(), VM).changed
    assert agent.info().vifs == 1
    assert agent.configure(PORT, timeout_s=1) == ("10.0.1.5/24",)
    assert agent.unplug(PORT)
    assert not agent.unplug(PORT)


def test_a_guests_state_goes_over_the_wire_and_back(agent: Agent, fake: FakeAgent) -> None:
    fake.host.processes[7] = "sleep 3600"
    before = agent.plug(make_vif(), VM, late_tap=True, nic="eth3").vif
    state = agent.suspend(VM.instance_id)
    assert state.processes == {7: "sleep 3600"}
    assert [nic.nic for nic in state.nics] == ["eth3"]
    assert agent.vifs(PORT)[0].addresses == ()
    with pytest.raises(ConflictError, match="paused"):
        agent.suspend(VM.instance_id)
    assert agent.resume(VM.instance_id, state) >= state.time
    assert agent.vifs(PORT) == [before]
    assert fake.host.announced == [PORT]
    # It runs: nothing is done.
    agent.resume(VM.instance_id)
    assert fake.host.announced == [PORT]
    with pytest.raises(NotFoundError):
        agent.suspend("another")


def test_a_guest_that_boots_has_its_static_addresses(agent: Agent, fake: FakeAgent) -> None:
    agent.plug(make_vif(), VM, paused=True)
    assert agent.vifs(PORT)[0].addresses == ()
    agent.resume(VM.instance_id, rarp=False)
    assert agent.vifs(PORT)[0].addresses == ("10.0.1.5/24",)
    assert fake.host.announced == []


def test_an_error_comes_back_as_its_own_class(agent: Agent, fake: FakeAgent) -> None:
    fake.host.broken["plug"] = ConflictError("the device is there", hint="fakevm cleanup")
    with pytest.raises(ConflictError, match="compute-1: the device is there") as caught:
        agent.plug(make_vif(), VM)
    assert caught.value.hint == "fakevm cleanup"
    with pytest.raises(NotFoundError):
        agent.configure(PORT, timeout_s=1)


def test_an_answer_without_a_known_class_is_an_error_all_the_same() -> None:
    ours, theirs = socket.socketpair()

    def answer() -> None:
        theirs.recv(4096)
        error = b'{"code": -32603, "message": "a bug"}'
        theirs.sendall(b'{"jsonrpc": "2.0", "id": 1, "error": ' + error + b"}\n")

    threading.Thread(target=answer).start()
    agent = Agent("compute-1", FakeStream(ours), timeout_s=5)
    with pytest.raises(FakevmError, match="compute-1: a bug"):
        agent.info()
    agent.close()


def test_many_requests_are_under_way_at_once(agent: Agent, fake: FakeAgent) -> None:
    together = threading.Barrier(8)

    def meet(_method: str) -> None:
        together.wait(5)

    fake.host.before = meet
    ids = [f"{n}aaaaaaa-0000-4000-8000-000000000001" for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        plugged = list(pool.map(lambda port_id: agent.plug(make_vif(port_id), VM), ids))
    assert [one.vif.port_id for one in plugged] == ids


def test_no_answer_in_time_is_an_error_and_the_late_answer_is_dropped(fake: FakeAgent) -> None:
    go = threading.Event()

    def dawdle(_method: str) -> None:
        go.wait(5)

    fake.host.before = dawdle
    agent = Agent("compute-1", fake.stream(), timeout_s=0.05)
    with pytest.raises(UnavailableError, match="compute-1: the agent has not answered `unplug`"):
        agent.unplug(PORT)
    go.set()
    assert Agent.request(agent, "list", {}, timeout_s=5) == {"vifs": []}
    agent.close()


def test_who_waits_is_told_when_the_host_stops(agent: Agent, fake: FakeAgent) -> None:
    fake.host.before = lambda method: fake.die() if method == "plug" else None
    with pytest.raises(UnavailableError, match="compute-1: the connection to the agent ended"):
        agent.plug(make_vif(), VM)
    with pytest.raises(UnavailableError):
        agent.unplug(PORT)


def test_the_end_is_explained_by_who_knows_more(fake: FakeAgent) -> None:
    def explain() -> None:
        raise NotFoundError("there is no lab 'x'")

    agent = Agent("compute-1", fake.stream(), explain=explain)
    fake.host.before = lambda _method: fake.die()
    with pytest.raises(NotFoundError, match="no lab"):
        agent.unplug(PORT)


def test_socat_s_words_are_told_without_its_date() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    complaint = '2026/11/22 15:42:47 socat[34] E connect(, AF=1 "x"): No such file or directory'
    agent = Agent("compute-1", FakeStream(ours, complaint))
    with pytest.raises(UnavailableError, match='agent ended: connect\\(, AF=1 "x"\\): No such'):
        agent.info()


def test_output_comes_by_stream_with_the_exit_code(agent: Agent) -> None:
    assert run(agent.execute(PORT, ["echo", "hi"])) == (b"hi\n", b"", 0)
    assert run(agent.execute(PORT, ["complain", "ouch", "3"])) == (b"", b"ouch", 3)


def test_a_command_in_several_vms_has_an_end_in_each(agent: Agent) -> None:
    other, gone = VM2.instance_id, "11111111-0000-4000-8000-000000000009"
    agent.plug(make_vif(), VM)
    agent.plug(make_vif(PORT.replace("1", "2")), VM2)
    with agent.execute_each([VM.instance_id, gone, other], ["complain", "ouch", "3"]) as commands:
        said = sorted(commands.pieces())
    assert said == sorted(("stderr", b"ouch", one) for one in (VM.instance_id, other))
    ends = commands.ends
    error = ends.pop(gone)
    assert ends == {VM.instance_id: 3, other: 3}
    assert isinstance(error, NotFoundError)
    assert str(error).startswith("compute-1: ")


def test_leaving_a_command_in_several_vms_ends_it(agent: Agent, fake: FakeAgent) -> None:
    agent.plug(make_vif(), VM)
    with agent.execute_each([VM.instance_id], ["sleep"]):
        pass
    wait_until("its end", lambda: [e.is_set() for e in fake.ended.values()] == [True])


def test_stdin_is_passed_to_its_end(agent: Agent) -> None:
    execution = agent.execute(PORT, ["cat"], stdin=True)
    for data in (b"one ", "день".encode(), b""):
        execution.send(data)
    assert run(execution) == ("one день".encode(), b"", 0)


def test_much_stdin_is_passed_in_lines_that_the_agent_takes(agent: Agent) -> None:
    much = bytes(range(256)) * (LINE_MAX // 256)
    with agent.execute(PORT, ["cat"], stdin=True) as execution:
        execution.feed(much)
        assert run(execution) == (much, b"", 0)


class Stuck:
    """A stream to an agent that takes a request, and then nothing more."""

    def __init__(self) -> None:
        self.stuck, self.closed = threading.Event(), threading.Event()
        self._requests = 1

    def read(self) -> bytes:
        self.closed.wait()
        return b""

    def write(self, _data: bytes) -> None:
        if self._requests:
            self._requests -= 1
            return
        self.stuck.set()
        self.closed.wait()
        raise BrokenPipeError

    def close(self) -> None:
        self.closed.set()

    @property
    def complaint(self) -> str:
        return ""


def test_a_command_that_reads_nothing_can_be_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "CANCEL_S", 0.1)
    stream = Stuck()
    agent = Agent("compute-1", stream)
    with agent.execute(PORT, ["sleep"], stdin=True) as execution:
        execution.feed(b"words")
        assert stream.stuck.wait(5)
    # The word that ends it does not get through: nobody waits for that.
    assert stream.closed.is_set()
    wait_until("the end of the stream", lambda: agent.lost)


def test_many_commands_do_not_mix(agent: Agent) -> None:
    executions = [agent.execute(PORT, ["echo", str(n)]) for n in range(50)]
    assert [run(execution)[0] for execution in executions] == [b"%d\n" % n for n in range(50)]


def test_leaving_a_command_ends_it(agent: Agent, fake: FakeAgent) -> None:
    with agent.execute(PORT, ["sleep"]):
        pass
    assert agent.info().host == "compute-1"
    (ended,) = fake.ended.values()
    assert ended.wait(5)


def test_a_command_waits_for_its_slow_reader(agent: Agent, fake: FakeAgent) -> None:
    count = 4 * BACKLOG
    with agent.execute(PORT, ["flood", str(count)]) as execution:
        wait_until_full(execution)
        assert not fake.flooded.is_set()
        assert sum(len(data) for _, data in execution.output()) == count * FLOOD
    assert execution.exit_code == 0


def test_a_command_whose_output_nobody_reads_is_ended_when_others_would_wait(
    agent: Agent, fake: FakeAgent
) -> None:
    with agent.execute(PORT, ["flood", str(4 * BACKLOG)]) as execution:
        wait_until_full(execution)
        assert agent.info().host == "compute-1"
        with pytest.raises(FakevmError, match="its output is not read"):
            list(execution.output())
    (ended,) = fake.ended.values()
    assert ended.wait(5)


def test_who_reads_late_is_told_of_the_end_too(agent: Agent, fake: FakeAgent) -> None:
    execution = agent.execute(PORT, ["flood", str(4 * BACKLOG)])
    wait_until_full(execution)
    fake.die()
    with pytest.raises(UnavailableError, match="compute-1"):
        list(execution.output())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_is_no_message_ends_all_that_wait() -> None:
    ours, theirs = socket.socketpair()
    before = set(threading.enumerate())
    agent = Agent("compute-1", FakeStream(ours), timeout_s=5)
    theirs.sendall(b"oops\n")
    with pytest.raises(UnavailableError, match="compute-1"):
        agent.info()
    theirs.close()
    # Its traceback belongs to this test.
    for reader in set(threading.enumerate()) - before:
        reader.join(5)


def test_a_command_s_end_with_its_host_is_an_error(agent: Agent) -> None:
    with pytest.raises(UnavailableError, match="compute-1"):
        run(agent.execute(PORT, ["die"]))


def test_a_command_whose_end_is_not_told_in_time_is_given_up(fake: FakeAgent) -> None:
    agent = Agent("compute-1", fake.stream(), timeout_s=0.2)
    try:
        agent.plug(make_vif(), VM)
        with pytest.raises(UnavailableError, match=r"compute-1: .* how a command ended"):
            run(agent.execute(PORT, ["sleep"], timeout_s=0.1))
    finally:
        agent.close()
