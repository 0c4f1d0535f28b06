"""Checkpoint files from which an interrupted training run resumes with identical results."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgeprune.errors import TrainingError
from edgeprune.files import write_atomic

_FORMAT = 5


class Checkpoints:
    """The checkpoint files of one run in ``folder``.

    - ``phase-K.pt``: State at the beginning of phase K, replaced after each of its epochs. A rollback returns to it.
    - ``underway.pt``: State within an epoch. Only an interrupted run resumes from it, so that the result of a rollback
      does not depend on when the run was interrupted.
    - ``best.safetensors``: Network of the best epoch on validation data, or the network before the last phase if that
      is better.
    - ``last.safetensors``: Network of the last epoch.
    - ``execution.json``: Precision and memory format of the steps.

    Each file is replaced atomically. Random numbers depend on (seed, epoch, step) and the learning rate depends on the
    step, so no generator state is saved.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder = folder
        self.best = folder / "best.safetensors"
        self.last = folder / "last.safetensors"
        self.execution = folder / "execution.json"
        self.underway = folder / "underway.pt"
        self._identity = identity

    def path(self, phase: int) -> Path:
        return self.folder / f"phase-{phase}.pt"

    def remove_temporary_files(self) -> None:
        """Remove temporary files of a process that was killed while it wrote."""
        for pattern in ("*.pt", "*.safetensors", "*.json"):
            for file in self.folder.glob(f".{pattern}.*.tmp"):
                file.unlink(missing_ok=True)

    def save(self, content: Mapping[str, Any], *, underway: bool = False) -> None:
        """Save the state of ``content["phase"]``, as tensors and plain values."""
        buffer = io.BytesIO()  # torch reports a full disk as a bare RuntimeError when it writes the file itself
        torch.save({"format": _FORMAT, "identity": self._identity, **content}, buffer)
        write_atomic(self.underway if underway else self.path(content["phase"]), buffer.getvalue())
        if not underway:
            self.underway.unlink(missing_ok=True)

    def load(self, phase: int) -> dict[str, Any] | None:
        """Return the checkpoint that a rollback in ``phase`` returns to; None if there is none.

        Raises:
            TrainingError: The folder holds another run, or a damaged file.
        """
        return self._read(self.path(phase))

    def latest(self, phase: int) -> dict[str, Any] | None:
        """Return the latest checkpoint of ``phase``, also within an epoch; otherwise like ``load``."""
        content, underway = self.load(phase), self._read(self.underway)
        if content is None or underway is None or underway["phase"] != phase:
            return content
        # A checkpoint from before a rollback, or from before the end of the epoch, is outdated.
        newer = underway["rollbacks"] == content["rollbacks"] and underway["step"] > content["step"]
        return underway if newer else content

    def _read(self, path: Path) -> dict[str, Any] | None:
        if not path.is_file():
            return None
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError) as problem:
            raise TrainingError(f"{path} is damaged ({problem}): remove {self.folder} to start over") from problem
        if not isinstance(content, dict) or (content.get("format"), content.get("identity")) != (
            _FORMAT,
            self._identity,
        ):
            raise TrainingError(
                f"{self.folder} belongs to a training run with other weights, data, settings or teacher: "
                "use another folder, or remove this one to start over"
            )
        return dict(content)


def identity(state: Mapping[str, Tensor], **settings: Any) -> str:
    """Return a hash of the initial weights of a run and of all settings that affect its result."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, tensor in state.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
