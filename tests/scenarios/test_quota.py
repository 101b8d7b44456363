"""fullstack test_quota: what a project may have."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from openstack.exceptions import ConflictException

from fakevm import Cloud


@pytest.fixture
def project(cloud: Cloud) -> Iterator[str]:
    project = uuid4().hex
    yield project
    cloud.lab.openstack.network.delete_quota(project)


def test_a_network_beyond_the_quota_is_refused(cloud: Cloud, project: str) -> None:
    sdk = cloud.lab.openstack.network
    sdk.update_quota(project, networks=1)
    sdk.create_network(name=cloud.name("one"), project_id=project)
    with pytest.raises(ConflictException, match="Quota exceeded"):
        sdk.create_network(name=cloud.name("two"), project_id=project)
    # Another project has its own.
    sdk.create_network(name=cloud.name("other"), project_id=uuid4().hex)


def test_of_ports_that_are_too_many_none_is_made(cloud: Cloud, project: str) -> None:
    sdk = cloud.lab.openstack.network
    net = cloud.network("net", shared=True)
    sdk.update_quota(project, ports=2)
    ports = [{"network_id": net.id, "project_id": project} for _ in range(3)]
    with pytest.raises(ConflictException, match="Quota exceeded"):
        sdk.create_ports(ports)
    assert not list(sdk.ports(project_id=project))


def test_what_is_used_is_told_and_what_is_deleted_is_free_again(cloud: Cloud, project: str) -> None:
    sdk = cloud.lab.openstack.network
    sdk.update_quota(project, networks=1)
    net = sdk.create_network(name=cloud.name("one"), project_id=project)
    told = sdk.get_quota(project, details=True).networks
    assert (told["limit"], told["used"]) == (1, 1)
    sdk.delete_network(net)
    assert sdk.get_quota(project, details=True).networks["used"] == 0
    sdk.create_network(name=cloud.name("two"), project_id=project)
