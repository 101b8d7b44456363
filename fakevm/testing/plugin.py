"""What pytest sees: options, the marker, fixtures, and what is done around each test."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fakevm import testing
from fakevm.errors import FakevmError, attempt_each
from fakevm.testing import options
from fakevm.testing.options import Options

if TYPE_CHECKING:
    from fakevm.library.behind.words import LabWords
    from fakevm.library.lab import Lab
    from fakevm.neutron.made import Made
    from fakevm.testing.cloud import Cloud
    from fakevm.testing.needs import Needs
    from fakevm.testing.session import Session
    from fakevm.testing.workers import Workers

# By which a test that uses a lab is known: also one whose project has its own fixture `lab`.
_USES = "_fakevm"

# What looks whether its lab has the release of Neutron that it needs.
_RELEASE = "_fakevm_release"

_OPTIONS = pytest.StashKey[Options]()

# There is one as soon as a test wants a lab: what it imports is none of other tests' time.
_SESSION: pytest.StashKey[Session] = pytest.StashKey()
_WORKERS: pytest.StashKey[Workers] = pytest.StashKey()

# Compute hosts, of the test that needs the most.
_HOSTS = pytest.StashKey[int]()

# What failed at the end, in words.
_FAILED = pytest.StashKey[list[str]]()

# What a test begins with that has no lab.
_NO_LAB = "there is no lab: "

# When a test began, in seconds since the epoch.
_BEGAN = pytest.StashKey[float]()


class LeftBehindWarning(pytest.PytestWarning):
    """A test did not remove what it made in its lab; the plug-in has."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Tell pytest of the options."""
    options.add(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of the marker, and look at the options."""
    config.addinivalue_line("markers", options.MARKER)
    # The SDK warns of its own inner calls.
    config.addinivalue_line("filterwarnings", "ignore:::openstack")
    try:
        config.stash[_OPTIONS] = options.of(config)
    except FakevmError as error:
        raise pytest.UsageError(str(error)) from error


def _session(config: pytest.Config) -> Session:
    if _SESSION not in config.stash:
        worker: dict[str, Any] = getattr(config, "workerinput", {})
        config.stash[_SESSION] = testing.session.Session(
            config.stash[_OPTIONS],
            hosts=config.stash.get(_HOSTS, options.DEFAULT_HOSTS),
            handed=worker.get("fakevm"),
            worker=worker.get("workerid", ""),
        )
    return config.stash[_SESSION]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist's which run it is part of."""
    config = node.config
    if _WORKERS not in config.stash:
        config.stash[_WORKERS] = testing.workers.Workers(config.stash[_OPTIONS])
    node.workerinput["fakevm"] = config.stash[_WORKERS].hand(len(config.option.tx))


# Which tests run, and where


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on each backend that is asked for."""
    if _USES not in metafunc.fixturenames:
        return
    asked = metafunc.config.stash[_OPTIONS]
    wanted = testing.needs.backends(_needs(metafunc.definition), asked)
    if wanted and wanted != (asked.backend,):
        metafunc.parametrize("backend", wanted, indirect=True, scope="session")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what the options make impossible; see what the lab has to have."""
    asked = config.stash[_OPTIONS]
    users = [item for item in items if _uses_a_lab(item)]
    if asked.alone:
        config.hook.pytest_deselected(items=[item for item in items if not _uses_a_lab(item)])
        items[:] = users
    hosts = options.DEFAULT_HOSTS
    for item in users:
        needs = _needs(item)
        reason = testing.needs.refusal(needs, asked, backend=_backend_of(item))
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))
        else:
            hosts = max(hosts, needs.hosts)
            fixtures: list[str] = getattr(item, "fixturenames", [])
            if needs.neutron and _RELEASE not in fixtures:
                # Before all others, also those of the module.
                fixtures.insert(0, _RELEASE)
    config.stash[_HOSTS] = hosts


def _needs(node: pytest.Item) -> Needs:
    try:
        marks = list(node.iter_markers("fakevm"))
        if any(mark.args for mark in marks):
            raise pytest.UsageError(f"{node.nodeid}: {options.MARKER}")
        return testing.needs.of([mark.kwargs for mark in marks])
    except FakevmError as error:
        raise pytest.UsageError(f"{node.nodeid}: @pytest.mark.fakevm: {error}") from error


def _backend_of(item: pytest.Item) -> str:
    """Return on which backend a test runs, as it has been collected."""
    chosen = getattr(item, "callspec", None)
    default = item.config.stash[_OPTIONS].backend
    return str(chosen.params.get("backend", default) if chosen else default)


def _uses_a_lab(item: pytest.Item) -> bool:
    return _USES in getattr(item, "fixturenames", ())


# Fixtures


@pytest.fixture(scope="session")
def _fakevm(request: pytest.FixtureRequest) -> Session:
    return _session(request.config)


@pytest.fixture
def _fakevm_release(request: pytest.FixtureRequest, lab: Lab) -> None:
    if reason := testing.needs.outdated(_needs(request.node), lab.neutron_version):
        pytest.skip(reason)


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> str:
    """Who wires the lab's ports: "ovs" or "ovn"."""
    return str(getattr(request, "param", request.config.stash[_OPTIONS].backend))


@pytest.fixture(scope="session")
def neutron_src(request: pytest.FixtureRequest) -> Path | None:
    """The working tree that Neutron runs from: that of --fakevm-neutron-src."""
    return request.config.stash[_OPTIONS].neutron_src


