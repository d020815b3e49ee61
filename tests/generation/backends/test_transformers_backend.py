"""Local models: what they answer, and that nothing but the prompt and the seed decides it."""

import io
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from palate.contracts import Constraint, Prompt, Sampling, ScoringBackend, TextBackend
from palate.core.errors import ConfigError, FeatureError, UnsupportedError
from palate.generation.registries import text_backend

KINDS = ["llama", "gpt2", "t5", "llava"]
PROMPTS = [
    Prompt("Write a headline.", {"item": "a lamp"}),
    Prompt("Write a headline.", {"item": "Blade Runner, a long film about robots"}, examples=[({"item": "a"}, "b")]),
    Prompt("Write a title.", {"item": "the red wool scarf"}),
]
FREE = Sampling(8, temperature=1.0, top_p=0.95)


def _picture(color):
    data = io.BytesIO()
    Image.new("RGB", (40, 30), color).save(data, "PNG")
    return data.getvalue()


@pytest.fixture(scope="module")
def backends(folders):
    made = {}

    def backend(name):
        if name not in made:
            made[name] = text_backend(f"transformers:{folders(name)}")
        return made[name]

    return backend


@pytest.mark.parametrize("kind", KINDS)
def test_each_prompt_has_one_answer_whatever_is_asked_with_it(backends, kind):
    backend = backends(kind)
    assert isinstance(backend, TextBackend) and isinstance(backend, ScoringBackend)
    together = backend.complete(PROMPTS, FREE, seed=3)
    assert [answer.text for answer in backend.complete(PROMPTS, FREE, seed=3)] == [answer.text for answer in together]
    alone = [backend.complete([prompt], FREE, seed=3)[0] for prompt in reversed(PROMPTS)]
    assert [answer.text for answer in reversed(alone)] == [answer.text for answer in together]
    assert [answer.text for answer in backend.complete(PROMPTS, FREE, seed=4)] != [answer.text for answer in together]
    assert all(answer.tokens_out <= 8 and answer.tokens_in > 10 for answer in together)
    same = backend.complete([PROMPTS[0]] * 4, FREE, seed=3)
    assert len({answer.text for answer in same}) > 1


@pytest.mark.parametrize("kind", ["llama", "gpt2", "llava"])
def test_log_probability_is_that_of_the_answer_after_its_prompt(backends, kind):
    backend = backends(kind)
    # one letter is one token here, so that answers are read as they were written
    sampling = Sampling(6, temperature=1.0, constraint=Constraint(regex=r"[,.:]{4,6}"))
    answers = backend.complete(PROMPTS, sampling, seed=1)
    scores = backend.log_likelihood(PROMPTS, [answer.text for answer in answers])
    np.testing.assert_allclose([answer.log_probability for answer in answers], scores, atol=1e-3)


def test_log_likelihood_is_that_of_the_plain_model(backends):
    backend = backends("gpt2")
    answers = ["a quiet film", "lamp", "the red wool scarf is warm"]
    expected = []
    for prompt, answer in zip(PROMPTS, answers):
        start = backend.local.tokenizer(backend.layout.text(prompt))["input_ids"]
        end = backend.local.tokenizer(answer)["input_ids"]
        with torch.inference_mode():
            logits = backend.local.model(torch.tensor([start + end])).logits[0].log_softmax(-1)
        expected.append(sum(float(logits[len(start) - 1 + place, token]) for place, token in enumerate(end)))
    np.testing.assert_allclose(backend.log_likelihood(PROMPTS, answers), expected, rtol=1e-4)
    assert backend.log_likelihood(PROMPTS[:1], [""]) == [0.0]


