"""Reader of a bundle's manifest, profile and evaluation from its folder, its archive, or one of its files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from edgeprune import input_files, safe_json
from edgeprune.bundle import archive, evaluation
from edgeprune.bundle.evaluation import Evaluation
from edgeprune.bundle.manifest import Manifest
from edgeprune.errors import BundleError

PROFILE = "profile.json"
_MOST_BYTES = 16 << 20
_ROUNDING = 1e-9


@dataclass(frozen=True)
class BundleContent:
    """The readable parts of a bundle.

    Attributes:
        path: Path of the bundle, or of its manifest or profile.
        manifest: Manifest of the bundle; None if only a profile was read.
        profile: Text of ``profile.json``; None if there is no profile, as in an archive.
        evaluation: Results by sample; None if only a manifest or profile was read, or if the bundle has a custom
            metric or an older version.
    """

    path: Path
    manifest: Manifest | None
    profile: str | None
    evaluation: Evaluation | None = None


def read(path: Path) -> BundleContent:
    """Read a bundle folder, its ``.tar.gz``, a ``manifest.json`` or a ``profile.json``.

    Raises:
        BundleError: The path is none of these, or the file is damaged or has a newer schema.
    """
    if path.is_dir():
        profile, manifest = path / PROFILE, Manifest.load(path)
        return BundleContent(
            path, manifest, _text(profile) if profile.is_file() else None, _evaluation_in_folder(path, manifest)
        )
    if not path.exists():
        raise BundleError(f"cannot read {path}: the file does not exist")
    if path.name.endswith((".tar.gz", ".tgz")):
        manifest, content = archive.read_member(path, evaluation.NAME)
        return BundleContent(path, manifest, None, None if content is None else _parsed(manifest, content, path))
    text = _text(path)
    try:
        is_profile = "models" in safe_json.loads(text)
    except (ValueError, TypeError) as problem:
        raise BundleError(f"{path} is not a bundle, a manifest or a profile: {problem}") from problem
    return BundleContent(path, None, text) if is_profile else BundleContent(path, Manifest.load(path), None)


def _evaluation_in_folder(folder: Path, manifest: Manifest) -> Evaluation | None:
    entry = manifest.files.get(evaluation.NAME)
    if entry is None:
        return None
    file = folder / evaluation.NAME
    if not file.is_file():
        raise BundleError(f"{file} is listed in the manifest, but does not exist")
    try:
        content = input_files.read_bytes(file, max_bytes=_MOST_BYTES)
    except OSError as problem:
        raise BundleError(f"cannot read {file}: {problem.strerror}") from problem
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise BundleError(f"{file} was changed: its SHA-256 differs from the manifest")
    return _parsed(manifest, content, folder)


def _parsed(manifest: Manifest, content: bytes, where: Path) -> Evaluation:
    """Parse the evaluation and check that it agrees with the manifest."""
    results = Evaluation.parse(content, where=f"{evaluation.NAME} of {where}")
    if results.samples != manifest.metrics.shipped.samples:
        raise BundleError(
            f"{evaluation.NAME} of {where} has {results.samples} samples, but the manifest has "
            f"{manifest.metrics.shipped.samples}"
        )
    accuracy = manifest.metrics.shipped.accuracy
    fraction = _fraction(results)
    is_accuracy = results.correct is not None or manifest.metric == "accuracy"
    if is_accuracy and (accuracy is None or abs(fraction - accuracy) > _ROUNDING):
        raise BundleError(
            f"{evaluation.NAME} of {where} has an accuracy of {fraction}, but the manifest has {accuracy}"
        )
    return results


def _fraction(results: Evaluation) -> float:
    """Return the accuracy over the results of all samples."""
    if results.losses is None:
        return results.bits.bit_count() / results.samples
    size = results.batch_size or 1
    sizes = [min(size, results.samples - start) for start in range(0, results.samples, size)]
    return 1 - sum(loss * count for loss, count in zip(results.losses, sizes, strict=True)) / results.samples


def _text(file: Path) -> str:
    try:
        return input_files.read_text(file)
    except OSError as problem:
        raise BundleError(f"cannot read {file}: {problem.strerror}") from problem
    except ValueError as problem:
        raise BundleError(f"cannot read {file}: {problem}") from problem