@pytest.fixture(scope="session")
def lab_words() -> LabWords:
    """What the lab is to be, in a lab file's words; a project's own fixture of this name says."""
    return {}


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest, _fakevm: Session, backend: str, lab_words: LabWords) -> Lab:
    """A lab, which all tests of the session have."""
    try:
        return _fakevm.lab(backend, lab_words, _told(request.config))
    except FakevmError as error:
        # Nothing of how it came about: it is told of each test in its own words.
        words = f"{_NO_LAB}{testing.session.told(error)}"
    pytest.fail(words, pytrace=False)


@pytest.fixture
def cloud(request: pytest.FixtureRequest, _fakevm: Session, lab: Lab) -> Iterator[Cloud]:
    """A test's own networks, routers, security groups and VMs, removed at its end."""
    worker = _fakevm.run.worker if _fakevm.run.shared else ""
    with testing.cloud.Cloud(lab, request.node.name, worker=worker) as made:
        yield made
        # What else the test has made may hold the cloud's.
        left = _fakevm.sweep(testing.owned.FUNCTION)
        if stray := [one for one in left if not made.has(one)]:
            _warn(request.node, stray)


@pytest.fixture
def hosts(_fakevm: Session, lab: Lab) -> Callable[[int], list[str]]:
    """Return so many compute hosts of the lab: `hosts(3)`; those that it lacks are begun."""
    return lambda count: _fakevm.hosts_of(lab, count)


def _told(config: pytest.Config) -> Callable[[str], None]:
    """Return what tells the user of what takes a while, where there is a terminal."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    capture = config.pluginmanager.getplugin("capturemanager")

    def tell(text: str) -> None:
        if reporter and capture:
            with capture.global_and_fixture_disabled():
                reporter.ensure_newline()
                reporter.write_line(f"fakevm: {text}")

    return tell


# Around each test


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """Where there is no lab, one test says why, and the others are skipped."""
    item.stash[_BEGAN] = time.time()
    try:
        yield
    except pytest.fail.Exception as failure:
        words = str(failure.msg)
        if not words.startswith(_NO_LAB) or _session(item.config).tells(words):
            raise
    else:
        return
    pytest.skip("there is no lab, as an earlier error says")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failure what the lab tells of it."""
    report = yield
    lab = getattr(item, "funcargs", {}).get("lab")
    if not (report.failed and _uses_a_lab(item) and lab and call.excinfo):
        return report
    found = _session(item.config).evidence(lab, item.stash[_BEGAN], call.excinfo.value)
    lines = list(found.lines)
    if folder := item.config.stash[_OPTIONS].evidence:
        place = folder / testing.session.file_name(item.nodeid) / call.when
        try:
            files = found.save(place)
        except FakevmError as error:
            lines.append(f"no files: {error}")
        else:
            lines.append(f"files: {place}")
            report.user_properties.append(("evidence", str(place)))
            # As GitLab and Jenkins read it, from what JUnit's files have of a test's output.
            attached = "".join(f"[[ATTACHMENT|{file}]]\n" for file in files)
            if item.config.getoption("xmlpath", None):
                item.add_report_section(call.when, "stdout", attached)
    report.sections.append((f"fakevm: what the lab {lab.name} tells", "\n".join(lines)))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Let what a module's fixture makes stay until the module's end."""
    session = request.config.stash.get(_SESSION, None)
    with session.made_by(fixturedef.scope) if session else nullcontext():
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Remove what the test has left behind, and say so."""
    yield
    session = item.config.stash.get(_SESSION, None)
    if session and (left := session.sweep(testing.owned.FUNCTION)):
        _warn(item, left)


def _warn(node: pytest.Item, left: Sequence[Made]) -> None:
    node.warn(
        LeftBehindWarning(f"{node.nodeid} left behind, and the plug-in removed: {_words(left)}")
    )


def _words(left: Sequence[Made]) -> str:
    return ", ".join(map(testing.removal.said, left))


# The innermost: after pytest itself, which ends the fixtures of a test that was interrupted, and
# before who tells the end.
@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    """Take labs down, or clean them; where that fails, so does the run, and pytest tells the rest.

    A worker of pytest-xdist's, which has no terminal, hands on what failed.
    """
    try:
        yield
    except BaseException as error:
        # After which pytest sums up nothing.
        for text in _end(session):
            error.add_note(_not_removed(text))
        raise
    _end(session)


def _end(session: pytest.Session) -> list[str]:
    """End what the run has; return what failed."""
    config = session.config
    failed = config.stash.setdefault(_FAILED, [])
    ends: list[Callable[[], object]] = []
    if _SESSION in config.stash:
        ends.append(lambda: _close(config))
    if _WORKERS in config.stash:
        ends.append(config.stash[_WORKERS].close)
    _, errors = attempt_each(ends, lambda end: end())
    failed += [testing.session.told(error) for error in errors]
    if failed and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if hasattr(config, "workeroutput"):
        config.workeroutput["fakevm"] = failed
    return failed


def _not_removed(text: str) -> str:
    return f"fakevm: not all is removed: {text}"


def _close(config: pytest.Config) -> None:
    if left := config.stash[_SESSION].close():
        _told(config)(f"left behind, and removed: {_words(left)}")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear what failed at a worker's end."""
    failed = getattr(node, "workeroutput", {}).get("fakevm", ())
    node.config.stash.setdefault(_FAILED, []).extend(failed)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Tell what failed at the end."""
    for text in dict.fromkeys(config.stash.get(_FAILED, ())):
        terminalreporter.write_line(_not_removed(text), red=True)
