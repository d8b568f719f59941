"""The command line: ``mastery run | sweep | resume | compare | export | serve`` and what is beside.

Results go to standard output, progress and messages to standard error. Every command imports what
it needs when it runs; ``--help``, ``ls``, ``show``, ``compare``, ``push``, ``promote`` and
``keys`` never import jax.

Exit codes: 0 done; 1 an unexpected error; 2 a mistake that the user can mend, said in one
sentence; 3 done, but lanes of the sweep failed; 4 reproduced, but a number differs; 75 interrupted,
to be resumed; 130 stopped by Ctrl-C before there was anything to resume.
"""

import sys
from typing import Any

import rich_click as click

from mastery_jax import __version__
from mastery_jax.commands import again, database, look, publish, sweeps, work
from mastery_jax.commands.keys import keys
from mastery_jax.commands.push import push
from mastery_jax.commands.query import query
from mastery_jax.workflow.errors import UserError
from mastery_jax.workflow.sweep import processes

__all__ = ["main"]

MISTAKE, STOPPED = 2, 130


class Roof(click.RichGroup):
    """The commands, and the one place where errors become sentences and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which they are needed."""
        return list(self.commands)

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run a command and, as a program, exit."""
        sys.path.append("")  # so that `experiment: mine` finds mine.py in the working folder
        try:
            code = super().main(*args, standalone_mode=False, **extra)
        except (UserError, click.ClickException) as error:
            click.echo(f"mastery: {_sentence(error)}", err=True)
            code = MISTAKE
        except click.Abort:
            code = STOPPED
        except Exception as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            click.echo(f"mastery: out of memory: {str(error).splitlines()[0]}", err=True)
            code = MISTAKE
        if not standalone_mode:
            return code
        processes.leave(code)
        sys.exit(code)


def _sentence(error: Exception) -> str:
    if not isinstance(error, click.ClickException):
        return str(error)
    context = getattr(error, "ctx", None)
    see = f" See: {context.command_path} --help" if context else ""
    text = " ".join(error.format_message().split())  # click lists choices a line each
    return f"{text}{'.' if see and text[-1:].isalnum() else ''}{see}"


@click.group("mastery", cls=Roof, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mastery", message="%(prog)s %(version)s")
def main() -> None:
    """From an equation to an endpoint: run, sweep, compare, export and serve experiments."""


for _command in (
    work.run,
    sweeps.sweep,
    work.resume,
    again.reproduce,
    look.compare,
    push,
    publish.export,
    publish.promote,
    publish.serve,
    query,
    database.db,
    keys,
    look.ls,
    look.show,
    look.configs,
):
    main.add_command(_command)

if __name__ == "__main__":
    main()
