"""Settings of the training and advice on more epochs, as text."""

from __future__ import annotations

from edgeprune.bundle.pruning_report import TrainingReport

_OPTIMIZERS = {"sgd": "SGD", "adamw": "AdamW"}


def settings(training: TrainingReport) -> str:
    """Return the settings, such as ``AdamW, batch size 32, 20 epochs, peak learning rate 0.013 (range test)``."""
    values = [
        _OPTIMIZERS[training.optimizer],
        f"batch size {training.batch_size}",
        f"{training.epochs} epoch{'' if training.epochs == 1 else 's'}",
        f"peak learning rate {training.lr:g}{' (range test)' if 'lr' in training.automatic else ''}",
        *(["distilled from the dense network"] if training.distilled else []),
    ]
    return ", ".join(values)


def advice(training: TrainingReport) -> str | None:
    """Return a clause on whether more epochs would help; None if that is not known."""
    if training.still_rising:
        return f"accuracy was still rising: try --set training.epochs={2 * training.epochs}"
    if training.best_epoch == 0 and training.phases > 1:
        return (
            f"in the last of {training.phases} training phases, no epoch was better on validation data than the "
            "pruned network before it, which is used"
        )
    if training.best_epoch == 0:
        return "no epoch was better on validation data than the network before training, which is used"
    return None if training.still_rising is None else "more epochs are not expected to help"
