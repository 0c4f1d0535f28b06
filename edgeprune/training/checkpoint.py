"""The state of a training run after any step, on disk: all that is needed to go on as if never interrupted."""

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

_FORMAT = 2


class Checkpoints:
    """The files of one run in ``folder``.

    ``stretch-K.pt`` has the whole state after some step of stretch K, in the end after its last; ``best.safetensors``
    and ``last.safetensors`` the networks of the best epoch on validation and of the last; ``execution.json`` how steps
    are run. Each is replaced as a whole. What is drawn at random is drawn from (seed, epoch, step), and the learning
    rate follows from the step, so no generator is kept.
    """

    def __init__(self, folder: Path, identity: str, *, writes: bool = True) -> None:
        self.folder = folder
        self.best = folder / "best.safetensors"
        self.last = folder / "last.safetensors"
        self.execution = folder / "execution.json"
        self._identity = identity
        self._writes = writes

    def path(self, stretch: int) -> Path:
        return self.folder / f"stretch-{stretch}.pt"

    def save(self, stretch: int, content: Mapping[str, Any]) -> None:
        """Keep the state of ``stretch``: tensors and plain values."""
        if not self._writes:
            return
        buffer = io.BytesIO()  # torch reports a full disk as a bare RuntimeError when it writes the file itself
        torch.save({"format": _FORMAT, "identity": self._identity, **content}, buffer)
        write_atomic(self.path(stretch), buffer.getvalue())

    def load(self, stretch: int) -> dict[str, Any] | None:
        """What was last kept of ``stretch``; None where nothing was.

        Raises:
            TrainingError: The folder holds another run, or a damaged file.
        """
        path = self.path(stretch)
        if not path.is_file():
            return None
        try:
            content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as problem:
            raise TrainingError(f"{path} is damaged ({problem}): remove {self.folder} to start over") from problem
        if (content.get("format"), content.get("identity")) != (_FORMAT, self._identity):
            raise TrainingError(
                f"{self.folder} holds a training run with other weights, data or settings: "
                "give another folder, or remove this one to start over"
            )
        return content


def identity(state: Mapping[str, Tensor], **settings: Any) -> str:
    """A hash of the weights a run starts from and of everything that decides how it goes on."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, tensor in state.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
