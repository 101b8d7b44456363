"""What a shell needs to complete fakevm's commands."""

from __future__ import annotations

from typing import Literal

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, *, shell: Literal["bash", "zsh", "fish"]) -> None:
    """Print what lets a shell complete commands, and the names of a lab's ports, hosts and VMs.

    For one shell, or with each that starts, by a line of its own file:

    \b
    bash, in ~/.bashrc:  source <(fakevm completion bash)
    zsh, in ~/.zshrc, after compinit:  source <(fakevm completion zsh)
    fish, in ~/.config/fish/config.fish:  fakevm completion fish | source
    """
    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(ctx.find_root().command, {}, "fakevm", "_FAKEVM_COMPLETE").source(), nl=False)
