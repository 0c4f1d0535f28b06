"""``manifest.json``, schema 1: what a bundle holds, what was asked, and what came out.

It holds no timing, so that the same inputs, seed and versions give the same bytes. What was measured lies in
``profile.json`` beside it.
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
from edgeprune.bundle.microcontroller_report import MicrocontrollerReport
from edgeprune.bundle.parity_report import ParityReport
from edgeprune.bundle.pruning_report import EquivalenceReport, PlanReport, TrainingReport
from edgeprune.bundle.schema_base import Count, Figure, ManifestPart, RelativePath, Share
from edgeprune.errors import BundleError
from edgeprune.evidence import Evidence

NAME = "manifest.json"
SCHEMA = 1

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class FileEntry(ManifestPart):
    """One file of the bundle."""

    sha256: Sha256
    bytes: Count


class Metrics(ManifestPart):
    """One network.

    Attributes:
        macs: Multiply-accumulate operations of one sample; FLOPs = 2 x MACs.
        params: Parameters.
        accuracy: On the reported split: the top-1 share, 0..1, or what ``metric`` of the manifest names.
        samples: Size of that split.
        file_bytes: Of its ONNX file.
        predicted_latency_ms: From the target's latency table, or a microcontroller's cycles per MAC, estimated; None
            without one that fits.
    """

    macs: Count
    params: Count
    accuracy: Figure | None = None
    samples: Count | None = None
    file_bytes: Count | None = None
    predicted_latency_ms: Annotated[Figure, Field(gt=0)] | None = None


class AllMetrics(ManifestPart):
    """The network before and after.

    Attributes:
        dense: As it came, in PyTorch.
        pruned: Pruned and fine-tuned, in PyTorch.
        shipped: The model file of the bundle, on the target's runtime.
    """

    dense: Metrics
    pruned: Metrics
    shipped: Metrics


class CandidateReport(ManifestPart):
    """One precision that could have been shipped.

    Attributes:
        accuracy: On all validation samples, on the runtime; None where outputs are no logits of classes.
        top1_agreement: With PyTorch, on the same; None likewise.
        file_bytes: Of its file.
    """

    accuracy: Share | None
    top1_agreement: Share | None
    file_bytes: Count


class PrecisionReport(ManifestPart):
    """Which precision ships, and why.

    Attributes:
        shipped: ``float32``, ``float16`` or ``int8``.
        reason: For people.
        along: Other precisions that ship with it, for a board that measures which is the fastest.
        float_nodes: Nodes of an int8 model that stay in float, to keep the accuracy.
        candidates: What there was to choose from, by precision.
    """

    shipped: str
    reason: str
    along: tuple[str, ...] = ()
    float_nodes: tuple[str, ...] = ()
    candidates: dict[str, CandidateReport]


class PairsReport(ManifestPart):
    """The samples of the reported split that the dense network and the shipped model classify differently well.

    Attributes:
        lost: Number of samples that only the dense network classifies correctly.
        gained: Number of samples that only the shipped model classifies correctly.
    """

    lost: Count
    gained: Count


class BudgetReport(ManifestPart):
    """A limit and what came out.

    Attributes:
        name: What is limited: ``macs``, ``latency_ms.p95``, ``accuracy``.
        limit: Absolute; the least for accuracy, the most for all else.
        value: What came out; None where it is not known.
        margin: What is left to the limit, in the unit of the value; negative where it is missed.
        kind: Where the value comes from.
        ok: It keeps the limit, by evidence that is enough.
        note: What there is to say beside: why there is no value, or that its evidence is too weak.
    """

    name: str
    limit: Figure
    value: Figure | None
    margin: Figure | None = None
    kind: Evidence = "exact"
    ok: bool
    note: str = ""


class ConstraintReport(ManifestPart):
    """A limit on what is measured: verdicts on it are in ``measured.json``, and made anew from every profile.

    Attributes:
        name: What is limited: ``latency_ms.p95``.
        limit: As the recipe has it: a share of the dense network's, an amount, or text with a unit.
        require: The weakest evidence that counts.
    """

    name: str
    limit: float | str
    require: Evidence = "estimated"


class Platform(ManifestPart):
    """Runtime and processor of the target; measurements on others are estimates.

    Attributes:
        runtime: ``onnxruntime``, ``litert``, ``tensorrt``.
        architecture: Of the processor: ``aarch64``; None for any.
    """

    runtime: str
    architecture: str | None = None


class ProfileReference(ManifestPart):
    """Path of the measurements, which change from run to run and so are not in ``files``.

    Its hash is in ``measured.json``, with the verdicts on what was measured.
    """

    path: RelativePath = "profile.json"


class Git(ManifestPart):
    """State of the repository the recipe lies in."""

    commit: str
    dirty: bool


class Provenance(ManifestPart):
    """From what the bundle was made.

    Attributes:
        packages: Versions by name.
        python: Version.
        seed: Of the recipe.
        inputs: SHA-256 by name, of weights, data and code.
        git: None outside a repository.
    """

    packages: dict[str, str]
    python: str
    seed: int
    inputs: dict[str, Sha256]
    git: Git | None = None


class Manifest(ManifestPart):
    """``manifest.json``; the key ``schema`` is the attribute ``schema_version``.

    ``metric`` says what the ``accuracy`` of all networks is: ``accuracy``, the name of the user's own metric, or
    ``-loss``, where a loss of the user's own is all there is. The larger the better. ``candidates`` are the plans that
    were compared; () where the recipe allows one.
    """

    model_config = ConfigDict(populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, validation_alias="schema")
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
    gates: tuple[ConstraintReport, ...] = ()
    provenance: Provenance

    @model_validator(mode="after")
    def _check_figures(self) -> Manifest:
        networks = (self.metrics.dense, self.metrics.pruned, self.metrics.shipped)
        values = [network.accuracy for network in networks if network.accuracy is not None]
        if self.metric == "accuracy" and not all(0 <= value <= 1 for value in values):
            raise ValueError("metrics: accuracy must be from 0 to 1")
        samples = self.metrics.shipped.samples
        if self.pairs is not None and samples is not None and self.pairs.lost + self.pairs.gained > samples:
            raise ValueError(f"pairs: more samples differ than the {samples} that were evaluated")
        return self

    @model_serializer(mode="wrap")
    def _with_schema(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values = dict(handler(self))
        return {"schema": values.pop("schema_version"), **values}

    def to_json(self) -> str:
        """The text of ``manifest.json``: the same for the same manifest."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read a manifest, or that of the bundle folder ``path``.

        Raises:
            BundleError: It is missing, damaged, or of a newer schema; names the file and the key.
        """
        file = path / NAME if path.is_dir() else path
        try:
            content = input_files.read_bytes(file)
        except OSError as problem:
            raise BundleError(f"cannot read {file}: {problem.strerror}") from problem
        return cls.parse(content, where=str(file))

    @classmethod
    def parse(cls, content: bytes, *, where: str) -> Manifest:
        """Read the text of a manifest; ``where`` names it in messages.

        Raises:
            BundleError: As ``load``.
        """
        try:
            values = safe_json.loads(content)
        except ValueError as problem:
            raise BundleError(f"{where} is not JSON: {problem}") from problem
        schema = values.get("schema") if isinstance(values, dict) else None
        if not isinstance(schema, int) or isinstance(schema, bool):
            raise BundleError(f"{where} is not a manifest: it has no key 'schema' with a whole number")
        if schema > SCHEMA:
            raise BundleError(
                f"{where} has schema {schema}; EdgePrune {version('edgeprune')} reads up to {SCHEMA}: use a newer one"
            )
        try:
            return cls.model_validate(values)
        except ValidationError as problems:
            raise BundleError(f"{where} is not a valid manifest: {strict_json.described(problems)}") from None
