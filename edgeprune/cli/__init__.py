"""Command-line interface with one module for each command, which is imported only when the command runs.

Only this package prints or ends the process. Imports that ``edgeprune --help`` does not need are inside functions.
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

# Summaries by topic and command, stored here so that `edgeprune --help` does not import the commands.
COMMANDS = {
    "Networks": {
        "init": "Write recipe.toml, model.py and data.py for a network of your own, and check them.",
        "build": "Prune, fine-tune, export, check, measure and pack a network.",
        "inspect": "Show which groups of a network can be pruned, how layers are coupled, and their costs.",
        "calibrate": "Measure the latency table of a target.",
    },
    "Devices": {
        "profile": "Measure the latency and memory of a model on devices.",
        "emulator": "Install the emulator of a board, or list the emulators.",
        "doctor": "Check packages, targets and devices on this machine, and print a fix for each problem.",
    },
    "Bundles": {
        "compare": "Compare two bundles, manifests or profiles of the same network and target.",
        "report": "Write the HTML report of a bundle again, for example after profiling.",
        "sign": "Sign a bundle with an SSH key, after verifying its files.",
        "verify": "Verify every byte of a bundle, and its signature.",
    },
    "Model files": {
        "convert": "Convert an ONNX file with fixed shapes to a TFLite file.",
        "compile": "Generate C99 from an int8 TFLite file, to run it without an interpreter.",
        "lint": "Check a TFLite file for microcontrollers, and print the boards that it fits.",
    },
    "Reference": {
        "recipes": "List the recipes, or show one.",
        "targets": "List the targets, or show one.",
        "criteria": "List the criteria that score the units of a network, or show one.",
        "schedules": "List the schedules that combine pruning and training, or show one.",
        "schema": "Print the JSON Schema of a recipe, a target or a file of a bundle.",
    },
}
_COMPLETION = "_EDGEPRUNE_COMPLETE"
"""Environment variable by which shells ask click for completions."""
_SUMMARIES = {name: summary for commands in COMMANDS.values() for name, summary in commands.items()}


class _Commands(SuggestingGroup):
    """Group that imports a command only when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _SUMMARIES:
            return None
        command: click.Command = importlib.import_module(f"edgeprune.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, _SUMMARIES))
        for topic, commands in COMMANDS.items():
            with formatter.section(topic):
                formatter.write_dl([(name.ljust(width), summary) for name, summary in commands.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        with formatter.section("Shell completion, in ~/.bashrc (zsh, fish: zsh_source, fish_source)"):
            formatter.write(f'{" " * formatter.current_indent}eval "$({_COMPLETION}=bash_source edgeprune)"\n')


@click.command(
    cls=_Commands,
    exit_codes=(4, 5, 6, 7),
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110, "show_default": True},
)
@click.version_option(__version__, prog_name="edgeprune")
@click.option("-v", "--verbose", count=True, show_default=False, help="Log to stderr; twice for more.")
@click.pass_context
def root_command(context: click.Context, verbose: int) -> None:
    """Prune a trained PyTorch network and deploy it to a small device.

    \b
    Example:
      edgeprune build --target raspberry-pi-4
    """
    from edgeprune.cli import logs

    logs.configure(verbose)
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main() -> None:
    """Run the ``edgeprune`` command and end the process with its exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a build ends cleanly, and can be resumed
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code.

    Errors of EdgePrune are printed as one message. Unexpected exceptions are raised, so that Python prints a traceback.
    """
    try:
        exit_code = root_command.main(arguments, prog_name="edgeprune", standalone_mode=False)
    except click.UsageError as error:
        hint = f"; see '{error.ctx.command_path} --help'" if error.ctx is not None else ""
        text = " ".join(error.format_message().split())  # click lists choices one a line
        _print_error(text.replace(". Choose from:", ": choose from").rstrip(".") + hint)
        return 2
    except (click.Abort, KeyboardInterrupt):
        command = next((word for word in arguments if not word.startswith("-")), "")
        hint = "; run the same command again to resume after the finished stages" if command == "build" else ""
        _print_error(f"interrupted{hint}")
        return 130
    except EdgePruneError as error:
        _print_error(str(error))
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # otherwise the flush at exit also fails
        return 1
    except SystemExit as error:
        if _COMPLETION in os.environ:  # click ends the program after it has completed a command line
            return error.code if isinstance(error.code, int) else 0
        # Commands return their exit code, so foreign code ended the program.
        _print_error(f"code that EdgePrune called ended the program (exit status {error.code!r:.100})")
        return InputError.exit_code
    except MemoryError:
        _print_error("this machine does not have enough memory for this input")
        return 1
    except Exception as error:
        from edgeprune.cli import logs, system_failures

        message = system_failures.describe(error)
        if message is None:
            raise
        logs.logger.debug("the system refused", exc_info=True)
        _print_error(message)
        return 1
    return exit_code if isinstance(exit_code, int) else 0


def _print_error(message: str) -> None:
    from edgeprune.cli.console_output import print_error

    print_error(message)
