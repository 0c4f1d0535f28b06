"""Generated pages of the documentation site: reference, tutorials that are notebooks, overview from the README.

mkdocs runs this file through its plugin gen-files; ``scripts/docs`` builds the site.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import mkdocs_gen_files

from edgeprune import criteria, errors, schedules
from edgeprune.cli import root_command
from edgeprune.config import Target
from edgeprune.graph.rules.base import registered as rules
from edgeprune.model.registry import documentation
from edgeprune.onnx_import.operators import registered as importers
from edgeprune.operator_facts.aten_operators import ATEN
from edgeprune.operator_facts.onnx_operators import ONNX
from edgeprune.operator_facts.tflite_operators import TFLITE
from edgeprune.tflite.conversion.ops import registered as lowerings

_ROOT = Path(__file__).parents[1]
_PYTHON = {
    "Pruning": ("edgeprune.prune", "edgeprune.PruneOptions", "edgeprune.pruning.PruneResult", "edgeprune.groups",
                "edgeprune.load_onnx", "edgeprune.Plan"),
    "Building": ("edgeprune.build", "edgeprune.pipeline.BuildResult", "edgeprune.Recipe", "edgeprune.Target",
                 "edgeprune.Budget"),
    "Measuring": ("edgeprune.profile.profile_devices.profile", "edgeprune.profile.profile_result.Profile"),
    "Data": ("edgeprune.Data", "edgeprune.Split", "edgeprune.model.data.TensorSplit",
             "edgeprune.model.data.DatasetSplit"),
    "Training loops": ("edgeprune.schedules.Schedule", "edgeprune.schedules.LoopOptions"),
    "Extensions": ("edgeprune.criteria.Criterion", "edgeprune.criteria.Network", "edgeprune.selection.Selection",
                   "edgeprune.backends.Backend", "edgeprune.devices.Device", "edgeprune.devices.Workspace"),
    "Errors": ("edgeprune.errors",),
}  # fmt: skip
_PYTHON_OPTIONS = "    options: {heading_level: 3, show_root_full_path: true, members_order: source}\n"
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
_OPERATORS = (
    """EdgePrune reports an operator that it does not know before training starts, with the node and the module."""
)
_PRUNED = """EdgePrune follows channels through these ATen operators by a rule of their own. Operators that only move
data, such as views, transpositions and slices, and operators that compute element by element need no rule: they are
observed on index ids. Any other operator freezes the layers around it
([why is this layer not pruned?](../guides/frozen-layers.md))."""
_RUNTIMES = """The exported ONNX file uses the opset of the target. ONNX Runtime has kernels for all operators of the
standard; for other runtimes, the target lists those without one (`unsupported`), and those that are slow (`slow`)."""
_IMPORTED = """ONNX operators that EdgePrune imports from files of opset 7 or newer
([prune an ONNX file](../guides/onnx-input.md)). Other operators that ONNX defines by a function without control flow,
such as Attention, are imported as the operators of this function. A variant of an operator that cannot be imported is
an error that names the node."""
_LITERT = """ONNX operators that EdgePrune converts to TFLite, also for microcontrollers. Other operators that ONNX
defines by a function without loops are converted as the operators of this function."""
_TFLM = """TFLite operators that EdgePrune knows, and their kernels in TensorFlow Lite Micro. *int8*: integer
arithmetic, or *float* between DEQUANTIZE and QUANTIZE, or not possible. On an Arm Ethos-U, Vela decides for each node
whether it runs on the accelerator; a build lists the nodes that run on the CPU, with the reason."""
_COMPLETION = """## Shell completion

Commands, options, and the names of recipes, targets, criteria, selections and schedules are completed after this line
in `~/.bashrc`:

    eval "$(_EDGEPRUNE_COMPLETE=bash_source edgeprune)"

For zsh, add the line with `zsh_source` to `~/.zshrc`. For fish, save the output of
`_EDGEPRUNE_COMPLETE=fish_source edgeprune` as `~/.config/fish/completions/edgeprune.fish`."""
_FACTS = """Other facts about operators, as the code uses them."""


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
        .replace(".ipynb)", ".md)")
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
    meaning = meaning or tables.get("RecipeBudget", {}).get("properties", {}).get(key, {}).get("description", "")
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


def _notebook(path: Path) -> str:
    """Return a Jupyter notebook as a page. Files that a cell writes get their name as a title."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        magic, _, remainder = source.partition("\n")
        if magic.startswith("%%writefile "):
            name = magic.split()[1]
            parts.append(f'```{Path(name).suffix[1:].replace("py", "python")} title="{name}"\n{remainder}\n```')
        else:
            parts.append(f"```bash\n{remainder}\n```" if magic == "%%bash" else f"```python\n{source}\n```")
        parts.extend(f"```text\n{''.join(output['text']).rstrip()}\n```" for output in cell["outputs"])
    title, *others = parts
    heading, _, introduction = title.partition("\n")
    note = f"This page is a notebook: [download it]({path.name}) to follow along."
    return "\n\n".join([heading, introduction.strip(), note, *others]) + "\n"


