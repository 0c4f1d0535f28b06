"""Classifiers of torchvision and timm, and torchvision's networks for segmentation that end like them."""

from __future__ import annotations

from functools import partial

from torch import nn

from tests.zoo.zoo_family import Family, Made, images

_TORCHVISION = """
    alexnet vgg11_bn resnet18 resnet50 resnext50_32x4d densenet121 squeezenet1_1 inception_v3 googlenet
    shufflenet_v2_x1_0 mobilenet_v2 mobilenet_v3_small mnasnet1_0 efficientnet_b0 regnet_y_400mf convnext_tiny
    vit_b_16 swin_t swin_v2_t maxvit_t fcn_resnet50 deeplabv3_mobilenet_v3_large lraspp_mobilenet_v3_large
    mobilenet_v3_large regnet_x_400mf resnet34 shufflenet_v2_x0_5 efficientnet_v2_s
""".split()
_TIMM = """
    ghostnet_100 mobilenetv4_conv_small repvgg_a0 mobilevit_xxs res2net50_14w_8s hrnet_w18_small dla34 dpn68
    levit_128s pvt_v2_b0 poolformer_s12 mixnet_s resnest14d coat_lite_tiny xcit_nano_12_p16_224 gcresnet33ts
    seresnext26d_32x4d skresnet18 ecaresnet26t resnetv2_50 nf_regnet_b0 tf_efficientnet_lite0 tinynet_e fbnetc_100
    lcnet_050 rexnet_100 ese_vovnet19b_dw cspresnet50 selecsls42b mobileone_s0 fastvit_t8 repghostnet_050
    ghostnetv2_100 efficientvit_b0 efficientvit_m0 efficientformer_l1 edgenext_xx_small mobilevitv2_050
    convnextv2_atto deit_tiny_patch16_224 cait_xxs24_224 crossvit_tiny_240 visformer_tiny twins_svt_small pit_ti_224
    mixer_s32_224 resmlp_12_224 tiny_vit_5m_224 repvit_m0_9 bat_resnext26ts starnet_s1 hgnetv2_b0
""".split()

_PIXELS = {"inception_v3": 299, "swin_v2_t": 256, "mobilevit_xxs": 256, "gcresnet33ts": 256, "mobilevitv2_050": 256}
_PIXELS.update(crossvit_tiny_240=240, bat_resnext26ts=256)


def _torchvision(name: str) -> Made:
    from torchvision import models

    options = {}
    if any(part in name for part in ("fcn", "lab", "lraspp")):
        options["weights_backbone"] = None
    if name in ("inception_v3", "googlenet"):
        options["init_weights"] = False
    network: nn.Module = models.get_model(name, weights=None, **options)
    return network, images(_PIXELS.get(name, 224))


def _timm(name: str) -> Made:
    import timm

    network: nn.Module = timm.create_model(name, pretrained=False)
    return network, images(_PIXELS.get(name, 224))


CLASSIFIERS = Family(
    "Classifiers of torchvision and timm",
    {name: partial(_torchvision, name) for name in _TORCHVISION} | {name: partial(_timm, name) for name in _TIMM},
    dict.fromkeys(_TORCHVISION, ("torchvision",)) | dict.fromkeys(_TIMM, ("timm",)),
)
