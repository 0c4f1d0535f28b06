"""The command line: the only code that prints or ends the process. One file a command, imported when it is called.

Whatever ``edgeprune --help`` does not need is imported inside functions.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys

import click

from edgeprune import __version__
from edgeprune.cli.command_groups import SuggestingGroup
from edgeprune.errors import EdgePruneError, InputError

# Name, and what `edgeprune --help` says of it: known here so that no command has to be imported for it.
_COMMANDS = {
    "build": "Prune, fine-tune, export, check, measure and pack a network.",
    "profile": "Measure a bundle or a model on devices.",
    "inspect": "Show what of a network can be pruned, and what is coupled.",
    "compare": "Compare two bundles: may the new one take the place of the old?",
    "calibrate": "Measure the latency table of a target.",
    "convert": "Convert an ONNX file to TFLite.",
    "report": "Draw the report of a bundle again.",
    "lint": "Check a TFLite file for microcontrollers.",
    "sign": "Sign a bundle with an SSH key.",
    "verify": "Account for every byte of a bundle, and tell who signed it.",
    "emulator": "Install the emulator of a board, or list those there are.",
    "recipes": "List the recipes, or show one.",
    "targets": "List the targets, or show one.",
    "criteria": "List what can score the units of a network.",
    "doctor": "Tell what works on this machine, and fix lines for what does not.",
    "schema": "Print the JSON Schema of a recipe, a target or a file of a bundle.",
    "schedules": "List the ways to mix pruning and training.",
}


class _Commands(SuggestingGroup):
    """A group whose commands are imported one by one, when needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"edgeprune.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.command(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="edgeprune")
@click.option("-v", "--verbose", count=True, help="Log to stderr; twice for more.")
@click.pass_context
def _edgeprune(context: click.Context, verbose: int) -> None:
    """Ship a trained PyTorch network to a small device.

    \b
    Example:
      edgeprune build --target raspberry-pi-4
    """
    from edgeprune.cli import logs

    logs.configure(verbose)
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main() -> None:
    """Entry point of the ``edgeprune`` command; ends the process with the exit code of what happened."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a build ends cleanly, and can be resumed
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; a deliberate error is printed once, a bug is a traceback."""
    try:
        ended = _edgeprune.main(arguments, prog_name="edgeprune", standalone_mode=False)
    except click.UsageError as error:
        hint = f"; see '{error.ctx.command_path} --help'" if error.ctx is not None else ""
        text = " ".join(error.format_message().split())  # click lists choices one a line
        _print_error(text.replace(". Choose from:", ": choose from").rstrip(".") + hint)
        return 2
    except (click.Abort, KeyboardInterrupt):
        command = next((word for word in arguments if not word.startswith("-")), "")
        resumes = "; finished stages are kept, the same command goes on from there" if command == "build" else ""
        _print_error(f"interrupted{resumes}")
        return 130
    except EdgePruneError as error:
        _print_error(str(error))
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit fails as well
        return 1
    except SystemExit as error:  # commands return their exit code, so foreign code ended the program
        _print_error(f"code that EdgePrune called ended the program (exit status {error.code!r:.100})")
        return InputError.exit_code
    except MemoryError:
        _print_error("the machine has not enough memory for this input")
        return 1
    except Exception as error:
        from edgeprune.cli import logs, system_failures

        message = system_failures.describe(error)
        if message is None:
            raise
        logs.logger.debug("the system refused", exc_info=True)
        _print_error(message)
        return 1
    return ended if isinstance(ended, int) else 0


def _print_error(message: str) -> None:
    from edgeprune.cli.console_output import print_error

    print_error(message)
