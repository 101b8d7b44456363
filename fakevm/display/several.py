"""What a command said in many VMs, on stdout and stderr, a line each with its VM's name."""

from __future__ import annotations

from collections.abc import Sequence

import click

from fakevm.display import output
from fakevm.inventory.several import Result


def show(results: Sequence[Result]) -> None:
    """Print what the VMs said, in order; then, on stderr, those that failed."""
    width = max(len(output.visible(one.vm_name)) for one in results)
    for one in results:
        head = f"{output.visible(one.vm_name).ljust(width)} | "
        for text, to_stderr in ((one.stdout, False), (one.stderr, True)):
            for line in text.splitlines():
                click.echo(head + line, err=to_stderr)
    failed = [one for one in results if one.exit_code]
    for one in failed:
        reason = one.error or f"exit code {one.exit_code}"
        click.echo(f"{output.visible(one.vm_name)} on {one.host}: {reason}", err=True)
    if failed:
        click.echo(f"it failed in {len(failed)} of {len(results)} VMs", err=True)
