"""A lab whose security groups are iptables', as clouds had them before Open vSwitch's driver."""

from pathlib import Path

import pytest

from fakevm.library.words import LabWords


@pytest.fixture(scope="session")
def agents_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config")


@pytest.fixture(scope="session")
def lab_words(agents_config: Path) -> LabWords:
    return {"firewall": "iptables_hybrid", "config": agents_config}
