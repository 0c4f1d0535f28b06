"""Train the dense network of a recipe from nothing and write its weights beside the recipe.

    python scripts/train_dense.py digits
    python scripts/train_dense.py cifar10-resnet8

Everything is drawn from one seed; the epoch is chosen on the validation split, the test split is looked at once, at
the end.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from edgeprune.config import Recipe, TrainingSettings
from edgeprune.model import data, network, weights
from edgeprune.model.data import Data
from edgeprune.training import Trainer, evaluate, finetune
from edgeprune.training.phase import Phase

SEED = 0
_CIFAR = TrainingSettings(
    epochs=10, optimizer="sgd", lr=0.1, batch_size=128, warmup_epochs=1, precision="bfloat16", channels_last=True
)
SETTINGS = {
    "digits": TrainingSettings(
        epochs=80, optimizer="sgd", lr=0.1, batch_size=64, warmup_epochs=2, label_smoothing=0.05,
        precision="float32", channels_last=False,
    ),
    "cifar10-resnet8": _CIFAR,
    "cifar10-mobilenetv2": _CIFAR,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", choices=SETTINGS)
    parser.add_argument("--epochs", type=int, help="default: those of the committed weights")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    settings = SETTINGS[arguments.recipe]
    if arguments.epochs:
        settings = settings.model_copy(update={"epochs": arguments.epochs})
    recipe = Recipe.load(Path(__file__).parents[1] / "recipes" / arguments.recipe)
    splits = data.load(recipe.data.function, base=recipe.folder, folder=recipe.data_dir)
    model = fresh(recipe)
    assert splits.test is not None
    assert recipe.model.weights is not None
    path = recipe.folder / recipe.model.weights
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        history = finetune(model, splits, settings, seed=SEED, folder=Path(folder))
    seconds = time.perf_counter() - started
    weights.save(model.state_dict(), path)
    assert history.best_epoch, "an untrained network is not better than a trained one"
    best = history.epochs[history.best_epoch - 1]
    print(f"parameters           {sum(parameter.numel() for parameter in model.parameters())}")
    print(f"samples              {', '.join(f'{role} {len(split)}' for role, split in splits.splits().items())}")
    print(f"epoch                {best.number} of {settings.epochs}, {seconds:.0f} s")
    print(f"train loss           {history.epochs[-1].train_loss:.3f}")
    print(f"validation accuracy  {best.validation_accuracy:.2%}")
    print(f"test accuracy        {evaluate(model, splits.test).accuracy:.2%}")
    print(f"torch {torch.__version__}, seed {SEED}, {arguments.threads} threads; wrote {path}")


def fresh(recipe: Recipe) -> nn.Module:
    """The network as its training begins."""
    return network.load_model(recipe.model.factory, None, base=recipe.folder, seed=SEED)


def early(recipe: Recipe, splits: Data, share: float) -> dict[str, Tensor]:
    """The weights after ``share`` of the training that ``main`` does: all of it again, as far as that."""
    model = fresh(recipe)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(model, splits, SETTINGS[recipe.name], seed=SEED, folder=Path(folder))
        trainer.train(Phase(fraction=share, rate=(0.0, share)))
    return model.state_dict()


if __name__ == "__main__":
    main()
