"""Detection and segmentation: ultralytics, torchvision's detectors up to their raw heads, segmentation_models_pytorch.

Boxes are decoded after the network, with operators whose sizes depend on the data; networks end before that.
"""

from __future__ import annotations

import os
import tempfile
from functools import partial

from torch import Tensor, nn

from tests.zoo.zoo_family import Family, Made, images

_ULTRALYTICS = {
    "yolov5n": 160,
    "yolov8n": 160,
    "yolov8n-seg": 160,
    "yolov8n-pose": 160,
    "yolo11n": 160,
    "yolo12n": 160,
    "rtdetr-l": 160,
}
_TORCHVISION = ("ssdlite320_mobilenet_v3_large", "retinanet_resnet50_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn")
_SEGMENTATION = ("Unet", "FPN", "DeepLabV3Plus", "PSPNet")


class RawDetector(nn.Module):
    """Backbone and heads of a torchvision detector with one stage."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = detector.backbone, detector.head

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = self.head(list(self.backbone(images).values()))
        return outputs


class RawProposals(nn.Module):
    """Backbone and heads of torchvision's Faster R-CNN; the head of the boxes gets a fixed window of each level."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.backbone, self.proposals = detector.backbone, detector.rpn.head
        self.box_head, self.box_predictor = detector.roi_heads.box_head, detector.roi_heads.box_predictor

    def forward(self, images: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor, Tensor]:
        levels = list(self.backbone(images).values())
        objectness, boxes = self.proposals(levels)
        window = levels[0][:, :, :7, :7]
        scores, offsets = self.box_predictor(self.box_head(window))
        return objectness, boxes, scores, offsets


def _ultralytics(name: str, pixels: int) -> Made:
    os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.mkdtemp())  # it writes a file of settings when it is imported
    from ultralytics.nn import tasks

    suffix = name.rpartition("-")[2]
    kinds = {"seg": tasks.SegmentationModel, "pose": tasks.PoseModel, "l": tasks.RTDETRDetectionModel}
    network: nn.Module = kinds.get(suffix, tasks.DetectionModel)(f"{name}.yaml", verbose=False)
    for module in network.modules():
        if hasattr(module, "export") and hasattr(module, "format"):
            module.export, module.format = True, "onnx"  # the documented way to get outputs of fixed sizes
    for key, parameter in network.named_parameters():
        if "score_head" in key and key.endswith("weight"):
            nn.init.normal_(parameter, std=0.08)  # RT-DETR sorts scores, which are nearly equal with its own weights
    return network, images(pixels)


def _torchvision(name: str) -> Made:
    from torchvision import models

    detector = models.get_model(name, weights=None, weights_backbone=None)
    if name.startswith("fasterrcnn"):
        return RawProposals(detector), images(224)
    return RawDetector(detector), images(320 if name.startswith("ssd") else 128)


def _segmentation(name: str) -> Made:
    import segmentation_models_pytorch

    kind = getattr(segmentation_models_pytorch, name)
    network: nn.Module = kind("resnet18", encoder_weights=None, classes=5)
    return network, images(128)


DETECTION = Family(
    "Detection and segmentation",
    {
        **{name: partial(_ultralytics, name, pixels) for name, pixels in _ULTRALYTICS.items()},
        **{name: partial(_torchvision, name) for name in _TORCHVISION},
        **{f"smp-{name}": partial(_segmentation, name) for name in _SEGMENTATION},
    },
    {
        **dict.fromkeys(_ULTRALYTICS, ("torchvision", "ultralytics")),
        **dict.fromkeys(_TORCHVISION, ("torchvision",)),
        **{f"smp-{name}": ("torchvision", "timm", "segmentation_models_pytorch") for name in _SEGMENTATION},
    },
)
