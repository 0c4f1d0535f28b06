"""Decoders of Hugging Face transformers with default configurations: pruned without a cache, generate with one."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import edgeprune as ep
from edgeprune.export.onnx_export import export
from tests.zoo.networks import declare_operators

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not importlib.util.find_spec("transformers"), reason="no transformers: see scripts/install"),
    pytest.mark.filterwarnings("ignore"),  # theirs
]
_TOKENS: dict[str, Any] = {"vocab_size": 200, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def llama() -> tuple[nn.Module, dict[str, Any]]:
    from transformers import LlamaConfig, LlamaForCausalLM

    heads = {"num_attention_heads": 8, "num_key_value_heads": 4}
    config = LlamaConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=2, **heads, **_TOKENS)
    return LlamaForCausalLM(config), {"input_ids": _tokens(12)}


def gpt2() -> tuple[nn.Module, dict[str, Any]]:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(n_embd=64, n_layer=2, n_head=4, **_TOKENS)), {"input_ids": _tokens(12)}


def t5() -> tuple[nn.Module, dict[str, Any]]:
    from transformers import T5Config, T5ForConditionalGeneration

    tokens = {**_TOKENS, "decoder_start_token_id": 1}
    config = T5Config(d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4, **tokens)
    return T5ForConditionalGeneration(config), {"input_ids": _tokens(12), "decoder_input_ids": _tokens(7)}


def whisper() -> tuple[nn.Module, dict[str, Any]]:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    sizes = {f"{part}_{name}": size for part in ("encoder", "decoder") for name, size in _WHISPER.items()}
    tokens = {**_TOKENS, "decoder_start_token_id": 1, "begin_suppress_tokens": None}
    config = WhisperConfig(num_mel_bins=16, d_model=64, max_source_positions=50, **sizes, **tokens)
    features = torch.randn(2, 16, 100)
    return WhisperForConditionalGeneration(config), {"input_features": features, "decoder_input_ids": _tokens(7)}


_WHISPER = {"layers": 2, "attention_heads": 4, "ffn_dim": 128}


def _tokens(length: int) -> torch.Tensor:
    return torch.randint(3, 200, (2, length))


@pytest.mark.parametrize("make", [llama, gpt2, t5, whisper])
def test_decoder_is_pruned_trained_exported_and_generates(
    make: Callable[[], tuple[nn.Module, dict[str, Any]]], tmp_path: Path
) -> None:
    declare_operators()
    torch.manual_seed(0)
    network: Any
    network, example = make()
    pruned = ep.prune(network.eval(), example, budget={"macs": 0.3}, options={"attention": "heads"})
    model: Any = pruned.model
    assert pruned.form == "module"
    assert pruned.equivalence is not None
    assert network.config.use_cache
    assert model.config.use_cache

    source = {name: value for name, value in example.items() if not name.startswith("decoder")}
    options = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False}
    cached, recomputed = (model.generate(**source, **options, use_cache=use) for use in (True, False))
    assert torch.equal(cached, recomputed)

    exported = export(model, example, tmp_path / "decoder.onnx")
    assert exported.input_names == tuple(example)

    model.train()
    model(**example, labels=example.get("decoder_input_ids", example.get("input_ids"))).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)


def test_heads_of_a_group_share_their_keys_and_values_after_pruning() -> None:
    declare_operators()
    torch.manual_seed(0)
    network, example = llama()
    options = {"attention": "heads", "exclude": ["model.embed_tokens", "model.layers.*.mlp.gate_proj"]}
    model: Any = ep.prune(network.eval(), example, budget={"macs": 0.9}, options=options).model
    shapes = [
        (layer.self_attn.q_proj.out_features // 8, layer.self_attn.k_proj.out_features // 8)
        for layer in model.model.layers
    ]
    assert all(queries == 2 * keys for queries, keys in shapes)
    assert any(keys < 4 for _, keys in shapes)
