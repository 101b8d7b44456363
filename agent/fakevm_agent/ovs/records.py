"""Records as Open vSwitch's database keeps them, in a key of a port."""

import functools
import json

from fakevm.errors import ConfigError
from fakevm_agent.protocol import wire
from fakevm_agent.protocol.checks import check_plugged
from fakevm_agent.records import Record

KEY = "fakevm"


def dump(record: Record) -> str:
    """Return a record as its key's value."""
    return wire.dump_text(record)


@functools.lru_cache(maxsize=1024)
def parse(text: str) -> Record | None:
    """Return the record in a key's value, or None where it is not one."""
    try:
        record = wire.parse(Record, json.loads(text))
        check_plugged(record.vif, record.vm, record.nic)
    except (ConfigError, ValueError):
        return None
    return record
