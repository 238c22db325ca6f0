"""`composer completion`: the script by which a shell completes commands, options and names."""

import click
from click.shell_completion import get_completion_class

_PROGRAMS = ("composer", "adapter-composer")  # the two names of the command
_VARIABLE = "_COMPOSER_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print what makes a shell complete commands.

    Commands, options, files, and names that stand in the recipe or bundle that is typed: stages,
    tasks, profiles, compositions. The script asks composer itself, so it need not be made anew
    after an upgrade.

    \b
    Example:
      eval "$(composer completion bash)"     in ~/.bashrc
      eval "$(composer completion zsh)"      in ~/.zshrc, behind compinit
      composer completion fish | source      in ~/.config/fish/config.fish
    """
    from composer.cli.main import group

    maker = get_completion_class(shell)
    if maker is None:
        raise click.UsageError(f"click cannot complete for {shell}")
    for program in _PROGRAMS:
        click.echo(maker(group, {}, program, _VARIABLE).source())
