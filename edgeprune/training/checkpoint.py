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

_FORMAT = 4


class Checkpoints:
    """The files of one run in ``folder``.

    ``stretch-K.pt`` has the whole state at the beginning of stretch K, and then after each epoch in it: where training
    is taken back to when it goes wrong. ``underway.pt`` has the state within an epoch, for an interrupted run to go on.
    The two are apart so that what follows when training goes wrong does not depend on when it was interrupted.

    ``best.safetensors`` and ``last.safetensors`` are the networks of the best epoch on validation, or of before the
    last stretch where that is better, and of the last epoch;
    ``execution.json`` says how steps are run. Each file is replaced as a whole. What is drawn at random is drawn from
    (seed, epoch, step), and the learning rate follows from the step, so no generator is kept.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder = folder
        self.best = folder / "best.safetensors"
        self.last = folder / "last.safetensors"
        self.execution = folder / "execution.json"
        self.underway = folder / "underway.pt"
        self._identity = identity

    def path(self, stretch: int) -> Path:
        return self.folder / f"stretch-{stretch}.pt"

    def sweep(self) -> None:
        """Remove what a process that was killed while it wrote has left."""
        for kind in ("*.pt", "*.safetensors", "*.json"):
            for file in self.folder.glob(f".{kind}.*.tmp"):
                file.unlink(missing_ok=True)

    def save(self, content: Mapping[str, Any], *, underway: bool = False) -> None:
        """Keep a state, tensors and plain values, as that of ``content["stretch"]``."""
        buffer = io.BytesIO()  # torch reports a full disk as a bare RuntimeError when it writes the file itself
        torch.save({"format": _FORMAT, "identity": self._identity, **content}, buffer)
        write_atomic(self.underway if underway else self.path(content["stretch"]), buffer.getvalue())
        if not underway:
            self.underway.unlink(missing_ok=True)

    def load(self, stretch: int) -> dict[str, Any] | None:
        """The checkpoint that a rollback in ``stretch`` returns to; None if there is none.

        Raises:
            TrainingError: The folder holds another run, or a damaged file.
        """
        return self._read(self.path(stretch))

    def latest(self, stretch: int) -> dict[str, Any] | None:
        """The latest checkpoint of ``stretch``; otherwise like ``load``."""
        content, within = self.load(stretch), self._read(self.underway)
        if content is None or within is None or within["stretch"] != stretch:
            return content
        # One that was written before training was taken back, or before the end of the epoch, does not count any more.
        newer = within["rollbacks"] == content["rollbacks"] and within["step"] > content["step"]
        return within if newer else content

    def _read(self, path: Path) -> dict[str, Any] | None:
        if not path.is_file():
            return None
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError) as problem:
            raise TrainingError(f"{path} is damaged ({problem}): remove {self.folder} to start over") from problem
        known = isinstance(content, dict)
        if not known or (content.get("format"), content.get("identity")) != (_FORMAT, self._identity):
            raise TrainingError(
                f"{self.folder} holds a training run with other weights, data, settings or teacher: "
                "give another folder, or remove this one to start over"
            )
        return dict(content)


def identity(state: Mapping[str, Tensor], **settings: Any) -> str:
    """A hash of the weights a run starts from and of everything that decides how it goes on."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, tensor in state.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
