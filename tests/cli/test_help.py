"""Help of every command: summary, options by topic, defaults, examples and exit codes."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from edgeprune import errors
from edgeprune.cli import COMMANDS, root_command, run
from edgeprune.cli.help_sections import EXIT_CODES, TOPICS, HelpSections

_WIDTH = 80
_GENERAL = {"help", "version", "verbose"}


def _all(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            inner = command.get_command(click.Context(command), name)
            assert inner is not None
            yield from _all(inner, (*path, name))


_ALL = {" ".join(path): (path, command) for path, command in _all(root_command)}


@pytest.fixture(params=_ALL)
def path_and_command(request: pytest.FixtureRequest) -> tuple[tuple[str, ...], HelpSections]:
    path, command = _ALL[request.param]
    assert isinstance(command, HelpSections)
    return path, command


def test_help_fits_a_terminal_of_80_columns(
    path_and_command: tuple[tuple[str, ...], HelpSections],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, command = path_and_command
    monkeypatch.setenv("COLUMNS", str(_WIDTH))
    assert run([*path, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= _WIDTH
    assert "Example:" in lines
    assert "Exit codes:" in lines
    for code in command.exit_codes:
        assert any(line.split(maxsplit=1) == [str(code), EXIT_CODES[code]] for line in lines)


def test_first_paragraph_of_the_help_is_one_sentence(path_and_command: tuple[tuple[str, ...], HelpSections]) -> None:
    _, command = path_and_command
    summary, *remainder = inspect.cleandoc(command.help or "").split("\n")
    assert summary.endswith(".")
    assert not remainder or not remainder[0]
    assert summary.count(". ") == 0


def test_every_option_has_a_topic_a_description_and_its_default(
    path_and_command: tuple[tuple[str, ...], HelpSections],
) -> None:
    path, command = path_and_command
    context = click.Context(command, info_name="edgeprune", show_default=True)
    values = command.make_context("edgeprune", [], resilient_parsing=True).params
    topics = {name for names in TOPICS.values() for name in names} | _GENERAL
    for option in command.get_params(context):
        if not isinstance(option, click.Option):
            continue
        assert option.name in topics or "--help" in option.opts
        record = option.get_help_record(context)
        assert record is not None
        assert record[1][0].isupper()
        if not option.is_flag and not option.count and values[option.name] not in (None, (), {}):
            assert "[default: " in record[1] or "[required]" in record[1], (path, option.name)


def test_every_example_is_a_valid_command_line(path_and_command: tuple[tuple[str, ...], HelpSections]) -> None:
    _, command = path_and_command
    lines = "\n".join(command.examples).replace("\\\n", " ").splitlines()
    assert lines
    for line in lines:
        words = shlex.split(line.partition(" > ")[0])
        if words[0] == "edgeprune":
            _parse(root_command, words[1:])


def _parse(command: click.Command, arguments: list[str], parent: click.Context | None = None) -> None:
    with command.make_context("edgeprune", arguments, parent=parent) as context:
        if isinstance(command, click.Group) and (remainder := [*context._protected_args, *context.args]):
            _, inner, remainder = command.resolve_command(context, remainder)
            assert inner is not None
            _parse(inner, remainder, context)


def test_list_of_commands_has_the_summary_of_each() -> None:
    summaries = {name: summary for commands in COMMANDS.values() for name, summary in commands.items()}
    for name, summary in summaries.items():
        own = inspect.cleandoc(_ALL[name][1].help or "").partition("\n")[0]
        assert own == summary


def test_every_error_has_a_documented_exit_code() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    assert {cls.exit_code for cls in classes if issubclass(cls, errors.EdgePruneError)} <= EXIT_CODES.keys()


def test_documentation_explains_every_exit_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    assert {int(code) for code in re.findall(r"(?m)^## Exit code (\d+)$", page)} == EXIT_CODES.keys()
