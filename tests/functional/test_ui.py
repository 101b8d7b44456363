"""The live page in a browser, of a lab that needs no Docker."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from fakevm.ui.server import serving
from fakevm.vms.requests import PortRequest
from tests.fakes.probe import FakeNet
from tests.unit.conftest import World, net, world  # noqa: F401
from tests.waiting import wait_until

# What a browser would run, were a name ever more than a text.
NAME = '<img src=x onerror="document.title = 1">'


@pytest.fixture
def url(world: World, net: FakeNet) -> Iterator[str]:  # noqa: F811
    with world.lab() as lab:
        for name, host in (("db", "compute-1"), (NAME, "compute-2")):
            lab.create_port(PortRequest(network="net", instance=name, host=host))

    with serving("fakevm", world.lab_saying) as server:
        yield server.url


@pytest.fixture
def browser() -> Iterator[Chrome]:
    options = ChromeOptions()
    for word in ("headless", "no-sandbox", "disable-dev-shm-usage", "window-size=1300,800"):
        options.add_argument(f"--{word}")
    # Else Selenium looks for them elsewhere.
    options.binary_location = program("chromium-headless-shell")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with Chrome(options=options, service=ChromeService(program("chromedriver"))) as browser:
        yield browser


def program(name: str) -> str:
    found = shutil.which(name)
    assert found, f"{name} is not installed"
    return found


def test_a_vm_is_dragged_onto_another_host(browser: Chrome, url: str, world: World) -> None:  # noqa: F811
    started = time.monotonic()
    browser.get(url)
    vm = wait_until("the picture", lambda: vms(browser, NAME))[0]
    assert time.monotonic() - started < 20
    assert {one.get_attribute("data-host") for one in every(browser, ".host")} == set(world.hosts)
    assert browser.title == "fakevm · fakevm"

    (there,) = (one for one in every(browser, ".host") if "compute-3" in one.text)
    ActionChains(browser).drag_and_drop(vm, there).perform()
    card = wait_until("the migration", lambda: every(browser, ".card.moved"))[0]
    assert card.text.startswith(f"{NAME} → compute-3")
    assert "The VM lost" in card.text
    lines = [one.text for one in every(browser, "#events li")]
    assert any("network-vif-plugged" in line for line in lines)

    # Its ports, and the way without a mouse.
    wait_until("its new place", lambda: place(world, NAME) == "compute-3")
    click(browser, NAME)
    ports = wait_until("its ports", lambda: browser.find_element(By.ID, "ports").text)
    assert NAME in ports
    assert "ACTIVE" in ports
    wait_until(
        "the page to see it", lambda: "on compute-3" in browser.find_element(By.ID, "ports").text
    )
    hosts = [one.text for one in every(browser, "#where option")]
    assert hosts == ["compute-1", "compute-2"]
    # Nothing of the page was refused by its own policy, and its script has no error.
    assert browser.get_log("browser") == []


def test_a_page_says_that_its_server_has_ended(browser: Chrome, world: World) -> None:  # noqa: F811
    with serving("fakevm", world.lab_saying) as server:
        browser.get(server.url)
        wait_until("the picture", lambda: every(browser, ".host"))
    wait_until("the end", lambda: "has ended" in browser.find_element(By.ID, "trouble").text)


def every(browser: Chrome, selector: str) -> list[WebElement]:
    return list(browser.find_elements(By.CSS_SELECTOR, selector))


def vms(browser: Chrome, name: str) -> list[WebElement]:
    return [one for one in every(browser, ".vm") if name[:10] in one.text]


def click(browser: Chrome, name: str) -> None:
    """Click on a VM, whose picture may be another by now."""

    def clicked() -> bool:
        with suppress(StaleElementReferenceException):
            vms(browser, name)[0].click()
        return bool(every(browser, ".vm.chosen"))

    wait_until("the choice", clicked)


def place(found: World, name: str) -> str:
    with found.lab() as lab:
        return next(row.host for row in lab.rows() if row.vm_name == name)
