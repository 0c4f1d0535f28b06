"""Every reader of foreign input as a function of bytes, for the fuzzer, the mutation runner and the regression tests.

A reader returns, or raises an error that EdgePrune raises on purpose. Everything else is a defect.
"""

from __future__ import annotations

import gzip
import io
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import click

from edgeprune.errors import EdgePruneError, InputError

ALLOWED = (EdgePruneError, click.UsageError)
TIME_LIMIT_S = 10.0
Reader = Callable[[bytes], object]
READERS: dict[str, Reader] = {}


def reader(function: Reader) -> Reader:
    """Decorator: register a reader by the name of its function."""
    READERS[function.__name__] = function
    return function


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="edgeprune-explore-"))


def _file(content: bytes, name: str) -> Path:
    path = _folder() / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


@reader
def toml(content: bytes) -> None:
    """A recipe, a target and ``devices.toml``."""
    from edgeprune.config import Recipe, Target
    from edgeprune.config.settings_base import read_toml

    path = _file(content, "toml/recipe.toml")
    _first_error(lambda: Recipe.load(path), lambda: Target.load(path), lambda: read_toml(path, InputError))


@reader
def manifest(content: bytes) -> None:
    """A manifest, its report line and its comparison with itself."""
    from edgeprune.bundle.bundle_reader import read
    from edgeprune.report import budget_output, comparison_output
    from edgeprune.report.comparison import compare

    result = read(_file(content, "manifest/manifest.json"))
    if result.manifest is not None:
        result.manifest.to_json()
        budget_output.render(result.manifest.budgets, result.manifest.metric)
        budget_output.markdown(result.manifest.budgets, result.manifest.metric)
    comparison_output.markdown(compare(result, result))


@reader
def profile(content: bytes) -> None:
    """A profile, what is printed of it, and its comparison with itself."""
    from edgeprune.bundle.bundle_reader import read
    from edgeprune.profile import Profile, chrome_trace
    from edgeprune.report import comparison_output, profile_output
    from edgeprune.report.comparison import compare

    path = _file(content, "profile/profile.json")
    result = Profile.load(path)
    _print(profile_output.render(result))
    profile_output.describe(result)
    profile_output.notes(result)
    chrome_trace.to_json([result])
    bundle = read(path)
    comparison = compare(bundle, bundle)
    comparison_output.markdown(comparison)
    comparison_output.junit(comparison)
    _print(comparison_output.render(comparison))


@reader
def report(content: bytes) -> None:
    """``report.json`` of a bundle, and the page that is drawn from it."""
    _page(content, "report.json")


@reader
def page(content: bytes) -> None:
    """The page that is drawn of a bundle with this manifest."""
    _page(content, "manifest.json")


@reader
def page_profile(content: bytes) -> None:
    """The page that is drawn of a bundle with this profile."""
    _page(content, "profile.json")


@reader
def measured(content: bytes) -> None:
    """``measured.json`` of a bundle."""
    from edgeprune.bundle.measurements import Measurements

    Measurements.parse(content, where="measured.json").to_json()


@reader
def evaluation(content: bytes) -> None:
    """Results by sample of a bundle."""
    from edgeprune.bundle.evaluation import Evaluation

    Evaluation.parse(content, where="evaluation")


@reader
def plan(content: bytes) -> None:
    """A plan."""
    from edgeprune.selection.plan import Plan

    repr(Plan.load(_file(content, "plan/plan.json")))


@reader
def lock(content: bytes) -> None:
    """``edgeprune.lock``."""
    from edgeprune.pipeline.lock_file import Lock

    result = Lock(_file(content, "lock/edgeprune.lock"), "digits")
    result.get("training")
    result.get("targets", "host")


@reader
def table(content: bytes) -> None:
    """A latency table."""
    from edgeprune.cost.latency_table import LatencyTable

    LatencyTable.load(_file(content, "table/table.json")).to_json()


