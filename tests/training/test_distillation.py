"""What a network learns from the dense one: nothing where both are equal, and from the right channels where not."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import edgeprune
from edgeprune import graph
from edgeprune.config import DistillationSettings
from edgeprune.errors import InputError, TrainingError
from edgeprune.model.data import Data, TensorSplit
from edgeprune.progress import Silent
from edgeprune.training import Phase, StepExecution, Teacher, Trainer, feature_layers, finetune, is_accurate
from edgeprune.training.feature_distance import squared_distance
from tests.training import small

_PLAIN = StepExecution(precision="float32", channels_last=False, threads=1, step_ms={})
_LOW = StepExecution(precision="bfloat16", channels_last=True, threads=1, step_ms={})


def _settings(**changes: Any) -> DistillationSettings:
    return DistillationSettings(**{"weight": 1.0, **changes})


class _Net(nn.Module):
    """Two convolutions with BatchNorm, whose ReLU works in place; no two weights alike."""

    def __init__(self, *, spare: bool = False) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = nn.Conv2d(6, 5, 3), nn.BatchNorm2d(5)
        self.head = nn.Linear(5, 3)
        self.relu = nn.ReLU(inplace=True)
        self.spare = nn.BatchNorm2d(6) if spare else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x))
        if self.training and self.spare is not None:
            self.spare(x)
        logits: Tensor = self.head(self.relu(self.bn2(self.conv2(self.relu(x)))).mean((2, 3)))
        return logits


def _net(seed: int = 0, **options: Any) -> _Net:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = _Net(**options)
        for tensor in (*net.parameters(), *net.buffers()):
            if tensor.is_floating_point():
                tensor.data += 0.3 * torch.rand_like(tensor)
        return net.eval()


def _images(count: int = 8) -> Tensor:
    return torch.randn(count, 2, 6, 6, generator=torch.Generator().manual_seed(0))


def _lesson(
    teacher: Teacher, student: nn.Module, execution: StepExecution = _PLAIN, weight: float = 1.0
) -> tuple[Tensor, dict[str, Tensor]]:
    """What a step on the images adds to a loss of 0, and the gradients of it."""
    teacher.begin(student, _images(), execution)
    student.zero_grad()
    outputs = execution.forward(student, _images())
    loss = teacher.combined_loss(outputs.sum() * 0, outputs, _images(), execution)
    loss.backward()
    teacher.end()
    return loss.detach(), {name: one.grad.clone() for name, one in student.named_parameters() if one.grad is not None}


@pytest.mark.parametrize("features", [0.0, 1.0])
def test_equal_teacher_has_loss_zero(features: float) -> None:
    teacher = Teacher(_net(), _settings(features=features), layers={"bn1": None, "bn2": None})
    loss, gradients = _lesson(teacher, _net())
    assert abs(float(loss)) < 1e-6
    assert max(float(one.abs().max()) for one in gradients.values()) < 1e-5


def test_distillation_loss_is_the_scaled_divergence_of_softened_outputs() -> None:
    teacher, student = _net(1), _net()
    loss, _ = _lesson(Teacher(teacher, _settings(temperature=3.0)), student)
    answers, outputs = (torch.softmax(net(_images()).detach() / 3, 1) for net in (teacher, student))
    want = 9 * (answers * (answers / outputs).log()).sum(1).mean()
    assert float(loss) == pytest.approx(float(want), rel=1e-4)


def test_label_loss_has_the_remaining_weight() -> None:
    student, teacher = _net(), Teacher(_net(1), _settings(weight=0.25))
    teacher.begin(student, _images(), _PLAIN)
    outputs = student(_images())
    lessons = [teacher.combined_loss(torch.tensor(loss), outputs, _images(), _PLAIN) for loss in (1.0, 3.0)]
    assert float((lessons[1] - lessons[0]).detach()) == pytest.approx(0.75 * 2)


@pytest.mark.parametrize(("wrong", "enough"), [(0, True), (25, True), (26, False), (512, False)])
def test_a_network_that_errs_on_its_training_samples_is_no_teacher_by_default(wrong: int, enough: bool) -> None:
    labels = torch.arange(512) % 3
    split = TensorSplit(torch.eye(3)[labels], torch.cat([(labels[:wrong] + 1) % 3, labels[wrong:]]))
    assert is_accurate(nn.Identity(), split) == enough


def test_dense_outputs_are_compared_at_every_place() -> None:
    teacher, student = nn.Conv2d(2, 3, 1), nn.Conv2d(2, 3, 1)
    loss, _ = _lesson(Teacher(teacher, _settings(temperature=1.0)), student)
    flat = [net(_images()).detach().permute(0, 2, 3, 1).reshape(-1, 3).log_softmax(1) for net in (student, teacher)]
    assert float(loss) == pytest.approx(
        float(functional.kl_div(*flat, reduction="batchmean", log_target=True)), rel=1e-4
    )


def test_teacher_is_not_changed() -> None:
    dense = _net(1).train()
    before = copy.deepcopy(dense.state_dict())
    for features in (0.0, 1.0):
        _lesson(Teacher(dense, _settings(features=features), layers={"bn1": None}), _net(), _LOW)
    assert all(torch.equal(tensor, before[name]) for name, tensor in dense.state_dict().items())
    assert dense.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in dense.parameters())
    assert not dense.bn1._forward_hooks


def _pruned() -> tuple[nn.Module, nn.Module, dict[str, Tensor | None]]:
    """A dense network, one without some of its channels, and the layers to compare."""
    dense = _net(1)
    units = graph.units_of(graph.capture(dense, (_images(2),)))
    pruned = edgeprune.prune(dense, (_images(2),), budget={"params": 0.5}, options={"criterion": "l1"})
    return dense, pruned.model, feature_layers(units.groups, dense, pruned.model, pruned.plan.kept_indices)


def test_features_of_a_pruned_network_are_compared_channel_by_channel() -> None:
    dense, student, layers = _pruned()
    assert set(layers) == {"bn1", "bn2"}
    assert any(
        index is not None and len(index) < len(dense.get_submodule(name).weight) for name, index in layers.items()
    )
    loss, gradients = _lesson(Teacher(dense, _settings(weight=0.0, features=1.0), layers=layers), student)
    # The first layer reads the images alone, so that what is left of it says just what it said.
    first = {"bn1": layers["bn1"]}
    of_first, _ = _lesson(Teacher(dense, _settings(weight=0.0, features=1.0), layers=first), student)
    assert abs(float(of_first)) < 1e-9
    assert float(loss) > 1e-4
    assert float(gradients["conv2.weight"].abs().max()) > 0
    assert "head.weight" not in gradients or float(gradients["head.weight"].abs().max()) == 0


def test_feature_loss_of_wrong_channels_is_large() -> None:
    dense, student, layers = _pruned()
    remaining = layers["bn1"]
    assert remaining is not None
    wrong = {"bn1": (remaining + 1) % 6}
    loss, _ = _lesson(Teacher(dense, _settings(weight=0.0, features=1.0), layers=wrong), student)
    assert float(loss) > 0.1


def test_distillation_loss_of_a_split_batch_equals_the_whole() -> None:
    dense, student, layers = _pruned()
    teacher = Teacher(dense, _settings(weight=0.5, features=1.0), layers=layers)
    teacher.begin(student, _images(), _PLAIN)
    losses = []
    for cut in (slice(0, 3), slice(3, 8), slice(0, 8)):
        outputs = student(_images()[cut])
        losses.append(float(teacher.combined_loss(torch.tensor(0.0), outputs, _images()[cut], _PLAIN).detach()))
    assert (3 * losses[0] + 5 * losses[1]) / 8 == pytest.approx(losses[2], rel=1e-4)


def test_layers_that_only_training_uses_are_not_compared() -> None:
    dense, student = _net(1, spare=True), _net(spare=True)
    both = Teacher(dense, _settings(weight=0.0, features=1.0), layers={"bn1": None, "spare": None})
    one = Teacher(dense, _settings(weight=0.0, features=1.0), layers={"bn1": None})
    assert float(_lesson(both, student.train())[0]) == pytest.approx(float(_lesson(one, student)[0]))
    with pytest.raises(InputError, match=r"training\.distillation\.features: none of the BatchNorm"):
        _lesson(Teacher(dense, _settings(features=1.0), layers={"spare": None}), student)


def test_features_need_layers_and_the_right_number_of_channels() -> None:
    with pytest.raises(InputError, match=r"training\.distillation\.features: .* no common"):
        Teacher(_net(), _settings(features=1.0))
    teacher = Teacher(_net(), _settings(features=1.0), layers={"bn1": None})
    with pytest.raises(InputError, match=r"training\.distillation\.features: .* no common"):
        teacher.compare({})
    teacher.compare({"bn1": torch.tensor([0, 2])})
    with pytest.raises(InputError, match=r"training\.distillation\.features: bn1 .*\(8, 2, 6, 6\).*\(8, 6, 6, 6\)"):
        _lesson(teacher, _net())


def test_features_are_compared_only_with_a_feature_weight() -> None:
    dense, student, layers = _pruned()
    default, off, on = (
        float(_lesson(Teacher(dense, _settings(**changes), layers=layers), student)[0])
        for changes in ({}, {"features": 0.0}, {"features": 1.0})
    )
    assert default == off < on


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_gradients_of_features_are_those_of_the_squared_distance(order: torch.memory_format) -> None:
    own = torch.randn(2, 3, 5, 4).contiguous(memory_format=order).requires_grad_()
    theirs = torch.randn(2, 3, 3, 2)
    ours = squared_distance(own, theirs)
    right = functional.mse_loss(own[:, :, ::2, ::2], theirs)
    assert float(ours.detach()) == pytest.approx(float(right.detach()))
    (gradient,), (expected,) = torch.autograd.grad(2 * ours, own), torch.autograd.grad(2 * right, own)
    torch.testing.assert_close(gradient, expected)
    assert gradient.is_contiguous(memory_format=order)


def test_a_teacher_follows_a_network_that_loses_channels() -> None:
    dense, student, layers = _pruned()
    teacher = Teacher(dense, _settings(weight=0.0, features=1.0), layers={"bn1": None})
    assert abs(float(_lesson(teacher, copy.deepcopy(dense))[0])) < 1e-9
    teacher.compare({"bn1": layers["bn1"]})
    assert abs(float(_lesson(teacher, student)[0])) < 1e-9


class _Shared(nn.Module):
    """One convolution with two BatchNorms: folding both into it gives other answers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.bn1, self.bn2 = nn.BatchNorm2d(2), nn.BatchNorm2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv(self.bn1(self.conv(x)).relu())).mean((2, 3))


