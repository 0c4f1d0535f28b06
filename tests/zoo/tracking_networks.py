"""Networks for points, video, poses, optical flow, faces and tracking, with the forwards of their papers.

PointNet: Qi et al. 2017. X3D: Feichtenhofer 2020. Stacked hourglass: Newell et al. 2016. RAFT: Teed and Deng 2020.
MobileFaceNet: Chen et al. 2018. SiamFC: Bertinetto et al. 2016, Fully-Convolutional Siamese Networks for Tracking.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.zoo.raft_network import Raft
from tests.zoo.zoo_family import Family, Made, images


class Alignment(nn.Module):
    """Transformation network of PointNet: one matrix, (N, size, size), from points, (N, size, points)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.conv1, self.conv2, self.conv3 = nn.Conv1d(size, 32, 1), nn.Conv1d(32, 64, 1), nn.Conv1d(64, 128, 1)
        self.fc1, self.fc2, self.fc3 = nn.Linear(128, 64), nn.Linear(64, 32), nn.Linear(32, size * size)
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in (32, 64, 128, 64, 32))

    def forward(self, points: Tensor) -> Tensor:
        count = points.size()[0]
        maps = functional.relu(self.norms[0](self.conv1(points)))
        maps = functional.relu(self.norms[1](self.conv2(maps)))
        maps = functional.relu(self.norms[2](self.conv3(maps)))
        maps = torch.max(maps, 2, keepdim=True)[0].view(-1, 128)
        maps = functional.relu(self.norms[3](self.fc1(maps)))
        maps = functional.relu(self.norms[4](self.fc2(maps)))
        identity = torch.eye(self.size).flatten().view(1, self.size * self.size).repeat(count, 1)
        return (self.fc3(maps) + identity).view(-1, self.size, self.size)


class PointNet(nn.Module):
    """PointNet: class of a cloud of points, (N, 3, points)."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stn, self.fstn = Alignment(3), Alignment(32)
        self.conv1, self.conv2, self.conv3 = nn.Conv1d(3, 32, 1), nn.Conv1d(32, 64, 1), nn.Conv1d(64, 128, 1)
        self.fc1, self.fc2, self.fc3 = nn.Linear(128, 64), nn.Linear(64, 32), nn.Linear(32, classes)
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in (32, 64, 128, 64, 32))
        self.dropout = nn.Dropout(0.3)

    def forward(self, points: Tensor) -> Tensor:
        points = torch.bmm(points.transpose(2, 1), self.stn(points)).transpose(2, 1)
        maps = functional.relu(self.norms[0](self.conv1(points)))
        maps = torch.bmm(maps.transpose(2, 1), self.fstn(maps)).transpose(2, 1)
        maps = functional.relu(self.norms[1](self.conv2(maps)))
        maps = self.norms[2](self.conv3(maps))
        maps = torch.max(maps, 2, keepdim=True)[0].view(-1, 128)
        maps = functional.relu(self.norms[3](self.fc1(maps)))
        maps = functional.relu(self.norms[4](self.dropout(self.fc2(maps))))
        return functional.log_softmax(self.fc3(maps), dim=1)


class X3dBlock(nn.Module):
    """Bottleneck of X3D: channelwise 3-D convolution, squeeze and excitation in some blocks, swish."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, squeeze: bool) -> None:
        super().__init__()
        inner = int(2.25 * outputs)
        self.a, self.a_bn = nn.Conv3d(inputs, inner, 1, bias=False), nn.BatchNorm3d(inner)
        self.b = nn.Conv3d(inner, inner, 3, (1, stride, stride), 1, groups=inner, bias=False)
        self.b_bn = nn.BatchNorm3d(inner)
        self.se = (
            nn.Sequential(
                nn.AdaptiveAvgPool3d(1), nn.Conv3d(inner, 8, 1), nn.ReLU(), nn.Conv3d(8, inner, 1), nn.Sigmoid()
            )
            if squeeze
            else None
        )
        self.c, self.c_bn = nn.Conv3d(inner, outputs, 1, bias=False), nn.BatchNorm3d(outputs)
        self.shortcut = nn.Conv3d(inputs, outputs, 1, (1, stride, stride), bias=False) if stride > 1 else nn.Identity()

    def forward(self, clip: Tensor) -> Tensor:
        maps = self.b_bn(self.b(functional.relu(self.a_bn(self.a(clip)))))
        if self.se is not None:
            maps = maps * self.se(maps)
        return functional.relu(self.c_bn(self.c(functional.silu(maps))) + self.shortcut(clip))


