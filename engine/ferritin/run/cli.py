"""The command `ferritin`. Each sub-command is a file in commands/, imported when it is called.

Exit status: 0 done; 1 the input or the options are wrong (one clear line, nothing written); 2 usage; 3 done, but a QC
verdict failed; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys

import click

from ferritin.errors import FerritinError


class _Commands(click.Group):
    """Sub-commands by file name, so that `ferritin --help` imports none of them before it must."""

    def list_commands(self, context: click.Context) -> list[str]:
        package = importlib.import_module("ferritin.run.commands")
        return sorted(m.name for m in pkgutil.iter_modules(package.__path__))

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(context):
            return None
        return importlib.import_module(f"ferritin.run.commands.{name}").command


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="ferritin")
def cli() -> None:
    """From raw multi-echo MRI to maps of susceptibility, R2* and brain iron."""
    if "FERRITIN_THREADS" in os.environ:  # a wrong number is told here: not every kernel's caller translates errors
        from ferritin.backend import cpu_count

        cpu_count()


def main() -> None:
    """Entry point: errors that ferritin raises become one line and exit status 1."""
    try:
        sys.exit(cli(standalone_mode=False))
    except FerritinError as why:
        click.echo(f"ferritin: {' '.join(str(why).split())}", err=True)
        sys.exit(1)
    except MemoryError as why:  # the computer's own; a limit that was asked for is an error of ferritin
        said = " ".join(str(why).split()) or "no more to be had"
        click.echo(f"ferritin: memory is exhausted ({said}); take a larger machine, or ask for less", err=True)
        sys.exit(1)
    except OSError as why:  # a full disk, say, in the middle of writing
        where = f"{why.filename}: " if why.filename else ""
        click.echo(f"ferritin: {where}{why.strerror or why}; nothing half-written stands under its name", err=True)
        sys.exit(1)
    except click.ClickException as why:
        why.show()
        sys.exit(why.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("ferritin: stopped; what had not come to its end has written nothing", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
