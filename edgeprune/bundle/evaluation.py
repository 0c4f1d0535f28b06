"""``evaluation.json``: the results of the shipped model on every sample of the reported split.

``edgeprune compare`` needs them to compare two bundles sample by sample. The file holds one bit for each sample (or one
loss for each batch) in the fixed order of the split, and a hash of the samples: no input, no label and no output.
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
        split_sha256: Hash of all inputs and labels of the split, in order. Only results on the same samples are paired.
        samples: Number of samples of the split.
        correct: One bit for each sample, most significant bit first, padded with zeros, in base64: 1 where the class is
            right. None unless the model gives one class a sample.
        losses: The loss of each batch by the recipe's own loss; for several labels a sample the fraction of wrong
            labels, scaled so that the mean over the samples is ``1 - accuracy``. None where there is ``correct``.
        batch_size: Samples of a batch of ``losses``; the last one may have fewer.
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
                raise ValueError(f"'correct' must hold {self.samples} bits and be padded with zeros")
        if self.losses is not None and len(self.losses) != -(-self.samples // (self.batch_size or 1)):
            raise ValueError(f"'losses' has {len(self.losses)} values, which does not match {self.samples} samples")
        return self

    @property
    def bits(self) -> int:
        """``correct`` as one integer, including the padding; 0 where there is none."""
        try:
            content = base64.b64decode(self.correct or "", validate=True)
        except (binascii.Error, ValueError) as problem:
            raise ValueError(f"'correct' is not base64: {problem}") from problem
        if self.correct is not None and len(content) != -(-self.samples // 8):
            raise ValueError(f"'correct' has {len(content)} bytes; {self.samples} samples take {-(-self.samples // 8)}")
        return int.from_bytes(content, "big")

    def to_json(self) -> str:
        """The text of the file: the same for the same results."""
        values = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return json.dumps(values, indent=1, allow_nan=False) + "\n"

    @classmethod
    def of_classes(cls, correct: bytes, samples: int, split_sha256: str) -> Evaluation:
        """Results of a classifier; ``correct`` as ``numpy.packbits`` returns it."""
        return cls(split_sha256=split_sha256, samples=samples, correct=base64.b64encode(correct).decode())

    @classmethod
    def parse(cls, content: bytes, *, where: Path | str) -> Evaluation:
        """Read the text of the file; ``where`` names it in messages.

        Raises:
            BundleError: The text is damaged or of a newer schema.
        """
        return strict_json.parse(cls, content, where=where)
