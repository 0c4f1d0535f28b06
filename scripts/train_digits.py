"""Train the dense network of the digits recipe from nothing and write recipes/digits/digits.safetensors.

    python scripts/train_digits.py

Everything is drawn from one seed; the epoch is chosen on the validation split, the test split is looked at once, at
the end.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch

from edgeprune.config import Recipe, TrainingSettings
from edgeprune.model import data, network, weights
from edgeprune.training import evaluate, finetune

SEED = 0
THREADS = 2
SETTINGS = TrainingSettings(
    epochs=80, optimizer="sgd", lr=0.1, batch_size=64, warmup_epochs=2, label_smoothing=0.05,
    precision="float32", channels_last=False,
)  # fmt: skip


def main() -> None:
    torch.set_num_threads(THREADS)
    recipe = Recipe.load(Path(__file__).parents[1] / "recipes" / "digits")
    splits = data.load(recipe.data.function, base=recipe.folder)
    model = network.load_model(recipe.model.factory, None, base=recipe.folder, seed=SEED)
    assert splits.test is not None
    assert recipe.weights_path is not None
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        history = finetune(model, splits, SETTINGS, seed=SEED, folder=Path(folder))
    seconds = time.perf_counter() - started
    weights.save(model.state_dict(), recipe.weights_path)
    best = history.epochs[history.best_epoch - 1]
    print(f"parameters           {sum(parameter.numel() for parameter in model.parameters())}")
    print(f"samples              {', '.join(f'{role} {len(split)}' for role, split in splits.splits().items())}")
    print(f"epoch                {best.number} of {SETTINGS.epochs}, {seconds:.0f} s")
    print(f"train loss           {history.epochs[-1].train_loss:.3f}")
    print(f"validation accuracy  {best.validation_accuracy:.2%}")
    print(f"test accuracy        {evaluate(model, splits.test).accuracy:.2%}")
    print(f"torch {torch.__version__}, seed {SEED}, {THREADS} threads; wrote {recipe.weights_path}")


if __name__ == "__main__":
    main()
