"""What Nova reads when a network has changed, request by request."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import pytest

from fakevm.model import Server
from fakevm_agent.api import Api
from fakevm_agent.nova_events.refresh import Refresh

VM = "11111111-0000-4000-8000-000000000001"
SERVER = Server(instance_id=VM)


class Recorded:
    """Answers as Neutron, and keeps what it was asked."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.asked: list[str] = []
        self.status = 200
        recorded = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                target = unquote(self.path).removeprefix("/v2.0/")
                recorded.asked.append(target)
                body = json.dumps(answers[target.partition("?")[0].partition("/")[0]]).encode()
                self.send_response(recorded.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def taken(self) -> list[str]:
        asked, self.asked = self.asked, []
        return asked


def make_port(port_id: str, network: str, *ips: tuple[str, str]) -> dict[str, Any]:
    fixed = [{"ip_address": address, "subnet_id": subnet} for address, subnet in ips]
    return {"id": port_id, "network_id": network, "fixed_ips": fixed}


@pytest.fixture
def neutron() -> Iterator[Recorded]:
    recorded = Recorded(
        {
            "ports": {
                "ports": [
                    make_port("p1", "n1", ("10.0.0.5", "s4"), ("2001:db8::5", "s6")),
                    make_port("p2", "n2", ("10.1.0.5", "t4")),
                ]
            },
            "networks": {"networks": []},
            "floatingips": {"floatingips": []},
            "subnets": {"subnets": [{"id": "s4"}, {"id": "s6"}]},
            "extensions": {"extensions": []},
        }
    )
    thread = threading.Thread(target=recorded.server.serve_forever, args=(0.01,))
    thread.start()
    yield recorded
    recorded.server.shutdown()
    recorded.server.server_close()
    thread.join(10)


ALL_PORTS = f"ports?tenant_id=fake_project_id&device_id={VM}"
OF_P1 = [
    "floatingips?fixed_ip_address=10.0.0.5&port_id=p1",
    "floatingips?fixed_ip_address=2001:db8::5&port_id=p1",
    "subnets?id=s4&id=s6",
    "ports?network_id=n1&device_owner=network:dhcp",
    "ports?network_id=n1&device_owner=network:dhcp",
]
OF_N1 = [
    "networks/n1?fields=segments",
    "networks/n1?fields=provider:physical_network&fields=provider:network_type",
]


def test_of_one_port_that_port_is_read(neutron: Recorded) -> None:
    refresh = Refresh(Api(neutron.url))
    refresh.refresh(SERVER, "compute-1", "p1")
    assert neutron.taken() == [ALL_PORTS, "networks?id=n1", *OF_P1, "extensions", *OF_N1]
    # The extensions are known for ten minutes, to this compute service.
    refresh.refresh(SERVER, "compute-1", "p1")
    assert neutron.taken() == [ALL_PORTS, "networks?id=n1", *OF_P1, *OF_N1]
    refresh.refresh(SERVER, "compute-2", "p1")
    assert "extensions" in neutron.taken()


def test_of_all_ports_each_is_read(neutron: Recorded) -> None:
    Refresh(Api(neutron.url)).refresh(SERVER, "compute-1", "")
    asked = neutron.taken()
    assert asked[:2] == [ALL_PORTS, "networks?id=n1&id=n2"]
    assert asked[2 : 2 + len(OF_P1)] == OF_P1
    assert "floatingips?fixed_ip_address=10.1.0.5&port_id=p2" in asked
    assert asked[-1].startswith("networks/n2?fields=provider")


def test_a_port_that_is_gone_ends_it(neutron: Recorded) -> None:
    Refresh(Api(neutron.url)).refresh(SERVER, "compute-1", "p3")
    assert neutron.taken() == [ALL_PORTS]


def test_a_neutron_that_fails_is_only_logged(
    neutron: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    neutron.status = 500
    Refresh(Api(neutron.url)).refresh(SERVER, "compute-1", "p1")
    assert "did not answer as to Nova" in caplog.text
    assert neutron.taken() == [ALL_PORTS]