@reader
def cache_entry(content: bytes) -> None:
    """``result.json`` of a cache entry, and ``hashes.json``."""
    from edgeprune.pipeline.fingerprint import Hashes
    from edgeprune.pipeline.results.pruning_results import TrainResult
    from edgeprune.pipeline.stage_cache import Cache

    root = _folder() / "cache_root"
    (root / "cache" / "stage-0").mkdir(parents=True, exist_ok=True)
    (root / "cache" / "stage-0" / "result.json").write_bytes(content)
    Cache(root).find("stage-0", TrainResult)
    Hashes(_file(content, "cache_root/hashes.json")).file(Path(__file__))


@reader
def archive(content: bytes) -> None:
    """The archive of a bundle: as it is, or the input as the content of the gzip stream."""
    from edgeprune.bundle import archive as archives

    if not content.startswith(b"\x1f\x8b"):
        packed = io.BytesIO()
        with gzip.GzipFile("", "wb", 1, packed, mtime=_epoch(content)) as file:
            file.write(content)
        packed.getbuffer()[8] = 0
        content = packed.getvalue()
    path = _file(content, "archive/bundle.tar.gz")
    archives.read(path)
    archives.read_manifest(path)


@reader
def signature(content: bytes) -> None:
    """A signature, and a file of allowed signers."""
    from edgeprune.bundle import signature as signatures

    path = _file(content, "signature/manifest.json.sig")
    _first_error(
        lambda: signatures.verify(b"{}", "manifest.json", path, None),
        lambda: signatures.verify(b"{}", "manifest.json", path, path),
    )


@reader
def onnx(content: bytes) -> None:
    """An ONNX file for ``profile`` and ``convert``."""
    from edgeprune.export import onnx_loading
    from edgeprune.tflite.conversion import convert

    path = _file(content, "onnx/model.onnx")
    _first_error(lambda: onnx_loading.check_file(path), lambda: convert(path, path.with_suffix(".tflite")))


@reader
def tflite(content: bytes) -> None:
    """A TFLite file for ``profile`` and ``lint``, as far as no interpreter runs it."""
    from edgeprune.tflite import tflite_file, tflite_loading

    path = _file(content, "tflite/model.tflite")
    model, _ = tflite_loading.load_file(path)
    tflite_file.read(path)
    for graph in model.subgraphs:
        for operator in graph.operators:
            tflite_file.operator_name(model, operator)
        for index, tensor in enumerate(graph.tensors):
            tflite_file.tensor_name(graph, index), tflite_file.tensor_bytes(tensor), tflite_file.scales(tensor)
    tflite_file.input_ports(model)
    tflite_file.output_ports(model)


@reader
def board(content: bytes) -> None:
    """What a microcontroller says on its serial line: framing, then every figure."""
    from edgeprune.devices.board import board_protocol

    lines = board_protocol.LineBuffer()
    half = len(content) // 2
    for line in (*lines.feed(content[:half]), *lines.feed(content[half:])):
        output = board_protocol.reply(line)
        if output is None:
            continue
        board_protocol.error(output)
        board_protocol.lap_us(output)
        for read, key in (
            (board_protocol.results, "results"),
            (board_protocol.layers, "layers"),
            (str, "arena"),
            (str, "model"),
        ):
            text = board_protocol.bracketed(output, key)
            if text is not None:
                _value_error(partial(read, text))


@reader
def jetson(content: bytes) -> None:
    """What ``tegrastats``, ``nvpmodel`` and ``trtexec`` print."""
    from edgeprune.backends.tensorrt import nvpmodel, tegrastats, trtexec_report

    text = content.decode(errors="replace")
    for read in (tegrastats.read_tegrastats, nvpmodel.read_nvpmodel, trtexec_report.read_profile):
        _first_error(partial(read, text))


@reader
def state(content: bytes) -> None:
    """What a device says of its state."""
    from edgeprune.profile.device_state import DeviceMonitor, environment

    samples = DeviceMonitor(_Workspace(content), gpu=True).take()  # type: ignore[arg-type]
    environment(samples[0], samples, samples[-1])


