"""The state of a fine-tuning run after a whole epoch, on disk: all that is needed to go on as if never interrupted."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune.errors import TrainingError
from edgeprune.files import write_atomic
from edgeprune.model import weights
from edgeprune.training.history import Epoch

_FORMAT = 1


class Checkpoints:
    """The files of one run in ``folder``.

    ``last.pt`` has network, optimiser, epochs so far and the identity of the run; ``best.safetensors`` the network of
    the best epoch on validation; ``execution.json`` how steps are run. Each is replaced as a whole. The generators of
    random numbers are seeded from (seed, epoch) and the learning rate follows from the step, so neither is kept.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder = folder
        self.last = folder / "last.pt"
        self.best = folder / "best.safetensors"
        self.execution = folder / "execution.json"
        self._identity = identity

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer, epochs: list[Epoch], best_epoch: int) -> None:
        """Keep the state after the last of ``epochs``.

        The best network is written first: a stop between the two repeats the epoch, which writes it again, the same.
        """
        state = model.state_dict()
        if best_epoch == epochs[-1].number:
            weights.save(state, self.best)
        content = {
            "format": _FORMAT,
            "identity": self._identity,
            "model": state,
            "optimizer": optimizer.state_dict(),
            "epochs": [vars(epoch) for epoch in epochs],
            "best_epoch": best_epoch,
        }
        buffer = io.BytesIO()  # torch reports a full disk as a bare RuntimeError when it writes the file itself
        torch.save(content, buffer)
        write_atomic(self.last, buffer.getvalue())

    def resume(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[list[Epoch], int]:
        """Take up what ``save`` kept; gives the epochs done and the best one, nothing and 0 at the very start.

        Raises:
            TrainingError: The folder holds another run, or a damaged file.
        """
        if not self.last.is_file():
            return [], 0
        try:
            content: dict[str, Any] = torch.load(self.last, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as problem:
            raise TrainingError(f"{self.last} is damaged ({problem}): remove {self.folder} to start over") from problem
        if (content.get("format"), content.get("identity")) != (_FORMAT, self._identity):
            raise TrainingError(
                f"{self.folder} holds a fine-tuning run with other weights, data or settings: "
                "give another folder, or remove this one to start over"
            )
        weights.fit(model, content["model"], where=str(self.last))
        optimizer.load_state_dict(content["optimizer"])
        return [Epoch(**epoch) for epoch in content["epochs"]], content["best_epoch"]


def identity(state: Mapping[str, Tensor], **settings: Any) -> str:
    """A hash of the weights a run starts from and of everything that decides how it goes on."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, tensor in state.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
