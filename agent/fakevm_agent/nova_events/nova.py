"""What stands for Nova: its servers, and what Neutron and fakevm say of them."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from fakevm.errors import ConfigError
from fakevm.model import Server
from fakevm_agent.nova_events import metadata
from fakevm_agent.nova_events.event_log import EventLog
from fakevm_agent.nova_events.nova_api import Answer, Request, answer
from fakevm_agent.protocol import rpc
from fakevm_agent.protocol.rpc import Call, ProtocolError

# Servers that are known at once; the one that was named longest ago is forgotten first.
_SERVERS_MAX = 10_000
# Of any text that is kept, as of an event's tag.
_TEXT_MAX = 255
_WAIT_MAX = 600.0

OnChange = Callable[[Server, str, str], object]

_STEP = ("kind", "instance_id", "port_id", "name", "status", "source", "code", "operation")


class NovaEvents:
    """What Nova's database and its waiters know."""

    def __init__(
        self,
        *,
        log: EventLog | None = None,
        on_change: OnChange = lambda *_: None,
        metadata_secret: str = "",
    ) -> None:
        """`on_change` is told server, host and port ("": all) of each network-changed.

        `metadata_secret` is what Neutron's metadata agents sign with.
        """
        self.log = log or EventLog()
        self._metadata_secret = metadata_secret
        self._on_change = on_change
        self.servers: OrderedDict[str, Server] = OrderedDict()

    def receive(self, request: Request, *, source: str) -> Answer:
        """Answer a request of Neutron's, and keep its events."""
        if metadata.is_for(request.path):
            return metadata.answer(request, self.servers, secret=self._metadata_secret)
        told = answer(request, self.servers)
        for event in told.events:
            self.log.add(
                kind="event",
                instance_id=event["server_uuid"],
                port_id=event.get("tag", ""),
                name=event["name"],
                status=event.get("status", "completed"),
                source=source,
                code=event["code"],
            )
            if event["name"] == "network-changed" and event["code"] == 200:
                server = self.servers[event["server_uuid"]]
                # Whose compute services hear its events: both of an open cold migration.
                for host in sorted({server.host or "", server.resized_from} - {""}):
                    self._on_change(server, host, event.get("tag", ""))
        return told

    async def call(self, call: Call) -> object:
        """Carry out a request of fakevm's."""
        match call.method:
            case "register":
                return self._register(call.params)
            case "servers":
                return self._told(call.params)
            case "record":
                return self._record(call.params)
            case "read":
                return await self._read(call.params)
        known = "register, servers, record, read"
        reason = f"no method {call.method!r:.80}; there are: {known}"
        raise ProtocolError(rpc.METHOD_NOT_FOUND, reason, call.request_id)

    def _register(self, params: Mapping[str, Any]) -> object:
        """Keep what is told of a server; what is not told stays as it is."""
        _expect(params, tuple(one.name for one in fields(Server)))
        instance_id = _text(params, "instance_id")
        told: dict[str, Any] = {
            name: _texts(params, name) if name in ("given", "nics") else _text(params, name)
            for name in params
            if params[name] is not None
        }
        if "host" in params and params["host"] is None:
            told["host"] = None
        known = self.servers.get(instance_id, Server(instance_id=instance_id))
        self.servers[instance_id] = replace(known, **told)
        self.servers.move_to_end(instance_id)
        while len(self.servers) > _SERVERS_MAX:
            self.servers.popitem(last=False)
        return {}

    def _told(self, params: Mapping[str, Any]) -> object:
        _expect(params, ("instance_ids",))
        ids = _texts(params, "instance_ids")
        return {"servers": {one: asdict(self.servers[one]) for one in ids if one in self.servers}}

    def _record(self, params: Mapping[str, Any]) -> object:
        _expect(params, ("entries",))
        entries = params.get("entries")
        if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
            raise ConfigError("entries: expected a list of objects")
        # All are looked at before one is kept.
        kept = [self._step(one) for one in entries]
        for values in kept:
            self.log.add(**values)
        return {"cursor": self.log.cursor}

    def _step(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        _expect(entry, _STEP)
        if entry.get("kind", "step") != "step":
            raise ConfigError("kind: only steps are recorded")
        if entry.get("code", 0) != 0:
            raise ConfigError("code: a step has none")
        texts = {name: _text(entry, name) for name in ("instance_id", "name", "status", "source")}
        more = {name: _text({name: "", **entry}, name) for name in ("port_id", "operation")}
        return {"kind": "step", **texts, **more}

    async def _read(self, params: Mapping[str, Any]) -> object:
        _expect(params, ("after", "timeout_s", "instance_ids"))
        after, timeout_s = params.get("after"), params.get("timeout_s", 0)
        if not isinstance(after, int) or isinstance(after, bool) or after < -1:
            raise ConfigError("after: expected a cursor, or -1")
        if not isinstance(timeout_s, int | float) or not 0 <= timeout_s <= _WAIT_MAX:
            raise ConfigError(f"timeout_s: expected 0 to {_WAIT_MAX:g}")
        ids = params.get("instance_ids")
        if ids is not None and not (
            isinstance(ids, list) and all(isinstance(one, str) for one in ids)
        ):
            raise ConfigError("instance_ids: expected a list of strings, or null")
        if after == -1:
            return {"entries": [], "cursor": self.log.cursor}
        chosen = None if ids is None else frozenset(ids)
        entries, cursor = await self.log.wait_after(after, chosen, timeout=timeout_s)
        return {"entries": [asdict(entry) for entry in entries], "cursor": cursor}


def _expect(params: Mapping[str, Any], names: tuple[str, ...]) -> None:
    unknown = sorted(set(params) - set(names))
    if unknown:
        raise ConfigError(f"{unknown[0]!r:.80}: not known; expected: {', '.join(names)}")


def _texts(params: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = params.get(name)
    if not isinstance(values, list) or len(values) > _SERVERS_MAX:
        raise ConfigError(f"{name}: expected a list of at most {_SERVERS_MAX} strings")
    return tuple(_text({name: value}, name) for value in values)


def _text(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str) or len(value) > _TEXT_MAX:
        raise ConfigError(f"{name}: expected a string of at most {_TEXT_MAX} characters")
    return value
