"""``manifest.json``, schema 1: files, settings and results of a bundle.

The manifest contains no timings, so the same inputs, seed and versions produce the same bytes. Timings are stored in
``profile.json`` in the same folder.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from edgeprune import input_files, safe_json
from edgeprune.bundle import strict_json
from edgeprune.bundle.budget_report import BudgetReport, ConstraintReport
from edgeprune.bundle.microcontroller_report import MicrocontrollerReport
from edgeprune.bundle.parity_report import ParityReport
from edgeprune.bundle.pruning_report import EquivalenceReport, PlanReport, TrainingReport
from edgeprune.bundle.schema_base import Count, Figure, Fraction, ManifestPart, RelativePath
from edgeprune.bundle.schema_migration import migrate_manifest
from edgeprune.errors import BundleError

NAME = "manifest.json"
SCHEMA = 2

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class FileEntry(ManifestPart):
    """One file of the bundle.

    Attributes:
        sha256: SHA-256 of the file.
        bytes: Size of the file in bytes.
    """

    sha256: Sha256
    bytes: Count


class Metrics(ManifestPart):
    """Costs and accuracy of one network.

    Attributes:
        macs: Number of multiply-accumulate operations for one sample; FLOPs = 2 x MACs.
        params: Number of parameters.
        accuracy: Top-1 accuracy on the reported split, 0 to 1, or the value of the metric that ``metric`` of the
            manifest names.
        samples: Number of samples in the reported split.
        file_bytes: Size of the model file in bytes.
        predicted_latency_ms: Latency in ms, estimated with the latency table of the target or the cycles per MAC of a
            microcontroller; None if there is no table for this network.
    """

    macs: Count
    params: Count
    accuracy: Figure | None = None
    samples: Count | None = None
    file_bytes: Count | None = None
    predicted_latency_ms: Annotated[Figure, Field(gt=0)] | None = None


class AllMetrics(ManifestPart):
    """Metrics of the network before pruning, after pruning and after export.

    Attributes:
        dense: Metrics of the original network in PyTorch.
        pruned: Metrics of the pruned and fine-tuned network in PyTorch.
        shipped: Metrics of the model file of the bundle on the runtime of the target.
    """

    dense: Metrics
    pruned: Metrics
    shipped: Metrics


class CandidateReport(ManifestPart):
    """One precision that the build compared.

    Attributes:
        accuracy: Accuracy on all validation samples on the runtime; None if the outputs are not class logits.
        top1_agreement: Fraction of these samples for which the runtime and PyTorch predict the same class; None if the
            outputs are not class logits.
        file_bytes: Size of the model file in bytes.
    """

    accuracy: Fraction | None
    top1_agreement: Fraction | None
    file_bytes: Count


class PrecisionReport(ManifestPart):
    """Selected precision, and the reason for it.

    Attributes:
        shipped: Selected precision: ``float32``, ``float16`` or ``int8``.
        reason: Reason for the selection, in one sentence.
        other_precisions: Other precisions in the bundle, for a board that measures which one is the fastest.
        float_nodes: Nodes of an int8 model that are computed in float to preserve the accuracy.
        candidates: Compared model files by precision.
    """

    shipped: str
    reason: str
    other_precisions: tuple[str, ...] = ()
    float_nodes: tuple[str, ...] = ()
    candidates: dict[str, CandidateReport]


class PairsReport(ManifestPart):
    """Samples of the reported split that only one of dense network and shipped model classifies correctly.

    Attributes:
        only_dense: Number of samples that only the dense network classifies correctly.
        only_shipped: Number of samples that only the shipped model classifies correctly.
    """

    only_dense: Count
    only_shipped: Count


class Platform(ManifestPart):
    """Runtime and processor of the target; measurements on other platforms count as estimates.

    Attributes:
        runtime: Name of the runtime: ``onnxruntime``, ``litert`` or ``tensorrt``.
        architecture: Architecture of the processor, such as ``aarch64``; None for any.
    """

    runtime: str
    architecture: str | None = None


class ProfileReference(ManifestPart):
    """Reference to the measurements, which change from run to run and are therefore not listed in ``files``.

    ``measured.json`` contains the hash of the file and the results of the budgets that depend on it.

    Attributes:
        path: Path of the profile, relative to the folder of the bundle.
    """

    path: RelativePath = "profile.json"


class Git(ManifestPart):
    """State of the Git repository that contains the recipe.

    Attributes:
        commit: Hash of the commit.
        dirty: Whether tracked files differ from the commit.
    """

    commit: str
    dirty: bool


class Provenance(ManifestPart):
    """Origin of the bundle: software versions, inputs and seed.

    Attributes:
        packages: Versions of Python packages by name.
        python: Version of Python.
        seed: Random seed of the recipe.
        inputs: SHA-256 of weights, data and code, by name.
        git: State of the Git repository that contains the recipe; None outside a repository.
    """

    packages: dict[str, str]
    python: str
    seed: int
    inputs: dict[str, Sha256]
    git: Git | None = None


class Manifest(ManifestPart):
    """``manifest.json``; the key ``schema`` is the attribute ``schema_version``.

    Attributes:
        edgeprune: Version of EdgePrune that built the bundle.
        recipe: Name of the recipe.
        target: Name of the target.
        files: Reproducible files of the bundle, by path.
        metric: Meaning of ``accuracy`` in all metrics, larger is better: ``accuracy``, the name of a custom metric, or
            ``-loss`` if the recipe only defines a custom loss.
        metrics: Metrics of the dense, pruned and shipped networks.
        pairs: Samples that only the dense or only the shipped network classifies correctly; None if not evaluated.
        equivalence: Result of the equivalence check of the pruned network; None in older bundles.
        precision: Selected precision; None in older bundles.
        training: Settings and result of the training; None without training.
        parity: Differences between the shipped model and PyTorch.
        profile: Reference to the measurements; None if nothing was measured.
        platform: Runtime and processor of the target; None in older bundles.
        microcontroller: Memory and latency on a microcontroller; None for other targets.
        candidates: Candidate plans that the build compared; empty if the recipe allows only one.
        budgets: Results of the budgets that do not depend on measurements.
        constraints: Limits on measured quantities.
        provenance: Origin of the bundle.
    """

    model_config = ConfigDict(populate_by_name=True)

    schema_version: Literal[2] = Field(default=2, validation_alias="schema", description="Version of the schema.")
    edgeprune: str = Field(default_factory=lambda: version("edgeprune"))
    recipe: str
    target: str
    files: dict[str, FileEntry] = Field(default_factory=dict)
    metric: str = "accuracy"
    metrics: AllMetrics
    pairs: PairsReport | None = None
    equivalence: EquivalenceReport | None = None
    precision: PrecisionReport | None = None
    training: TrainingReport | None = None
    parity: ParityReport
    profile: ProfileReference | None = None
    platform: Platform | None = None
    microcontroller: MicrocontrollerReport | None = None
    candidates: tuple[PlanReport, ...] = ()
    budgets: tuple[BudgetReport, ...]
    constraints: tuple[ConstraintReport, ...] = ()
    provenance: Provenance

    @model_validator(mode="after")
    def _check_figures(self) -> Manifest:
        networks = (self.metrics.dense, self.metrics.pruned, self.metrics.shipped)
        values = [network.accuracy for network in networks if network.accuracy is not None]
        if self.metric == "accuracy" and not all(0 <= value <= 1 for value in values):
            raise ValueError(f"metrics: accuracy must be from 0 to 1, got {', '.join(map(str, values))}")
        samples = self.metrics.shipped.samples
        num_pairs = 0 if self.pairs is None else self.pairs.only_dense + self.pairs.only_shipped
        if samples is not None and num_pairs > samples:
            raise ValueError(f"pairs: {num_pairs} samples differ, but only {samples} were evaluated")
        return self

    @model_serializer(mode="wrap")
    def _with_schema(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values = dict(handler(self))
        return {"schema": values.pop("schema_version"), **values}

    def to_json(self) -> str:
        """Return the text of ``manifest.json``, which is reproducible."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Load the manifest at ``path``, which is the file or the folder of a bundle.

        Raises:
            BundleError: The file is missing, damaged, or has a newer schema. The message names the file and the key.
        """
        file = path / NAME if path.is_dir() else path
        try:
            content = input_files.read_bytes(file)
        except OSError as problem:
            raise BundleError(f"cannot read {file}: {problem.strerror}") from problem
        return cls.parse(content, where=str(file))

    @classmethod
    def parse(cls, content: bytes, *, where: str) -> Manifest:
        """Parse the text of a manifest; ``where`` is its path for messages.

        Raises:
            BundleError: The text is damaged or has a newer schema.
        """
        try:
            values = safe_json.loads(content)
        except ValueError as problem:
            raise BundleError(f"{where} is not valid JSON: {problem}") from problem
        schema = values.get("schema") if isinstance(values, dict) else None
        if not isinstance(schema, int) or isinstance(schema, bool):
            raise BundleError(f"{where} is not a manifest: the key 'schema' must be a whole number")
        if schema > SCHEMA:
            raise BundleError(
                f"{where} has schema {schema}, but EdgePrune {version('edgeprune')} supports schemas up to {SCHEMA}: "
                "install a newer EdgePrune"
            )
        try:
            return cls.model_validate(migrate_manifest(values))
        except ValidationError as problems:
            raise BundleError(f"{where} is not a valid manifest: {strict_json.described(problems)}") from None
