"""Transformers of Hugging Face, made from small configurations with random weights; decoders without a cache."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tests.zoo.zoo_family import Family, Made

_TEXT = {
    "vocab_size": 101,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 64,
}
_IMAGE = {
    "image_size": 64,
    "patch_size": 16,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
}


def _tokens(length: int = 12, vocabulary: int = 101) -> Tensor:
    return torch.randint(0, vocabulary, (1, length))


def _pixels(size: int = 64) -> dict[str, Tensor]:
    return {"pixel_values": torch.randn(1, 3, size, size)}


def _bert() -> Made:
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(BertConfig(**_TEXT, num_labels=3)), _text()


def _text() -> dict[str, Tensor]:
    tokens = _tokens()
    return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}


def _distilbert() -> Made:
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    config = DistilBertConfig(
        vocab_size=101, dim=64, n_layers=2, n_heads=4, hidden_dim=128, max_position_embeddings=64, num_labels=3
    )
    return DistilBertForSequenceClassification(config), _text()


def _vit() -> Made:
    from transformers import ViTConfig, ViTForImageClassification

    return ViTForImageClassification(ViTConfig(**_IMAGE, num_labels=5)), _pixels()


def _deit() -> Made:
    from transformers import DeiTConfig, DeiTForImageClassificationWithTeacher

    return DeiTForImageClassificationWithTeacher(DeiTConfig(**_IMAGE, num_labels=5)), _pixels()


def _swin() -> Made:
    from transformers import SwinConfig, SwinForImageClassification

    config = SwinConfig(
        image_size=64, patch_size=4, embed_dim=32, depths=[2, 2], num_heads=[2, 4], window_size=4, num_labels=5
    )
    return SwinForImageClassification(config), _pixels()


def _segformer() -> Made:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    config = SegformerConfig(
        depths=[1, 1, 1, 1], hidden_sizes=[16, 32, 48, 64], num_attention_heads=[1, 2, 3, 4], decoder_hidden_size=64
    )
    return SegformerForSemanticSegmentation(config), _pixels()


def _mobilevit() -> Made:
    from transformers import MobileViTConfig, MobileViTForImageClassification

    config = MobileViTConfig(
        image_size=64, hidden_sizes=[48, 64, 80], neck_hidden_sizes=[8, 16, 24, 32, 48, 64, 128], num_labels=5
    )
    return MobileViTForImageClassification(config), _pixels()


def _convnextv2() -> Made:
    from transformers import ConvNextV2Config, ConvNextV2ForImageClassification

    config = ConvNextV2Config(hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 2, 1], image_size=64, num_labels=5)
    return ConvNextV2ForImageClassification(config), _pixels()


def _dinov2() -> Made:
    from transformers import Dinov2Config, Dinov2ForImageClassification

    config = Dinov2Config(
        image_size=64, patch_size=16, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, mlp_ratio=2
    )
    return Dinov2ForImageClassification(config), _pixels()


def _whisper() -> Made:
    from transformers import WhisperConfig, WhisperModel

    config = WhisperConfig(
        vocab_size=101,
        num_mel_bins=20,
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        max_source_positions=20,
        max_target_positions=20,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        use_cache=False,
    )
    example = {"input_features": torch.randn(1, 20, 40), "decoder_input_ids": _tokens(6)}
    return WhisperModel(config), example


def _wav2vec2() -> Made:
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    config = Wav2Vec2Config(
        vocab_size=20,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        conv_dim=(32, 32, 32),
        conv_stride=(5, 2, 2),
        conv_kernel=(10, 3, 3),
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
    )
    return Wav2Vec2ForCTC(config), {"input_values": torch.randn(1, 1000)}


def _detr() -> Made:
    from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

    backbone = ResNetConfig(
        embedding_size=16,
        hidden_sizes=[16, 32, 48, 64],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage4"],
    )
    config = DetrConfig(
        backbone_config=backbone,
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        num_queries=10,
        d_model=64,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        num_labels=5,
    )
    return DetrForObjectDetection(config), _pixels()


def _clip_vision() -> Made:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    return CLIPVisionModelWithProjection(CLIPVisionConfig(**_IMAGE, projection_dim=32)), _pixels()


def _llama() -> Made:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(**_TEXT, num_key_value_heads=2, use_cache=False)
    return LlamaForCausalLM(config), {"input_ids": _tokens()}


def _t5() -> Made:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=101,
        d_model=64,
        d_kv=16,
        d_ff=128,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
        use_cache=False,
    )
    return T5ForConditionalGeneration(config), {"input_ids": _tokens(), "decoder_input_ids": _tokens(6)}


def _gpt2() -> Made:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=101, n_positions=64, n_embd=64, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0, use_cache=False
    )
    return GPT2LMHeadModel(config), {"input_ids": _tokens()}


_MAKERS: dict[str, Callable[[], Made]] = {
    "hf-bert": _bert,
    "hf-distilbert": _distilbert,
    "hf-vit": _vit,
    "hf-deit": _deit,
    "hf-swin": _swin,
    "hf-segformer": _segformer,
    "hf-mobilevit": _mobilevit,
    "hf-convnextv2": _convnextv2,
    "hf-dinov2": _dinov2,
    "hf-whisper": _whisper,
    "hf-wav2vec2": _wav2vec2,
    "hf-detr": _detr,
    "hf-clip-vision": _clip_vision,
    "hf-llama": _llama,
    "hf-t5": _t5,
    "hf-gpt2": _gpt2,
}
TRANSFORMERS = Family("Transformers of Hugging Face", _MAKERS, dict.fromkeys(_MAKERS, ("torchvision", "transformers")))
