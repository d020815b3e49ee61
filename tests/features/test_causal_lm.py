"""Text by the hidden states of causal language models."""

import numpy as np
import pytest
import torch
from hf_tiny import SMALL, _special_tokenizer

from palate.core.errors import ConfigError, FeatureError
from palate.features.encoders.causal_lm import CausalLM
from palate.features.encoders.make import make_encoder

TEXTS = ["a red lamp", "blue", None, "the old wooden table on a lamp with light shade"]


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """A tiny Llama with random weights, and a tokenizer without a padding token."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("llama")
    tokenizer = _special_tokenizer(folder, "<s>", "</s>", "</s>", "<unk>", with_bos=False)
    torch.manual_seed(0)
    sizes = {**SMALL, "num_key_value_heads": 2, "max_position_embeddings": 64}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)
    return folder


def test_vectors_are_means_of_hidden_states_whatever_is_in_the_batch(llama):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    encoder = make_encoder(f"causal_lm:{llama}?normalize=false", "text")
    found = encoder.encode(TEXTS)
    assert encoder.dim == 32 and found.present.tolist() == [True, True, False, True]
    tokenizer, model = AutoTokenizer.from_pretrained(llama), AutoModelForCausalLM.from_pretrained(llama)
    for row in (0, 1, 3):
        ids = tokenizer(TEXTS[row], return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            states = model(ids, output_hidden_states=True).hidden_states[-1][0]
        np.testing.assert_allclose(found.values[row], states.mean(0).numpy(), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(encoder.encode([TEXTS[row]]).values[0], found.values[row], rtol=1e-4, atol=1e-5)


def test_earlier_layers_and_unit_length(llama):
    last, first = CausalLM(str(llama)), CausalLM(str(llama), layer=1)
    a, b = last.encode(TEXTS[:1]).values, first.encode(TEXTS[:1]).values
    assert np.linalg.norm(a) == pytest.approx(1, abs=1e-5) and not np.allclose(a, b)
    assert last.identity != first.identity and not last.trainable
    with pytest.raises(ConfigError, match="0 to 2"):
        CausalLM(str(llama), layer=3)


def test_other_checkpoints_are_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(FeatureError, match="bert"):
        CausalLM(str(tmp_path))