def test_log_likelihood_of_an_encoder_and_decoder_is_that_of_the_library(backends):
    backend = backends("t5")
    answers, expected = ["a quiet film", "lamp", "the red wool scarf is warm"], []
    for prompt, answer in zip(PROMPTS, answers):
        asked = backend.local.tokenizer(backend.layout.text(prompt), return_tensors="pt")["input_ids"]
        labels = backend.local.tokenizer(answer, return_tensors="pt", add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            expected.append(-float(backend.local.model(asked, labels=labels).loss) * labels.shape[1])
    np.testing.assert_allclose(backend.log_likelihood(PROMPTS, answers), expected, rtol=1e-4)


def test_greedy_answers_are_those_of_the_library(backends):
    for kind in ("llama", "t5"):
        backend = backends(kind)
        answers = backend.complete(PROMPTS, Sampling(8), seed=0)
        for prompt, answer in zip(PROMPTS, answers):
            ids = backend.local.tokenizer(backend.layout.text(prompt), return_tensors="pt")["input_ids"]
            out = backend.local.model.generate(ids, do_sample=False, max_new_tokens=8)[0]
            new = out[1:] if kind == "t5" else out[ids.shape[1] :]
            text = backend.local.tokenizer.decode(new, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            assert answer.text == text.rstrip("�").strip()


def test_stop_texts_end_an_answer_and_are_not_part_of_it(backends):
    backend = backends("llama")
    (whole,) = backend.complete(PROMPTS[:1], Sampling(12, temperature=1.0), seed=2)
    stop = whole.text[3:5]
    (cut,) = backend.complete(PROMPTS[:1], Sampling(12, temperature=1.0, stop=[stop]), seed=2)
    assert cut.text == whole.text[: whole.text.index(stop)].strip() and cut.finished == "stop"
    assert cut.tokens_out < whole.tokens_out


@pytest.mark.parametrize("stop", [[], ["e"]])
def test_pieces_of_a_stream_are_the_answer(backends, stop):
    backend = backends("llama")
    sampling = Sampling(12, temperature=1.0, stop=stop)
    pieces = list(backend.stream(PROMPTS[1], sampling, seed=5))
    assert "".join(pieces).strip() == backend.complete([PROMPTS[1]], sampling, seed=5)[0].text
    assert len(pieces) > 1 or stop
    sampling = Sampling(12, temperature=1.0, constraint=Constraint(choices=["a lamp", "a chair"]))
    (piece,) = backend.stream(PROMPTS[1], sampling, seed=5)
    assert piece in ("a lamp", "a chair")


def test_the_answer_goes_on_from_its_start(backends):
    prompt = Prompt("Write a title.", {"item": "a lamp"}, answer_start="A quiet film")
    for kind in KINDS:
        backend = backends(kind)
        plain = Prompt(prompt.instruction, prompt.data)
        (with_start,) = backend.log_likelihood([prompt], [" about two friends"])
        (whole, start) = backend.log_likelihood([plain] * 2, ["A quiet film about two friends", "A quiet film"])
        if kind != "t5":
            assert np.isclose(with_start, whole - start, atol=1e-3)
        else:
            assert not np.isclose(with_start, backend.log_likelihood([plain], [" about two friends"])[0], atol=1e-3)


def test_a_model_that_sees_reads_the_picture(backends):
    backend = backends("llava")
    asked = [Prompt("What is it?", {"item": "x <image> y"}, images=[_picture(color)]) for color in ("red", "navy")]
    red, navy, again = backend.log_likelihood([*asked, asked[0]], ["a lamp"] * 3)
    assert red == again and not np.isclose(red, navy, atol=1e-4)
    assert all(answer.text for answer in backend.complete(asked, FREE, seed=0))
    with pytest.raises(UnsupportedError, match="reads no pictures"):
        backends("llama").complete(asked, FREE, seed=0)


def test_speculative_decoding_gives_the_same_greedy_answers(folders, backends):
    plain = backends("llama").complete(PROMPTS, Sampling(16), seed=0)
    for draft in ("lookup", folders("llama")):
        backend = text_backend(f"transformers:{folders('llama')}#{draft}")
        answers = backend.complete(PROMPTS, Sampling(16), seed=0)
        assert [answer.text for answer in answers] == [answer.text for answer in plain]
        np.testing.assert_allclose(
            [answer.log_probability for answer in answers], [answer.log_probability for answer in plain], atol=1e-3
        )
    with pytest.raises(UnsupportedError, match="full attention"):
        text_backend(f"transformers:{folders('t5')}#lookup")


def test_settings_out_of_range_and_prompts_too_long_are_refused(backends):
    backend = backends("gpt2")
    for sampling in (Sampling(0), Sampling(temperature=-1), Sampling(top_p=0)):
        with pytest.raises(ConfigError):
            backend.complete(PROMPTS, sampling, seed=0)
    with pytest.raises(UnsupportedError, match="are more than 256"):
        backend.complete([Prompt("Write. " * 200)], FREE, seed=0)
    with pytest.raises(ConfigError, match="2 answers to 3 prompts"):
        backend.log_likelihood(PROMPTS, ["a", "b"])


def test_only_safetensors_in_a_local_folder_are_read(folders, tmp_path):
    with pytest.raises(ConfigError, match="no such folder"):
        text_backend("transformers:HuggingFaceTB/SmolLM2-135M")
    with pytest.raises(ConfigError, match="folder of a model is missing"):
        text_backend("transformers")
    broken = shutil.copytree(folders("gpt2"), tmp_path / "pickled")
    (broken / "model.safetensors").rename(broken / "pytorch_model.bin")
    with pytest.raises(FeatureError, match="safetensors"):
        text_backend(f"transformers:{broken}")


def test_code_that_comes_with_a_checkpoint_is_not_run(folders, tmp_path):
    folder = shutil.copytree(folders("gpt2"), tmp_path / "remote")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_evil.Evil", "AutoConfig": "modeling_evil.Evil"}
    config["model_type"] = "evil"
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling_evil.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w').close()")
    with pytest.raises(FeatureError):
        text_backend(f"transformers:{folder}")
    assert not (tmp_path / "run").exists()


def test_the_version_changes_with_the_weights(folders, backends, tmp_path):
    import tiny_language_models

    other = text_backend(f"transformers:{tiny_language_models.llama(tmp_path / 'llama', seed=9)}")
    assert other.name == backends("llama").name and other.version != backends("llama").version
