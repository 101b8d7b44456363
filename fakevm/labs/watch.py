"""A lab at a glance, again and again: what has not changed is not found anew."""

from __future__ import annotations

from collections.abc import Iterator

from fakevm.clients.parts import Parts
from fakevm.errors import FakevmError
from fakevm.labs import status
from fakevm.labs.questions import Questions
from fakevm.labs.status import Status

# How long a look waits for each answer: what is silent is shown as such.
ANSWER_S = 5.0


def watch(lab: Parts) -> Iterator[Status]:
    """Yield the lab as it is whenever the next one is asked for; one that is away, too.

    A look costs a question to the engine, a request to each host's agent, one to Neutron, and what
    the backend asks: their connections are kept.
    """
    with Questions(timeout_s=ANSWER_S) as questions:
        while True:
            lab.look_again()
            try:
                found = status.of(lab, ask=questions.ask)
            except FakevmError as error:
                found = Status(lab=lab.name, endpoint="", neutron=str(error), services=(), hosts=())
            yield found