def _python() -> Iterable[str]:
    """Yield the sections of the public interface, which mkdocstrings fills in from the docstrings."""
    for title, names in _PYTHON.items():
        yield f"## {title}\n"
        for name in names:
            yield f"::: {name}\n{_PYTHON_OPTIONS}"


def _commands(path: str, command: click.Command, parent: click.Context | None = None) -> Iterable[str]:
    """Yield a section for a command and for each of its subcommands: the text of ``--help`` without the exit codes."""
    name, settings = path.rpartition(" ")[2], {**command.context_settings, "terminal_width": 100}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    text, separator, _ = command.get_help(context).partition("\nExit codes:")
    codes = "[Exit codes](exit-codes.md)\n" if separator else ""
    yield f"## {path}\n\n```text\n{text.strip()}\n```\n\n{codes}"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            subcommand = command.get_command(context, name)
            if subcommand is not None and not subcommand.hidden:
                yield from _commands(f"{path} {name}", subcommand, context)


def _exit_codes() -> str:
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    rows = [(cls.exit_code, f"`{cls.__name__}`", _summary(inspect.getdoc(cls))) for cls in classes
            if issubclass(cls, errors.EdgePruneError)]  # fmt: skip
    return _table(("exit code", "class", "meaning"), sorted(rows))


def _operators() -> str:
    targets = [Target.load(name) for name in Target.names()]
    limited = [(f"`{target.name}`", target.runtime.name, _names(target.onnx.unsupported), _names(target.onnx.slow))
               for target in targets if target.onnx.unsupported or target.onnx.slow]  # fmt: skip
    tflite = [(f"`{name}`", "yes" if TFLITE[name].micro_kernel else "no", TFLITE[name].int8 or "no")
              for name in sorted(TFLITE.names())]  # fmt: skip
    parts = [
        f"# Operators\n\n{_OPERATORS}",
        f"## Pruning\n\n{_PRUNED}\n\n{_names(sorted(rules()))}",
        f"## Import of ONNX files\n\n{_IMPORTED}\n\n{_names(sorted(importers()))}",
        f"## ONNX Runtime and TensorRT\n\n{_RUNTIMES}\n\n"
        + _table(("target", "runtime", "without a kernel", "slow"), limited),
        f"## LiteRT\n\n{_LITERT}\n\n{_names(sorted(lowerings()))}",
        f"## TensorFlow Lite Micro and Ethos-U\n\n{_TFLM}\n\n"
        + _table(("operator", "kernel in TensorFlow Lite Micro", "int8"), tflite),
        f"## Facts by operator\n\n{_FACTS}",
    ]
    for title, table in (("ATen", ATEN), ("ONNX", ONNX), ("TFLite", TFLITE)):
        operators: dict[str, list[str]] = {}
        for name in sorted(table.names()):
            for key, value in vars(table[name]).items():
                if value not in (None, False, (), 0) and key not in ("kernel_bytes", "micro_kernel", "int8"):
                    fact = key.replace("_", " ") + ("" if value is True else f": {value}")
                    operators.setdefault(fact, []).append(name)
        rows = [(fact, _names(names)) for fact, names in sorted(operators.items())]
        parts.append(f"### {title}\n\n{_table(('fact', 'operators'), rows)}")
    return "\n\n".join(parts) + "\n"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def write_pages() -> None:
    """Write every generated page."""
    _write("index.md", _root_page("README.md"))
    _write("changelog.md", _root_page("CHANGELOG.md"))
    _write("reference/python.md", "# Python\n\n" + "\n".join(_python()))
    _write(
        "reference/command-line.md",
        "\n".join(["# Command line\n", *_commands("edgeprune", root_command), _COMPLETION, ""]),
    )
    for notebook in (_ROOT / "docs").rglob("*.ipynb"):
        _write(str(notebook.relative_to(_ROOT / "docs").with_suffix(".md")), _notebook(notebook))
    for name, file in _SCHEMAS.items():
        _write(f"reference/{name}.md", _schema(name, file))
    for title, members, base, introduction in _REGISTRIES:
        _write(f"reference/{title}.md", _registry(title, members, base, introduction))
    with mkdocs_gen_files.open("reference/exit-codes.md", "a") as page:
        page.write(_exit_codes())
    _write("reference/operators.md", _operators())


write_pages()
