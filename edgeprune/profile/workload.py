"""Workload of a measurement: a bundle with its runner, or a model file."""

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
    """Models that are measured interleaved.

    Attributes:
        models: Model files by name; latency ratios are relative to the first.
        runner: Script that runs the models, and its companion scripts.
        companion_files: Files in the folder of each model, by model.
        golden: Expected outputs by model.
        conditions: Default settings of the measurement.
        bundle: Folder of the bundle; None for a single model file.
        manifest: Manifest of the bundle; None for a single model file.
    """

    models: Mapping[str, Path]
    runner: Sequence[Path]
    companion_files: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    golden: Mapping[str, Golden] = field(default_factory=dict)
    conditions: MeasurementSettings = field(default_factory=MeasurementSettings)
    bundle: Path | None = None
    manifest: Manifest | None = None


def load_workload(what: Path, baseline: Path | None = None) -> Workload:
    """Load the workload of a bundle or a model file.

    Args:
        what: Folder of a bundle, which is verified against its manifest, or an ``.onnx`` or ``.tflite`` file.
        baseline: Another bundle (measured as ``base``) or file (measured as ``dense``), measured interleaved.

    Raises:
        InputError: An argument is neither a bundle nor a model file, or the two need different runtimes.
        ModelError: The TFLite file is damaged.
        BundleError: The bundle is damaged, or has no model.
    """
    workload = _bundle(what) if what.is_dir() else _file(what)
    if baseline is None:
        return workload
    other = _bundle(baseline) if baseline.is_dir() else _file(baseline)
    (name, model), (other_name, base) = *workload.models.items(), *other.models.items()
    if model.suffix != base.suffix:
        raise InputError(
            f"baseline {base.name} and model {model.name}: expected files for the same runtime, but the formats are "
            f"{base.suffix} and {model.suffix}"
        )
    baseline_name = DENSE if other.bundle is None else BASE
    if name == baseline_name:
        raise InputError(f"{what}: the name '{baseline_name}' is reserved for the baseline: rename the file")
    # Outputs of the baseline are not checked, as the new bundle may be the fix for them.
    companion_files = {**workload.companion_files, baseline_name: other.companion_files.get(other_name, ())}
    return replace(workload, models={baseline_name: base, **workload.models}, companion_files=companion_files)


def _file(path: Path) -> Workload:
    if path.suffix not in backends.suffixes():
        raise InputError(f"{path}: expected the folder of a bundle, its .tar.gz, or an .onnx or .tflite file")
    if not path.exists():
        raise InputError(f"cannot read {path}: the file does not exist")
    backends.for_file(path).check_file(path)  # runtimes do not check files
    settings = Target.load("host").profile
    return Workload({path.stem: path}, default_scripts(path), conditions=MeasurementSettings(**settings.model_dump()))


def _bundle(folder: Path) -> Workload:
    manifest = verification.verify(folder).manifest
    candidates = [f"model{suffix}" for suffix in backends.suffixes()]
    model = next((folder / name for name in candidates if name in manifest.files), None)
    if model is None:
        raise BundleError(f"bundle {folder}: expected {' or '.join(candidates)} in its manifest, found neither")
    scripts = sorted(folder / path for path in manifest.files if path.endswith(".py") and "/" not in path)
    run = folder / "run.py"
    runner = [run, *(path for path in scripts if path != run)] if run in scripts else default_scripts(model)
    others = [folder / path for path in manifest.files if path.endswith(model.suffix) and folder / path != model]
    shipped = "float32" if manifest.precision is None else manifest.precision.shipped
    name = PRUNED if shipped == "float32" else shipped
    expected = {name: Golden.load(folder / golden_samples.NAME)} if golden_samples.NAME in manifest.files else {}
    return Workload({name: model}, runner, {name: others}, expected, _conditions(manifest), folder, manifest)


def _conditions(manifest: Manifest) -> MeasurementSettings:
    """Return the measurement settings of the target; the defaults for an unknown target."""
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