class X3d(nn.Module):
    """X3D on clips, (N, 3, T, H, W)."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem_xy = nn.Conv3d(3, 12, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False)
        self.stem_t = nn.Conv3d(12, 12, (5, 1, 1), padding=(2, 0, 0), groups=12, bias=False)
        self.stem_bn = nn.BatchNorm3d(12)
        self.blocks = nn.Sequential(
            X3dBlock(12, 24, stride=2, squeeze=True),
            X3dBlock(24, 24, stride=1, squeeze=False),
            X3dBlock(24, 48, stride=2, squeeze=True),
        )
        self.pool, self.projection = nn.AdaptiveAvgPool3d((None, 1, 1)), nn.Linear(48, classes)

    def forward(self, clip: Tensor) -> Tensor:
        maps = self.pool(self.blocks(functional.relu(self.stem_bn(self.stem_t(self.stem_xy(clip))))))
        maps = self.projection(maps.permute((0, 2, 3, 4, 1)))
        return functional.softmax(maps, dim=4).mean([1, 2, 3]).view(clip.shape[0], -1)


class HourglassResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.body = nn.Sequential(
            nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, half, 1),
            nn.BatchNorm2d(half), nn.ReLU(), nn.Conv2d(half, half, 3, padding=1),
            nn.BatchNorm2d(half), nn.ReLU(), nn.Conv2d(half, outputs, 1),
        )  # fmt: skip
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        return self.body(maps) + self.skip(maps)


class Hourglass(nn.Module):
    """One recursive hourglass."""

    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        self.up1, self.low1 = HourglassResidual(width, width), HourglassResidual(width, width)
        self.low2 = Hourglass(depth - 1, width) if depth > 1 else HourglassResidual(width, width)
        self.low3 = HourglassResidual(width, width)

    def forward(self, maps: Tensor) -> Tensor:
        low = self.low3(self.low2(self.low1(functional.max_pool2d(maps, 2, 2))))
        return self.up1(maps) + functional.interpolate(low, scale_factor=2, mode="nearest")


class StackedHourglass(nn.Module):
    """Two hourglasses; heat maps of both, (N, 2, joints, H / 4, W / 4)."""

    def __init__(self, width: int = 32, joints: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 7, 2, 3), nn.BatchNorm2d(16), nn.ReLU(), HourglassResidual(16, 32), nn.MaxPool2d(2),
            HourglassResidual(32, width),
        )  # fmt: skip
        self.hourglasses = nn.ModuleList(Hourglass(2, width) for _ in range(2))
        self.features = nn.ModuleList(
            nn.Sequential(HourglassResidual(width, width), nn.Conv2d(width, width, 1), nn.BatchNorm2d(width), nn.ReLU())
            for _ in range(2)
        )
        self.predictions = nn.ModuleList(nn.Conv2d(width, joints, 1) for _ in range(2))
        self.merge_features = nn.Conv2d(width, width, 1)
        self.merge_predictions = nn.Conv2d(joints, width, 1)

    def forward(self, image: Tensor) -> Tensor:
        maps, heat_maps = self.stem(image), []
        for index, hourglass in enumerate(self.hourglasses):
            features = self.features[index](hourglass(maps))
            heat_maps.append(self.predictions[index](features))
            if index == 0:
                maps = maps + self.merge_predictions(heat_maps[0]) + self.merge_features(features)
        return torch.stack(heat_maps, 1)


class FaceBlock(nn.Module):
    """Bottleneck of MobileFaceNet."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        self.connect, inner = stride == 1 and inputs == outputs, inputs * expansion
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.PReLU(inner),
            nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False), nn.BatchNorm2d(inner), nn.PReLU(inner),
            nn.Conv2d(inner, outputs, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.conv(maps) if self.connect else self.conv(maps)


class MobileFaceNet(nn.Module):
    """MobileFaceNet: embedding of a face by a global depthwise convolution."""

    def __init__(self, embedding: int = 64) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.PReLU(32),
            nn.Conv2d(32, 32, 3, 1, 1, groups=32, bias=False), nn.BatchNorm2d(32), nn.PReLU(32),
        )  # fmt: skip
        self.blocks = nn.Sequential(
            FaceBlock(32, 32, 2, 2), FaceBlock(32, 32, 1, 2), FaceBlock(32, 64, 2, 4), FaceBlock(64, 64, 1, 2)
        )
        self.conv2 = nn.Sequential(nn.Conv2d(64, 128, 1, bias=False), nn.BatchNorm2d(128), nn.PReLU(128))
        self.linear7 = nn.Sequential(nn.Conv2d(128, 128, 7, groups=128, bias=False), nn.BatchNorm2d(128))
        self.linear1 = nn.Sequential(nn.Conv2d(128, embedding, 1, bias=False), nn.BatchNorm2d(embedding))

    def forward(self, face: Tensor) -> Tensor:
        maps = self.linear1(self.linear7(self.conv2(self.blocks(self.stem(face)))))
        maps = maps.view(maps.size(0), -1)
        return functional.normalize(maps)


class SiameseTracker(nn.Module):
    """SiamFC: the features of the exemplar are the kernel of a convolution over those of the search image."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 32, 11, 2), nn.BatchNorm2d(32), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
            nn.Conv2d(32, 64, 5, groups=2), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 48, 3),
        )  # fmt: skip
        self.scale = 0.001

    def forward(self, exemplar: Tensor, search: Tensor) -> Tensor:
        kernels, maps = self.features(exemplar), self.features(search)
        count, channels, height, width = maps.size()
        maps = maps.view(-1, kernels.size(0) * channels, height, width)
        scores = functional.conv2d(maps, kernels, groups=kernels.size(0))
        return scores.view(count, -1, scores.size(-2), scores.size(-1)) * self.scale


def _pointnet() -> Made:
    return PointNet(), (torch.randn(1, 3, 64),)


def _r3d_18() -> Made:
    from torchvision import models

    return models.get_model("r3d_18", weights=None), (torch.randn(1, 3, 4, 56, 56),)


def _x3d() -> Made:
    return X3d(), (torch.randn(1, 3, 4, 32, 32),)


def _hourglass() -> Made:
    return StackedHourglass(), images(64)


def _raft() -> Made:
    return Raft(), (torch.randn(1, 3, 64, 64), torch.randn(1, 3, 64, 64))


def _mobile_face_net() -> Made:
    return MobileFaceNet(), images(56)


def _siamese() -> Made:
    return SiameseTracker(), (torch.randn(1, 3, 95, 95), torch.randn(1, 3, 127, 127))


TRACKING = Family(
    "Points, video and tracking",
    {
        "pointnet": _pointnet,
        "r3d_18": _r3d_18,
        "x3d": _x3d,
        "hourglass": _hourglass,
        "raft-small": _raft,
        "mobile-face-net": _mobile_face_net,
        "siamese-tracker": _siamese,
    },
    {"r3d_18": ("torchvision",)},
)
