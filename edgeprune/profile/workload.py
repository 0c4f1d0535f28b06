"""Subjects of profiling: a bundle with its own runner, or a model file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgeprune import backends
from edgeprune.bundle import verification
from edgeprune.bundle.manifest import Manifest
from edgeprune.config import Target
from edgeprune.errors import BundleError, InputError, TargetError
from edgeprune.profile import golden_samples
from edgeprune.profile.golden_samples import Golden
from edgeprune.profile.interleaved_bench import MeasurementSettings, default_scripts
from edgeprune.profile.profile_result import BASE, DENSE, PRUNED


@dataclass(frozen=True)
class Workload:
    """Models that are measured in turn.

    Attributes:
        models: Files by name; ratios are over the first.
        runner: The script that runs them, and those that have to lie beside it.
        beside: By model, files that have to lie beside it.
        golden: By model, what it must answer.
        conditions: How it is measured, unless told otherwise.
        bundle: Its folder; None: a bare model file.
        manifest: Of the bundle.
    """

    models: Mapping[str, Path]
    runner: Sequence[Path]
    beside: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    golden: Mapping[str, Golden] = field(default_factory=dict)
    conditions: MeasurementSettings = field(default_factory=MeasurementSettings)
    bundle: Path | None = None
    manifest: Manifest | None = None


def subject(what: Path, baseline: Path | None = None) -> Workload:
    """Find out what is to be profiled.

    Args:
        what: The folder of a bundle, every byte of which must be accounted for, or an ``.onnx`` or ``.tflite`` file.
        baseline: Another one, which it is measured in turn with: a file as ``dense``, a bundle as ``base``.

    Raises:
        InputError: It is something else, or the two do not run on the same runtime.
        ModelError: The TFLite file is damaged.
        BundleError: The bundle is damaged, or has no model.
    """
    found = _bundle(what) if what.is_dir() else _file(what)
    if baseline is None:
        return found
    other = _bundle(baseline) if baseline.is_dir() else _file(baseline)
    (name, model), (its_name, base) = *found.models.items(), *other.models.items()
    if model.suffix != base.suffix:
        raise InputError(f"the baseline is {base.name}, the model {model.name}: both must run on one runtime")
    as_name = DENSE if other.bundle is None else BASE
    if name == as_name:
        raise InputError(f"{what} is called '{as_name}', as the baseline is: give it another name")
    # What the baseline answers is not checked: a new bundle may be there to mend it.
    beside = {**found.beside, as_name: other.beside.get(its_name, ())}
    return replace(found, models={as_name: base, **found.models}, beside=beside)


def _file(path: Path) -> Workload:
    if path.suffix not in backends.suffixes():
        raise InputError(
            f"got {path}; what is profiled is the folder of a bundle, its .tar.gz, or an .onnx or .tflite file"
        )
    if not path.exists():
        raise InputError(f"cannot read {path}: there is no such file")
    backends.for_file(path).check_file(path)  # runtimes believe what a file says of itself
    settings = Target.load("host").profile
    return Workload({path.stem: path}, default_scripts(path), conditions=MeasurementSettings(**settings.model_dump()))


def _bundle(folder: Path) -> Workload:
    manifest = verification.verify(folder).manifest
    candidates = [f"model{suffix}" for suffix in backends.suffixes()]
    model = next((folder / name for name in candidates if name in manifest.files), None)
    if model is None:
        raise BundleError(f"{folder} has no {' or '.join(candidates)}")
    scripts = sorted(folder / path for path in manifest.files if path.endswith(".py") and "/" not in path)
    run = folder / "run.py"
    runner = [run, *(path for path in scripts if path != run)] if run in scripts else default_scripts(model)
    others = [folder / path for path in manifest.files if path.endswith(model.suffix) and folder / path != model]
    shipped = "float32" if manifest.precision is None else manifest.precision.shipped
    name = PRUNED if shipped == "float32" else shipped
    expected = {name: Golden.load(folder / golden_samples.NAME)} if golden_samples.NAME in manifest.files else {}
    return Workload({name: model}, runner, {name: others}, expected, _conditions(manifest), folder, manifest)


def _conditions(manifest: Manifest) -> MeasurementSettings:
    """Conditions that the target sets; the defaults for an unknown target."""
    target = _target(manifest)
    runtime, scripts = target.runtime, backends.for_target(target).runner
    load_s = 0.0 if scripts is None else scripts.load_s
    return MeasurementSettings(
        **target.profile.model_dump(), threads=runtime.threads, spinning=runtime.spinning, load_s=load_s
    )


def _target(manifest: Manifest) -> Target:
    name, runtime = manifest.target, None if manifest.platform is None else manifest.platform.runtime
    try:
        return Target.load(name)
    except TargetError:
        if runtime is None or not name.endswith(f"-{runtime}"):
            return Target.load("host")
    try:
        return Target.load(name.removesuffix(f"-{runtime}")).with_runtime(runtime)
    except TargetError:
        return Target.load("host")
