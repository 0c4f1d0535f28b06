"""``evaluation.json``: results of the shipped model on every sample of the reported split.

``edgeprune compare`` uses them to compare two bundles sample by sample. The file contains one bit for each sample, or
one loss for each batch, in the fixed order of the split, and a hash of the samples. It contains no inputs, labels or
outputs.
"""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from edgeprune.bundle import strict_json
from edgeprune.bundle.manifest import Sha256
from edgeprune.bundle.schema_base import ManifestPart

NAME = "evaluation.json"

_Loss = Annotated[float, Field(allow_inf_nan=False)]


class Evaluation(ManifestPart):
    """``evaluation.json``; the key ``schema`` is the attribute ``schema_version``.

    Attributes:
        split_sha256: SHA-256 of all inputs and labels of the split, in order. Only results on the same samples are
            compared as pairs.
        samples: Number of samples of the split.
        correct: Base64 of one bit for each sample, most significant bit first, padded with zeros; 1 if the predicted
            class is correct. None if the model does not predict one class for each sample.
        losses: Loss of each batch, by the loss function of the recipe. For several labels a sample, it is the fraction
            of wrong labels, scaled so that the mean over the samples is ``1 - accuracy``. None if ``correct`` is set.
        batch_size: Number of samples in a batch of ``losses``; the last batch may have fewer.
    """

    model_config = ConfigDict(populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    split_sha256: Sha256
    samples: Annotated[int, Field(gt=0, le=1 << 26)]
    correct: str | None = None
    losses: tuple[_Loss, ...] | None = None
    batch_size: Annotated[int, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _check_lengths(self) -> Evaluation:
        if (self.correct is None) == (self.losses is None):
            raise ValueError("exactly one of 'correct' and 'losses' must be set")
        if self.correct is not None:
            bits = self.bits
            padding = -self.samples % 8
            if bits >> (self.samples + padding) or bits & ((1 << padding) - 1):
                raise ValueError(f"'correct' must have {self.samples} bits, padded with zeros")
        if self.losses is not None and len(self.losses) != -(-self.samples // (self.batch_size or 1)):
            raise ValueError(f"'losses' has {len(self.losses)} values, which does not match {self.samples} samples")
        return self

    @property
    def bits(self) -> int:
        """``correct`` as one integer, including the padding; 0 if ``correct`` is None."""
        try:
            content = base64.b64decode(self.correct or "", validate=True)
        except (binascii.Error, ValueError) as problem:
            raise ValueError(f"'correct' is not base64: {problem}") from problem
        if self.correct is not None and len(content) != -(-self.samples // 8):
            raise ValueError(
                f"'correct' has {len(content)} bytes, but {self.samples} samples need {-(-self.samples // 8)}"
            )
        return int.from_bytes(content, "big")

    def to_json(self) -> str:
        """Return the text of the file, which is reproducible."""
        values = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return json.dumps(values, indent=1, allow_nan=False) + "\n"

    @classmethod
    def of_classes(cls, correct: bytes, samples: int, split_sha256: str) -> Evaluation:
        """Create the results of a classifier.

        Args:
            correct: Packed bits of all samples, as ``numpy.packbits`` returns them.
            samples: Number of samples.
            split_sha256: Hash of the split.
        """
        return cls(split_sha256=split_sha256, samples=samples, correct=base64.b64encode(correct).decode())

    @classmethod
    def parse(cls, content: bytes, *, where: Path | str) -> Evaluation:
        """Parse the text of the file; ``where`` is its path for messages.

        Raises:
            BundleError: The text is damaged or has a newer schema.
        """
        return strict_json.parse(cls, content, where=where)
