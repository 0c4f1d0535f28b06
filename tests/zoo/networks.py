"""The zoo: networks by name, as their libraries make them, with fresh weights and no annotations.

torchvision has no build for CPU-only PyTorch; without its compiled operators it still makes all its networks, once
the two operators that it registers shapes for are declared.
"""

from __future__ import annotations

import importlib.util
import warnings
from functools import cache

import torch
from torch import Tensor, nn

_TORCHVISION = """
    alexnet vgg11_bn resnet18 resnet50 resnext50_32x4d densenet121 squeezenet1_1 inception_v3 googlenet
    shufflenet_v2_x1_0 mobilenet_v2 mobilenet_v3_small mnasnet1_0 efficientnet_b0 regnet_y_400mf convnext_tiny
    vit_b_16 swin_t swin_v2_t maxvit_t fcn_resnet50 deeplabv3_mobilenet_v3_large lraspp_mobilenet_v3_large
    ssdlite320_mobilenet_v3_large
""".split()
_TIMM = """
    ghostnet_100 mobilenetv4_conv_small repvgg_a0 mobilevit_xxs res2net50_14w_8s hrnet_w18_small dla34 dpn68
    levit_128s pvt_v2_b0 poolformer_s12 mixnet_s resnest14d coat_lite_tiny xcit_nano_12_p16_224 gcresnet33ts
""".split()
NAMES = (*_TORCHVISION, *_TIMM)

_PIXELS = {"inception_v3": 299, "swin_v2_t": 256, "mobilevit_xxs": 256, "gcresnet33ts": 256}
_PIXELS["ssdlite320_mobilenet_v3_large"] = 320


class RawDetector(nn.Module):
    """Backbone and heads of a torchvision detector: what comes before boxes are decoded, which depends on the data."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = detector.backbone, detector.head

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = self.head(list(self.backbone(images).values()))
        return outputs


def available() -> bool:
    """Whether torchvision and timm are installed; neither is imported."""
    return all(importlib.util.find_spec(package) for package in ("torchvision", "timm"))


def make(name: str, seed: int = 0) -> tuple[nn.Module, tuple[Tensor]]:
    """A network in evaluation mode, and one image."""
    declare_operators()
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = _torchvision(name) if name in _TORCHVISION else _timm(name)
    for parameter in network.parameters():
        if not bool(parameter.any()):  # a branch or a head that starts at zero would hide every mistake
            nn.init.normal_(parameter, std=0.02)
    pixels = _PIXELS.get(name, 224)
    return network.eval(), (torch.randn(1, 3, pixels, pixels),)


def _torchvision(name: str) -> nn.Module:
    from torchvision import models

    options = {}
    if any(part in name for part in ("fcn", "lab", "lraspp", "ssd")):
        options["weights_backbone"] = None
    if name in ("inception_v3", "googlenet"):
        options["init_weights"] = False
    network: nn.Module = models.get_model(name, weights=None, **options)
    return RawDetector(network) if "ssd" in name else network


def _timm(name: str) -> nn.Module:
    import timm

    network: nn.Module = timm.create_model(name, pretrained=False)
    return network


@cache
def declare_operators() -> torch.library.Library:
    """What torchvision wants to find before it is imported."""
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library
