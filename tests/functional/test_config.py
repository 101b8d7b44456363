"""What Neutron's programs are started with: ours, the host's own, and what the user lays over."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

USERS = Path("/etc/fakevm/config")
STARTED = Path("/run/neutron/config")


@pytest.fixture
def laid_over() -> Iterator[Path]:
    """The user's folder, which Compose mounts in a lab."""
    USERS.mkdir(parents=True)
    yield USERS
    shutil.rmtree(USERS)
    shutil.rmtree(STARTED, ignore_errors=True)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def settings(*, host: str) -> dict[str, tuple[str, str]]:
    """Start what prints oslo.config's own view of two options, and return what `show` says."""
    own = {"OS_AGENT__L2_POPULATION": "true", "OS_DEFAULT__TRANSPORT_URL": "rabbit://n:pw@mq/"}
    program = (
        "import sys; from oslo_config import cfg;"
        "from neutron.conf.plugins.ml2.drivers import agent, ovs_conf;"
        "agent.register_agent_opts(); ovs_conf.register_ovs_agent_opts();"
        "cfg.CONF(sys.argv[1:], project='neutron');"
        "print(cfg.CONF.AGENT.l2_population, cfg.CONF.AGENT.polling_interval)"
    )
    files = ("neutron.conf", "openvswitch_agent.ini")
    command = ("neutron-config", "l2-agent", *files, "--", "python", "-c", program)
    said = subprocess.run(
        ("unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', host, *command),
        env={**os.environ, **own},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.split()
    shown = {f"[{row['group']}] {row['option']}": row for row in show()}
    found = {name: (row["value"], row["file"]) for name, row in shown.items()}
    # What is shown is what the program itself has read.
    assert said[0].lower() == found["[agent] l2_population"][0]
    assert said[1] == found["[agent] polling_interval"][0]
    return found


def show() -> list[dict[str, Any]]:
    out = subprocess.run(("neutron-config-show",), stdout=subprocess.PIPE, check=True).stdout
    rows = json.loads(out)
    assert {row["process"] for row in rows} == {"l2-agent"}
    assert isinstance(rows, list)
    return rows


def check() -> dict[str, Any]:
    out = subprocess.run(("neutron-config-check",), stdout=subprocess.PIPE, check=True).stdout
    found = json.loads(out)
    assert isinstance(found, dict)
    return found


def test_the_last_file_has_the_word_and_a_host_s_own_is_the_last(laid_over: Path) -> None:
    write(laid_over / "neutron.conf.d/a.conf", "[agent]\npolling_interval = 4\n")
    write(laid_over / "hosts/here/openvswitch_agent.ini", "[AGENT]\nl2_population = false\n")
    own = str(STARTED / "l2-agent.ini")
    there = settings(host="there")
    assert there["[agent] l2_population"] == ("true", own)
    polling = laid_over / "neutron.conf.d/a.conf"
    assert there["[agent] polling_interval"] == ("4", str(polling))
    # Passwords stay hidden.
    assert there["[DEFAULT] transport_url"] == ("rabbit://n:****@mq/", own)
    here = settings(host="here")
    over = laid_over / "hosts/here/openvswitch_agent.ini"
    # The environment does not overrule what the user says.
    assert here["[agent] l2_population"] == ("false", str(over))
    # What a program finds without a word is not lost when it is told of others.
    assert here["[privsep] helper_command"][1] == "/etc/neutron/neutron.conf.d/privsep.conf"


def test_what_has_no_effect_is_told_with_the_nearest_name(laid_over: Path) -> None:
    write(laid_over / "openvswitch_agent.ini", "[agent]\ntunel_types = geneve\n[ovss]\na = 1\n")
    write(laid_over / "ml2_conf.ini", "[ml2]\nextension-drivers = dns\n")
    write(laid_over / "policy.yaml", "{}")
    write(laid_over / "hosts/compute-1/policy.yaml", "{}")
    assert check() == {
        "error": "",
        "warnings": [
            "hosts/compute-1/policy.yaml: nobody reads this",
            "ml2_conf.ini: [ml2] extension-drivers is unknown; extension_drivers?",
            "openvswitch_agent.ini: [agent] tunel_types is unknown; tunnel_types?",
            "openvswitch_agent.ini: [ovss] is unknown; ovs?",
        ],
    }


def test_what_no_program_could_read_is_an_error(laid_over: Path) -> None:
    write(laid_over / "policy.yaml", 'get_port: "rule:admin\n')
    assert check()["error"] == "policy.yaml:2: found unexpected end of stream"
    write(laid_over / "policy.yaml", "- get_port\n")
    assert check()["error"] == "policy.yaml: it has no rules, each with its name"
    write(laid_over / "policy.yaml", 'get_port: "rule:admin_only"\n')
    assert check()["error"] == ""
    write(laid_over / "neutron.conf.d/bad.conf", "no section = 1\n")
    found = check()
    assert "neutron.conf.d/bad.conf:1" in found["error"]
    assert "Section must be started" in found["error"]


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        (
            "ml2_conf.ini",
            "[ml2]\nmechanism_drivers = openvswitch,l2populations\n",
            "ml2_conf.ini: mechanism_drivers names l2populations, which nothing that is installed"
            " has (entry points neutron.ml2.mechanism_drivers); l2population?",
        ),
        ("ml2_conf.ini", "[ml2]\ntype_drivers = vxlan\nextension_drivers = port_security\n", ""),
        (
            "neutron.conf.d/a.conf",
            "[DEFAULT]\nservice_plugins = router, my.plug.in\n[ml2]\nextension_drivers = dnss\n",
            "neutron.conf.d/a.conf: extension_drivers names dnss, which nothing that is installed"
            " has (entry points neutron.ml2.extension_drivers); dns?",
        ),
    ],
)
def test_a_driver_that_is_not_installed_is_an_error(
    laid_over: Path, file: str, text: str, words: str
) -> None:
    write(laid_over / file, text)
    assert check()["error"] == words


def test_a_driver_in_the_environment_is_looked_for_without_a_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OS_ML2__MECHANISM_DRIVERS", "ovn,nothing")
    assert check()["error"].startswith("mechanism_drivers names nothing, which")
    monkeypatch.setenv("OS_ML2__MECHANISM_DRIVERS", "")
    assert check() == {"error": "", "warnings": []}
