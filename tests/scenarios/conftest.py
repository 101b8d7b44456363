"""What is taken up of Neutron's fullstack and of neutron-tempest-plugin, as a user's own tests."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to the night what is not for each change."""
    for item in items:
        if HERE in item.path.parents and not item.get_closest_marker("each_change"):
            item.add_marker(pytest.mark.nightly)


@pytest.fixture(autouse=True)
def fault(request: pytest.FixtureRequest) -> None:
    """Expect a test to fail that says of its backend: `@pytest.mark.fault("ovn", reason=…)`."""
    for mark in request.node.iter_markers("fault"):
        if request.getfixturevalue("backend") in mark.args:
            request.applymarker(pytest.mark.xfail(strict=True, **mark.kwargs))
