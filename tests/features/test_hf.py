import io
import sys

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("transformers")

import hf_tiny

from palate.core.errors import ConfigError, FeatureError, PalateError, UnsupportedError
from palate.core.tuning import parse_tuning
from palate.features.encoders.make import make_encoder
from palate.features.saved import load_encoder, save_encoder

TEXTS = [
    "a red lamp",
    "the old wooden chair with a small blue light on the table under the big green shade of the new lamp " * 3,
    "lamp",
    "unknown words zzz qqq, a table.",
    "the new table with light",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("tiny")
    texts = ("bert", "roberta", "electra", "distilbert", "mpnet", "albert")
    for name in (*texts, "clip", "siglip", "vit", "dinov2", "clap", "wav2vec2", "hubert"):
        getattr(hf_tiny, name)(root / name)
    hf_tiny.wav2vec2(root / "wav2vec2-layer", "layer")
    hf_tiny.clap(root / "clap-fusion", fusion=True)
    return root


@pytest.fixture(scope="module")
def pictures():
    draw = np.random.default_rng(0)
    sizes = ((40, 60), (64, 33), (32, 32), (90, 41), (35, 70))
    return [Image.fromarray(draw.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]


@pytest.fixture(scope="module")
def picture_bytes(pictures):
    out = []
    for picture in pictures:
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        out.append(buffer.getvalue())
    return out


def waves(seconds=(0.5, 1.3, 0.5, 0.9, 3.7), rate=8000):
    draw = np.random.default_rng(1)
    tones = zip(seconds, (3, 5, 7, 9, 11), strict=True)
    clips = [0.3 * np.sin(np.arange(int(s * rate)) * f / 40) for s, f in tones]
    return [(clip + draw.normal(0, 0.02, len(clip))).astype(np.float32) for clip in clips]


def wav_bytes(samples, rate=8000):
    soundfile = pytest.importorskip("soundfile")
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def direct(folder, kind, **more):
    import transformers

    return getattr(transformers, kind).from_pretrained(folder, **more).eval()


def text_inputs(folder, length, padding=True):
    tokenizer = direct_tokenizer(folder)
    return tokenizer(TEXTS, padding=padding, truncation=True, max_length=length, return_tensors="pt")


def direct_tokenizer(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def test_bert_mean_and_first_token_and_tokens(made):
    inputs = text_inputs(made / "bert", 24)
    assert int(inputs["attention_mask"].sum(1).min()) < 24 == inputs["input_ids"].shape[1]
    with torch.no_grad():
        states = direct(made / "bert", "AutoModel")(**inputs).last_hidden_state
    mask = inputs["attention_mask"].bool()
    mean = np.stack([row[keep].mean(0).numpy() for row, keep in zip(states, mask, strict=True)])
    for batch in (1, 2, 32):
        ours = make_encoder(f"hf:{made}/bert?batch={batch}", "text").encode([*TEXTS, None])
        np.testing.assert_allclose(ours.values[:5], mean, atol=1e-5)
        assert ours.present.tolist() == [True] * 5 + [False] and not ours.values[5].any()
    first = make_encoder(f"hf:{made}/bert?pooling=cls", "text").encode(TEXTS)
    np.testing.assert_allclose(first.values, states[:, 0].numpy(), atol=1e-5)
    tokens = make_encoder(f"hf:{made}/bert?output=tokens", "text").encode([TEXTS[0], None, TEXTS[1]])
    assert tokens.lengths.tolist() == [5, 0, 24] and tokens.kind == "tokens"
    np.testing.assert_allclose(tokens.values, np.concatenate([states[0][:5].numpy(), states[1].numpy()]), atol=1e-5)
    unit = make_encoder(f"hf:{made}/bert?normalize=true", "text").encode(TEXTS)
    np.testing.assert_allclose(unit.values, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-5)


def test_clip_text_is_the_projected_embedding(made):
    with torch.no_grad():
        expected = direct(made / "clip", "CLIPTextModelWithProjection")(**text_inputs(made / "clip", 12)).text_embeds
    encoder = make_encoder(f"hf:{made}/clip", "text")
    ours = encoder.encode(TEXTS)
    assert encoder.dim == ours.dim == 20
    np.testing.assert_allclose(ours.values, expected.numpy(), atol=1e-5)


def test_siglip_text_is_padded_to_full_length(made):
    inputs = text_inputs(made / "siglip", 10, "max_length")
    with torch.no_grad():
        expected = direct(made / "siglip", "SiglipModel").get_text_features(input_ids=inputs["input_ids"]).pooler_output
    for batch in (1, 4):
        encoder = make_encoder(f"hf:{made}/siglip?batch={batch}", "text")
        np.testing.assert_allclose(encoder.encode(TEXTS).values, expected.numpy(), atol=1e-5)
    assert encoder.dim == expected.shape[1]


def test_clap_text(made):
    with torch.no_grad():
        expected = direct(made / "clap", "ClapTextModelWithProjection")(**text_inputs(made / "clap", 9)).text_embeds
    ours = make_encoder(f"hf:{made}/clap?max_length=9", "text").encode(TEXTS)
    np.testing.assert_allclose(ours.values, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("name", ["clip", "siglip", "vit", "dinov2"])
def test_pictures(made, pictures, picture_bytes, name):
    from transformers import AutoImageProcessor

    processor = AutoImageProcessor.from_pretrained(made / name, backend="pil")
    pixels = processor(images=pictures, return_tensors="pt")["pixel_values"]
    kind = {"clip": "CLIPModel", "siglip": "SiglipModel"}.get(name, "AutoModel")
    with torch.no_grad():
        model = direct(made / name, kind)
        if name in ("clip", "siglip"):
            expected = model.get_image_features(pixel_values=pixels).pooler_output
            states = model.vision_model(pixel_values=pixels).last_hidden_state
        else:
            states = model(pixel_values=pixels).last_hidden_state
            expected = states[:, 0]
    for batch in (1, 2, 32):
        encoder = make_encoder(f"hf:{made}/{name}?batch={batch}", "image")
        ours = encoder.encode([picture_bytes[0], None, *picture_bytes[1:]])
        np.testing.assert_allclose(ours.values[[0, 2, 3, 4, 5]], expected.numpy(), atol=1e-5)
        assert not ours.present[1] and encoder.dim == expected.shape[1]
    tokens = make_encoder(f"hf:{made}/{name}?output=tokens", "image").encode(picture_bytes[:2])
    assert tokens.lengths.tolist() == [states.shape[1]] * 2
    np.testing.assert_allclose(tokens.values, states[:2].flatten(0, 1).numpy(), atol=1e-5)


def test_clap_audio(made):
    extractor = direct_extractor(made / "clap")
    clips = [clip[:16000] for clip in waves()]
    inputs = extractor(clips, sampling_rate=8000, return_tensors="pt")
    with torch.no_grad():
        expected = direct(made / "clap", "ClapAudioModelWithProjection")(**inputs).audio_embeds.numpy()
    for batch in (1, 3):
        encoder = make_encoder(f"hf:{made}/clap?batch={batch}", "audio")
        ours = encoder.encode([wav_bytes(clip) for clip in waves()])
        np.testing.assert_allclose(ours.values, expected, atol=1e-5)
    assert encoder.dim == 24


def test_clap_fusion_never_depends_on_chance_or_batch(made):
    clips = [wav_bytes(clip) for clip in waves()]
    encoder = make_encoder(f"hf:{made}/clap-fusion", "audio")
    np.random.seed(0)  # noqa: NPY002 - the library draws from the global state, which must not matter
    first = encoder.encode(clips).values
    np.random.seed(7)  # noqa: NPY002
    alone = np.concatenate([encoder.encode([clip]).values for clip in clips])
    np.testing.assert_allclose(first, alone, atol=1e-6)


def direct_extractor(folder):
    from transformers import AutoFeatureExtractor

    return AutoFeatureExtractor.from_pretrained(folder)


def test_wav2vec2_without_mask_and_padded_with_mask(made):
    clips = waves()
    extractor = direct_extractor(made / "wav2vec2")
    model = direct(made / "wav2vec2", "AutoModel")
    with torch.no_grad():
        each = [
            model(**extractor(clip, sampling_rate=8000, return_tensors="pt")).last_hidden_state[0] for clip in clips
        ]
    ours = make_encoder(f"hf:{made}/wav2vec2?batch=4", "audio").encode([wav_bytes(clip) for clip in clips])
    np.testing.assert_allclose(ours.values, torch.stack([one.mean(0) for one in each]).numpy(), atol=1e-5)
    tokens = make_encoder(f"hf:{made}/wav2vec2?output=tokens", "audio").encode([wav_bytes(clip) for clip in clips])
    assert tokens.lengths.tolist() == [len(one) for one in each]
    np.testing.assert_allclose(tokens.values, torch.cat(each).numpy(), atol=1e-5)
    # The layer-norm variant is trained with padding and a mask: one padded batch by the library itself.
    extractor, model = direct_extractor(made / "wav2vec2-layer"), direct(made / "wav2vec2-layer", "AutoModel")
    inputs = extractor(clips, sampling_rate=8000, return_tensors="pt", padding=True)
    with torch.no_grad():
        states = model(**inputs).last_hidden_state
    mask = model._get_feature_vector_attention_mask(states.shape[1], inputs["attention_mask"])
    expected = np.stack([row[keep].mean(0).numpy() for row, keep in zip(states, mask, strict=True)])
    ours = make_encoder(f"hf:{made}/wav2vec2-layer", "audio").encode([wav_bytes(clip) for clip in clips])
    np.testing.assert_allclose(ours.values, expected, atol=1e-5)


def test_audio_is_truncated_and_short_clips_survive(made):
    long = waves()[4]
    encoder = make_encoder(f"hf:{made}/wav2vec2?seconds=1", "audio")
    ours = encoder.encode([wav_bytes(long), wav_bytes(long[:8000]), wav_bytes(long[:3])])
    np.testing.assert_array_equal(ours.values[0], ours.values[1])
    assert ours.present.all()


def test_video_is_the_mean_of_its_frames(made, tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 48
        for i in range(7):
            picture = np.full((48, 48, 3), 30 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    encoder = make_encoder(f"hf:{made}/vit?frames=4", "video")
    tokens = make_encoder(f"hf:{made}/vit?frames=4&output=tokens", "video").encode([path, None, path.read_bytes()])
    pooled = encoder.encode([path, path.read_bytes()])
    assert tokens.lengths.tolist() == [4, 0, 4]
    np.testing.assert_allclose(pooled.values[0], tokens.values[:4].mean(0), atol=1e-6)
    np.testing.assert_allclose(pooled.values[0], pooled.values[1], atol=1e-6)
    assert np.ptp(tokens.values[:4], axis=0).max() > 0.01


def test_saved_checkpoint_moves(made, tmp_path):
    encoder = make_encoder(f"hf:{made}/bert?max_length=9", "text")
    save_encoder(tmp_path / "kept", encoder)
    (tmp_path / "kept").rename(tmp_path / "moved")
    again = load_encoder(tmp_path / "moved")
    assert again.identity == encoder.identity
    assert again.source.startswith(str(tmp_path / "moved"))
    np.testing.assert_array_equal(again.encode(TEXTS).values, encoder.encode(TEXTS).values)


def test_identity_follows_weights_not_place(made, tmp_path):
    hf_tiny.bert(tmp_path / "b")
    one, two = make_encoder(f"hf:{made}/bert", "text"), make_encoder(f"hf:{tmp_path}/b", "text")
    assert one.identity == two.identity
    assert make_encoder(f"hf:{made}/bert?max_length=8", "text").identity != one.identity
    (tmp_path / "b" / "vocab.txt").write_text("changed")
    assert make_encoder(f"hf:{tmp_path}/b", "text").identity != one.identity


def test_refusals(made, tmp_path):
    with pytest.raises(FeatureError, match="vit has no text tower"):
        make_encoder(f"hf:{made}/vit", "text")
    with pytest.raises(ConfigError, match="did you mean pooling"):
        make_encoder(f"hf:{made}/bert?poling=cls", "text")
    with pytest.raises(ConfigError, match="int expected"):
        make_encoder(f"hf:{made}/bert?max_length=many", "text")
    with pytest.raises(ConfigError, match="pooled or tokens"):
        make_encoder(f"hf:{made}/bert?output=maps", "text")
    with pytest.raises(ConfigError, match="path or hub id"):
        make_encoder("hf", "text")
    with pytest.raises(PalateError, match="no such checkpoint"):
        make_encoder("hf:./not there", "text")
    hf_tiny.bert(tmp_path / "b")
    lost = hf_tiny.lacks_a_weight(tmp_path / "b")
    with pytest.raises(FeatureError, match=lost):
        make_encoder(f"hf:{tmp_path}/b", "text").encode(TEXTS)
    (tmp_path / "b" / "model.safetensors").unlink()
    (tmp_path / "b" / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(FeatureError, match="safetensors"):
        make_encoder(f"hf:{tmp_path}/b", "text")


def test_torchvision_is_absent(made, picture_bytes):
    from importlib.metadata import distributions

    make_encoder(f"hf:{made}/clip", "image").encode(picture_bytes[:1])
    assert "torchvision" not in sys.modules
    assert "torchvision" not in {(found.metadata["Name"] or "").lower() for found in distributions()}


STAGED = [
    *(
        ("text", spec)
        for spec in ("bert", "bert?pooling=cls", "bert?normalize=true", "distilbert", "mpnet?max_length=24")
    ),
    *(("text", spec) for spec in ("roberta", "electra", "clip", "siglip", "clap?max_length=9")),
    *(("image", spec) for spec in ("vit", "dinov2", "clip", "siglip?normalize=true")),
    *(("audio", spec) for spec in ("wav2vec2?seconds=2", "wav2vec2-layer?seconds=2", "hubert?seconds=2")),
    *(("audio", spec) for spec in ("clap", "clap-fusion")),
]


@pytest.mark.parametrize(("modality", "spec"), STAGED)
def test_a_checkpoint_in_stages_gives_its_own_vectors(made, picture_bytes, modality, spec):
    raws = {"text": TEXTS, "image": picture_bytes, "audio": [wav_bytes(clip) for clip in waves()]}[modality]
    encoder = make_encoder(f"hf:{made}/{spec}", modality)
    assert encoder.trainable
    wanted = encoder.encode(raws).values
    inputs = torch.from_numpy(encoder.preprocessor.encode(raws).values)
    for plan in ("full", "partial:1", "frozen", "lora:2", "adapter:4"):
        network = encoder.network().prepare(parse_tuning(plan), tuple(inputs.shape[1:])).eval()
        with torch.no_grad():
            state = (inputs, None) if network.split is None else network.lower(inputs)
            np.testing.assert_allclose(network(state).numpy(), wanted, atol=2e-5)
    network = encoder.network()
    if not network.tower.accepts_prefix:
        with pytest.raises(ConfigError, match="learnt positions"):
            network.prepare(parse_tuning("prompt:2"), tuple(inputs.shape[1:]))
        return
    prompted = network.prepare(parse_tuning("prompt:2"), tuple(inputs.shape[1:])).eval()
    with torch.no_grad():
        vectors, tokens = prompted((inputs, None)), prompted.tokens((inputs, None))[0]
    assert vectors.shape == wanted.shape and np.abs(vectors.numpy() - wanted).max() > 1e-5
    assert tokens.shape[1] == network.stages.embed(inputs)[0].shape[1]


def test_low_rank_updates_are_all_that_is_trained_and_find_every_linear_map_of_the_layers(made, picture_bytes):
    for modality, name in (("image", "dinov2"), ("audio", "clap"), ("audio", "wav2vec2"), ("text", "clip")):
        network = make_encoder(f"hf:{made}/{name}", modality).network()
        maps = sum(isinstance(m, torch.nn.Linear) for block in network.stages.blocks() for m in block.modules())
        reader = make_encoder(f"hf:{made}/{name}", modality).preprocessor
        raw = {"text": TEXTS, "image": picture_bytes, "audio": [wav_bytes(waves()[0])]}[modality][:1]
        network.prepare(parse_tuning("lora:2"), reader.encode(raw).values.shape[1:])
        moved = {key for key, parameter in network.named_parameters() if parameter.requires_grad}
        assert len(moved) == 2 * maps > 0 and all(key.endswith((".up", ".down")) for key in moved)


def test_a_checkpoint_that_cannot_stop_between_blocks_says_so(made):
    albert, tokens = make_encoder(f"hf:{made}/albert", "text"), make_encoder(f"hf:{made}/vit?output=tokens", "image")
    for encoder, match, hint in ((albert, "albert", "bert, roberta"), (tokens, "tokens", "pooled")):
        assert not encoder.trainable
        for ask in (lambda encoder=encoder: encoder.preprocessor, encoder.network):
            with pytest.raises(UnsupportedError, match=match) as caught:
                ask()
            assert hint in caught.value.hint
