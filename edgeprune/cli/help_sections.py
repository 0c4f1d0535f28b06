"""Help texts of commands: summary, options by topic, defaults, examples and exit codes."""

from __future__ import annotations

import inspect
from typing import Any

import click

EXIT_CODES = {
    0: "success",
    1: "failure of training or of the system, such as a full disk",
    2: "invalid command line",
    3: "invalid input: network, weights, data, recipe, target or file",
    4: "a budget or a limit is missed",
    5: "a device cannot be reached, or failed",
    6: "a measurement is not valid",
    7: "a pruned or exported network has wrong outputs",
    130: "interrupted",
}
"""Exit codes of all commands, with their meanings."""

COMMON_EXIT_CODES = (0, 1, 2, 3, 130)
"""Exit codes that every command may have."""

TOPICS = {
    "Network and data": ("library", "model", "weights", "data", "data_dir", "shape", "samples", "inputs"),
    "Pruning": ("budget", "criterion", "selection", "schedule", "exclude", "sensitivity"),
    "Training and other settings": ("epochs", "seed", "settings"),
    "Target and device": ("targets", "target", "runtime", "device", "devices"),
    "Measurement": ("baseline", "runs", "blocks", "warmup", "noise", "retries", "threads", "timeout_s", "quick"),
    "Limits": ("limits", "undecided"),
    "Signature": ("key", "allowed_signers"),
    "Cache": ("cache", "update_lock", "dry_run"),
    "Output": (
        "name", "output", "picture", "curves", "png", "trace", "logs", "junit", "as_markdown", "as_json", "force",
        "check_only",
    ),
}  # fmt: skip
"""Names of options by topic, in the order in which help texts list them."""
_GENERAL = "General"
_EXAMPLE = "\b\nExample:\n"


class HelpSections(click.Command):
    """Command whose help has sections for topics of options, examples and exit codes.

    The examples are the last paragraph of the docstring, headed by ``Example:``.

    Args:
        exit_codes: Exit codes besides ``COMMON_EXIT_CODES``.
        arguments: Arguments of ``click.Command``.
    """

    def __init__(self, *positional: Any, exit_codes: tuple[int, ...] = (), **arguments: Any) -> None:
        super().__init__(*positional, **arguments)
        self.exit_codes = tuple(sorted({*COMMON_EXIT_CODES, *exit_codes}))

    @property
    def examples(self) -> list[str]:
        """Command lines of the help."""
        _, _, text = inspect.cleandoc(self.help or "").partition(_EXAMPLE)
        return [line.removeprefix("  ") for line in text.splitlines() if line.strip()]

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the description without the examples."""
        text, _, _ = inspect.cleandoc(self.help or "").partition(_EXAMPLE)
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(text.rstrip())

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each topic of the options."""
        for topic, records in self._options_by_topic(ctx).items():
            with formatter.section(topic):
                formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write examples, exit codes, and the epilog of the command."""
        with formatter.section("Example"):
            formatter.write("".join(f"{' ' * formatter.current_indent}{line}\n" for line in self.examples))
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), EXIT_CODES[code]) for code in self.exit_codes])
        super().format_epilog(ctx, formatter)

    def _options_by_topic(self, ctx: click.Context) -> dict[str, list[tuple[str, str]]]:
        options = [option for option in self.get_params(ctx) if isinstance(option, click.Option)]
        records = {option.name: record for option in options if (record := option.get_help_record(ctx)) is not None}
        sections: dict[str, list[tuple[str, str]]] = {}
        for topic, names in TOPICS.items():
            if topic_records := [records.pop(name) for name in names if name in records]:
                sections[topic] = topic_records
        return {**sections, _GENERAL: list(records.values())}


class Command(HelpSections):
    """Command without subcommands."""
