"""What is taken up of Neutron's fullstack and of neutron-tempest-plugin, as a user's own tests."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "each_change: quick and central; make test runs it, too")