class _Branches(nn.Module):
    """Cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.net = _net(1)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x if float(x.sum()) > -1e9 else -x)
        return logits


class _Mixes(nn.Module):
    """Makes float32 tensors on the way, which no layer in bfloat16 takes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.last = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x)).float() * torch.ones(1)
        return self.last(x).mean((2, 3))


@pytest.mark.parametrize("make", [lambda: _net(1), _Shared, _Branches, _Mixes])
@pytest.mark.parametrize(("execution", "tolerance"), [(_PLAIN, 1e-5), (_LOW, 0.05)], ids=["float32", "bfloat16"])
def test_teacher_outputs_equal_those_of_the_dense_network(
    make: Any, execution: StepExecution, tolerance: float
) -> None:
    torch.manual_seed(0)
    dense = make().eval()
    for module in dense.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    teacher = Teacher(dense, _settings())
    teacher.begin(copy.deepcopy(dense), _images(), execution)
    answer, right = teacher._outputs(_images(), execution), dense(_images()).detach()
    assert answer.dtype == torch.float32
    assert float((answer - right).abs().max()) < tolerance * float(right.abs().max())


def test_distillation_in_bfloat16_is_close_to_float32() -> None:
    grads = [_lesson(Teacher(_net(1), _settings()), _net().train(), how)[1] for how in (_PLAIN, _LOW)]
    for name in ("conv1.weight", "head.weight"):
        likeness = functional.cosine_similarity(grads[0][name].flatten(), grads[1][name].flatten(), dim=0)
        assert float(likeness) > 0.97


