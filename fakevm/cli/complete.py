"""What a shell's completion offers for a parameter: it says `shell_complete=complete.ports`.

Where that can't be had nothing is offered, and nothing said.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

from fakevm import shortcut
from fakevm.errors import FakevmError
from fakevm.names import DEFAULT_LAB

if TYPE_CHECKING:
    from fakevm.shortcut.offers import Offer

    Find = Callable[[click.Context, str], Iterable[Offer]]
    Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


# The roles of what `restart` and `config show` know: Neutron's services, hosts and Keystone.
_SERVICES = ("neutron-", "network", "compute", "keystone")


@add_completion_class
class Bash(BashComplete):
    """Quotes what bash would take apart, which the other shells do themselves."""

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """Return a line for click's script, a word as it is to be typed."""
        return f"{item.type},{shlex.quote(item.value)}"


def lab(ctx: click.Context) -> str:
    """Return the lab that is chosen on the line, or by a variable."""
    return str(ctx.find_root().params.get("lab") or DEFAULT_LAB)


def choose_lab(ctx: click.Context, name: str) -> None:
    """Remember the lab that a command's own option names."""
    ctx.find_root().params["lab"] = name


def offering(find: Find) -> Complete:
    """Return what click calls for the words that `find` returns for what is begun."""

    def complete(
        ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        given = ctx.params.get(param.name or "")
        typed = given if isinstance(given, tuple) else ()
        with suppress(FakevmError):
            return [
                CompletionItem(offer.word, help=_line(offer.about) or None)
                for offer in find(ctx, incomplete)
                if offer.word.startswith(incomplete)
                and offer.word not in typed
                and _can_be_said(offer.word)
            ]
        return []

    return complete


def first(of_each: Complete) -> Complete:
    """Return what completes the first of several words alone."""

    def complete(
        ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [] if ctx.params.get(param.name or "") else of_each(ctx, param, incomplete)

    return complete


labs = offering(lambda _ctx, _begun: shortcut.offers.labs())
hosts = offering(lambda ctx, _begun: shortcut.offers.hosts(lab(ctx)))
services = offering(lambda ctx, _begun: shortcut.offers.services(lab(ctx), *_SERVICES))
containers = offering(lambda ctx, _begun: shortcut.offers.services(lab(ctx), ""))
ports = offering(lambda ctx, begun: shortcut.offers.ports(lab(ctx), begun))
networks = offering(lambda ctx, begun: shortcut.offers.networks(lab(ctx), begun))
vms = offering(lambda ctx, begun: shortcut.offers.vms(lab(ctx), begun))
points = offering(
    lambda ctx, begun: [
        *shortcut.offers.services(lab(ctx), "compute", "network"),
        *shortcut.offers.vms(lab(ctx), begun),
    ]
)


def _can_be_said(word: str) -> bool:
    """Tell whether click's scripts can carry a word: fish's takes it apart at a comma."""
    return word.isprintable() and "," not in word


def _line(text: str) -> str:
    return "".join(filter(str.isprintable, text))