@reader
def answers(content: bytes) -> None:
    """What a runner on a device answers, and what is made of it."""
    from edgeprune.profile.runner_client import Runner

    runner = Runner(_Workspace(content), "run.py", "model", 1.0)  # type: ignore[arg-type]
    runner.load("m", threads=1, spinning=False, seed=0)
    runner.warm_up(1)
    runner.measure(1, 1, 0.0)
    memory = runner.memory()
    layers = runner.layers()
    _ = runner.precision
    runner.result("0" * 64, "measured", memory, layers=layers)


@reader
def options(content: bytes) -> None:
    """Values of ``--set``, ``--budget``, ``--input`` and ``--fail-on``."""
    from edgeprune.cli import recipe_options as cli_options
    from edgeprune.report.regression_limits import RegressionLimit

    text = content.decode(errors="surrogateescape")
    context = click.Context(click.Command("x"))
    option = click.Option(["--x"])
    _first_error(lambda: cli_options.shape(context, option, text), lambda: RegressionLimit.parse(text))
    for name in ("", "macs=", "training.lr=", "model.input=", "latency_ms.p95=", "accuracy="):
        values: dict[str, Any] = {}
        with suppress(*ALLOWED):
            values = cli_options.assignments(context, option, (name + text,))
        budget = {f"budget.{key}": value for key, value in values.items()}
        for settings in (values, budget):
            _first_error(partial(_digits().override, settings))


@cache
def _digits() -> Any:
    from edgeprune.config import Recipe

    return Recipe.load("digits")


def _first_error(*readers: Callable[[], object]) -> None:
    """Call all readers; deliberate errors of any are fine."""
    for read in readers:
        try:
            read()
        except ALLOWED as problem:  # noqa: PERF203
            str(problem)


def _value_error(read: Callable[[], object]) -> None:
    try:
        read()
    except ValueError:
        return


def _print(renderable: Any) -> None:
    from rich.console import Console

    Console(file=io.StringIO(), width=80).print(renderable)


def _epoch(content: bytes) -> int:
    try:
        return int(content[136:147], 8) & 0xFFFFFFFF
    except ValueError:
        return 0


@cache
def _bundle() -> Path:
    """A copy of the first bundle among the seeds, whose files are replaced one at a time."""
    place = _folder() / "bundle"
    shutil.copytree(Path(__file__).parent / "seeds" / "bundle", place)
    return place


def _page(content: bytes, name: str) -> None:
    from edgeprune.report.report_page import of_bundle

    place = _bundle() / name
    whole = place.read_bytes()
    place.write_bytes(content)
    try:
        of_bundle(_bundle())
    finally:
        place.write_bytes(whole)


class _Workspace:
    """A device whose programs say the lines of ``content``, whatever they are asked."""

    def __init__(self, content: bytes) -> None:
        self._lines = iter(content.decode(errors="replace").split("\n"))

    def push(self, file: Path) -> str:
        return file.name

    def path(self, name: str) -> str:
        return name

    def converse(self, _argv: Sequence[str]) -> _Workspace:
        return self

    def send(self, line: str) -> None:
        pass

    def last_words(self) -> str:
        return ""

    def receive(self, *, timeout_s: float) -> str:
        from edgeprune.errors import DeviceError

        line = next(self._lines, None)
        if line is None:
            raise DeviceError(f"no answer in {timeout_s} s")
        return line


def seeds(name: str) -> Iterator[bytes]:
    """Small real inputs of the reader ``name``."""
    folder, root = Path(__file__).parent / "seeds", Path(__file__).parents[2]
    parts = {"page": "manifest", "page_profile": "profile"}
    files = [*sorted((folder / name).glob("*")), *(folder / "bundle").glob(f"{parts.get(name, name)}.json")]
    if name == "toml":
        files = [*root.glob("recipes/*/recipe.toml"), *root.glob("targets/*.toml")]
    for file in files:
        yield file.read_bytes()
        if name == "archive":
            yield gzip.decompress(file.read_bytes())