@pytest.mark.parametrize("other", [nn.Linear(4, 7), nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (1, -1)))])
def test_a_teacher_with_other_outputs_is_refused_before_the_first_step(tmp_path: Path, other: nn.Module) -> None:
    settings = small.settings(distillation=DistillationSettings())
    steps: list[int] = []

    class Counts(Silent):
        def advance(self, count: int = 1, **_: float) -> None:
            steps.append(count)

    trainer = Trainer(
        small.model(), small.data(), settings, folder=tmp_path, teacher=Teacher(other, settings.distillation),
        progress=Counts(),
    )  # fmt: skip
    with pytest.raises(InputError, match=r"training\.distillation: .*\(\d+, \d+\).*\(16, 3\)"):
        trainer.train(Phase(fraction=1.0))
    assert steps == []


def test_outputs_may_have_any_structure_if_only_features_are_compared(tmp_path: Path) -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = _net()

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"logits": self.net(x)}

    (tmp_path / "mine.py").write_text(
        "from torch.nn import functional\n"
        "def loss(outputs, labels):\n    return functional.cross_entropy(outputs['logits'], labels)\n"
    )
    settings = small.settings(loss="mine.py:loss", distillation=_settings(weight=0.0, features=1.0))
    teacher = Teacher(Named(), settings.distillation, layers={"net.bn1": None})
    split = TensorSplit(_images(16), torch.arange(16) % 3)
    data = Data(train=split, validation=split)
    history = finetune(Named(), data, settings, folder=tmp_path / "run", teacher=teacher, base=tmp_path)
    assert len(history.epochs) == 3


def test_a_network_learns_from_its_teacher_alone(tmp_path: Path) -> None:
    dense = small.model(1)
    finetune(dense, small.data(), small.settings(epochs=10), folder=tmp_path / "dense")
    wrong = small.split(64, 0)
    wrong.labels = torch.zeros_like(wrong.labels)
    student = small.model()
    settings = small.settings(epochs=10, distillation=_settings(), keep="last")
    teacher = Teacher(dense, settings.distillation)
    finetune(
        student,
        Data(train=wrong, validation=small.data().validation),
        settings,
        folder=tmp_path / "small",
        teacher=teacher,
    )
    inputs = small.data().validation.images
    agree = (student(inputs).argmax(1) == dense(inputs).argmax(1)).float().mean()
    assert float(agree) > 0.85


def test_run_with_another_teacher_does_not_resume(tmp_path: Path) -> None:
    settings = small.settings(epochs=1, distillation=_settings())
    teachers = [Teacher(small.model(seed), settings.distillation) for seed in (1, 1, 2)]
    for teacher in teachers[:2]:
        finetune(small.model(), small.data(), settings, folder=tmp_path, teacher=teacher)
    with pytest.raises(TrainingError, match=str(tmp_path)):
        finetune(small.model(), small.data(), settings, folder=tmp_path, teacher=teachers[2])
