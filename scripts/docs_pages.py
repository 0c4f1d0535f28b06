"""Generated pages of the documentation site: the reference from registries and schemas, the overview from the README.

mkdocs runs this file through its plugin gen-files; ``scripts/docs`` builds the site.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import mkdocs_gen_files

from edgeprune import criteria, errors, schedules
from edgeprune.model.registry import documentation
from edgeprune.operator_facts.aten_operators import ATEN
from edgeprune.operator_facts.onnx_operators import ONNX
from edgeprune.operator_facts.tflite_operators import TFLITE

_ROOT = Path(__file__).parents[1]
_PYTHON = (
    "prune", "PruneOptions", "build", "profile", "groups", "Budget", "Recipe", "Target", "Plan", "Data", "Split",
)  # fmt: skip
_SCHEMAS = {"recipe": "recipes/<name>/recipe.toml", "target": "targets/<name>.toml", "manifest": "manifest.json"}
_REGISTRIES: tuple[tuple[str, Mapping[str, type], type, str], ...] = (
    (
        "criteria",
        criteria.registered(),
        criteria.Criterion,
        "Importance scores of units. `--criterion NAME` selects one.",
    ),
    ("schedules", schedules.registered(), schedules.Schedule, "Orders of pruning and training: `--schedule NAME`."),
)
_OPERATORS = """Facts about operators by name. Operators of a captured program that are not listed are run on index ids,
which shows how they move data. Those that cannot be understood freeze the layers around them."""
_EXIT_CODES = "Each error class of `edgeprune.errors` has one exit code. Python code raises the same errors."


def _write(path: str, text: str) -> None:
    with mkdocs_gen_files.open(path, "w") as file:
        file.write(text)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *([_cell(value) for value in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _markdown(docstring: str) -> str:
    return docstring.replace("``", "`")


def _summary(docstring: str | None) -> str:
    return _markdown((docstring or "").partition("\n\n")[0])


def _root_page(name: str) -> str:
    """Return a page of the repository's root with links relative to ``docs/``, without links to other such pages."""
    text = (
        (_ROOT / name)
        .read_text(encoding="utf-8")
        .replace("](docs/", "](")
        .replace("](CHANGELOG.md)", "](changelog.md)")
    )
    return re.sub(r"\[([^\]]*)\]\([A-Z_]+\.md\)", r"\1", text)


def _registry(title: str, members: Mapping[str, type], base: type, introduction: str) -> str:
    sections = (f"## {name}\n\n{_markdown(documentation(member, base))}\n" for name, member in sorted(members.items()))
    return "\n".join([f"# {title.capitalize()}\n\n{introduction}\n", *sections])


def _schema(name: str, file: str) -> str:
    schema = json.loads((_ROOT / f"docs/reference/{name}.schema.json").read_text(encoding="utf-8"))
    parts = [f"# {name.capitalize()}\n\nKeys of `{file}`, from its JSON Schema (`edgeprune schema {name}`).\n"]
    tables = {"": schema, **schema.get("$defs", {})}
    for title, table in tables.items():
        if "properties" not in table:
            continue
        rows = [_key(key, field, table, tables) for key, field in table["properties"].items()]
        heading = f"## {title}\n\n" if title else ""
        description = _markdown(table.get("description", ""))
        parts.append(f"{heading}{description}\n\n{_table(('key', 'type', 'default', 'meaning'), rows)}")
    return "\n".join(parts)


def _key(key: str, field: Mapping[str, Any], table: Mapping[str, Any], tables: Mapping[str, Any]) -> tuple[str, ...]:
    settings = tables.get(field.get("$ref", "").rpartition("/")[2]) if "$ref" in field else None
    if key in table.get("required", ()):
        default = "required"
    else:
        default = "" if settings else f"`{json.dumps(field.get('default'))}`"
    meaning = field.get("description") or (settings or {}).get("description", "").partition("\n\n")[0]
    return f"`{key}`", _type(field), default, _markdown(meaning)


def _type(field: Mapping[str, Any]) -> str:
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf"):
        if key in field:
            return " or ".join(_type(one) for one in field[key])
    if field.get("type") == "array" and "items" in field:
        return f"array of {_type(field['items'])}"
    return str(field.get("type", "any"))


def _exit_codes() -> str:
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    rows = [(cls.exit_code, f"`{cls.__name__}`", _summary(inspect.getdoc(cls))) for cls in classes
            if issubclass(cls, errors.EdgePruneError)]  # fmt: skip
    rows += [(0, "", "Success."), (2, "", "The command line is not valid.")]
    return f"# Exit codes\n\n{_EXIT_CODES}\n\n{_table(('exit code', 'error', 'meaning'), sorted(rows))}"


def _operators() -> str:
    parts = [f"# Operators\n\n{_OPERATORS}\n"]
    for title, table in (("ATen", ATEN), ("ONNX", ONNX), ("TFLite", TFLITE)):
        operators: dict[str, list[str]] = {}
        for name in sorted(table.names()):
            for key, value in vars(table[name]).items():
                if value not in (None, False):
                    fact = key.replace("_", " ") + ("" if value is True else f": {value}")
                    operators.setdefault(fact, []).append(f"`{name}`")
        rows = [(fact, ", ".join(names)) for fact, names in sorted(operators.items())]
        parts.append(f"## {title}\n\n{_table(('fact', 'operators'), rows)}")
    return "\n".join(parts)


def main() -> None:
    """Write every generated page."""
    _write("index.md", _root_page("README.md"))
    _write("changelog.md", _root_page("CHANGELOG.md"))
    _write("reference/python.md", "# Python\n\n" + "\n".join(f"::: edgeprune.{name}\n" for name in _PYTHON))
    _write(
        "reference/command-line.md",
        "# Command line\n\n::: mkdocs-click\n    :module: edgeprune.cli\n    :command: _edgeprune\n"
        "    :prog_name: edgeprune\n    :depth: 1\n    :style: plain\n    :list_subcommands: true\n",
    )
    for name, file in _SCHEMAS.items():
        _write(f"reference/{name}.md", _schema(name, file))
    for title, members, base, introduction in _REGISTRIES:
        _write(f"reference/{title}.md", _registry(title, members, base, introduction))
    _write("reference/exit-codes.md", _exit_codes())
    _write("reference/operators.md", _operators())


main()
