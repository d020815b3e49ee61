"""Tiny checkpoints of every architecture, random weights, saved the way their authors save them."""

import json
from pathlib import Path

import torch

WORDS = (
    "a an the red blue green lamp chair table wooden old new small big under on with light shade of ##s ##ed un ##known"
)


def bert_tokenizer(folder: Path, max_length: int = 64):
    from transformers import BertTokenizerFast

    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split(), *"abcdefghijklmnopqrstuvwxyz.,"]
    vocab = list(dict.fromkeys(vocab))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocab))
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=max_length)
    tokenizer.save_pretrained(folder)
    return tokenizer


def _special_tokenizer(folder: Path, bos: str, eos: str, pad: str, unk: str, with_bos: bool = True):
    """A word-level tokenizer with begin and end marks, as CLIP, SigLIP and CLAP text towers want them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    # CLIP takes an end of id 2 for one of its early checkpoints, whose end has the highest id of all
    marks = list(dict.fromkeys([bos, pad, unk, eos]))
    vocab = {word: i for i, word in enumerate([*marks, *WORDS.replace("#", "").split()])}
    core = Tokenizer(models.WordLevel(vocab, unk_token=unk))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    single = f"{bos} $A {eos}" if with_bos else f"$A {eos}"
    specials = [(bos, vocab[bos]), (eos, vocab[eos])] if with_bos else [(eos, vocab[eos])]
    core.post_processor = processors.TemplateProcessing(single=single, special_tokens=specials)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token=bos, eos_token=eos, pad_token=pad, unk_token=unk, model_max_length=16
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}


def bert(folder: Path):
    from transformers import BertConfig, BertModel

    tokenizer = bert_tokenizer(folder)
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=24, **SMALL)).save_pretrained(folder)


def distilbert(folder: Path):
    from transformers import DistilBertConfig, DistilBertModel

    tokenizer = bert_tokenizer(folder)
    torch.manual_seed(7)
    sizes = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}
    config = DistilBertConfig(vocab_size=len(tokenizer), max_position_embeddings=24, **sizes)
    DistilBertModel(config).save_pretrained(folder)


def mpnet(folder: Path):
    from transformers import MPNetConfig, MPNetModel

    tokenizer = bert_tokenizer(folder)
    torch.manual_seed(8)
    config = MPNetConfig(
        vocab_size=len(tokenizer), max_position_embeddings=32, pad_token_id=tokenizer.pad_token_id,
        **SMALL,
    )  # fmt: skip
    MPNetModel(config).save_pretrained(folder)


def roberta(folder: Path):
    from transformers import RobertaConfig, RobertaModel

    tokenizer = bert_tokenizer(folder)
    torch.manual_seed(11)
    more = {"max_position_embeddings": 24, "pad_token_id": tokenizer.pad_token_id}
    RobertaModel(RobertaConfig(vocab_size=len(tokenizer), **more, **SMALL)).save_pretrained(folder)


def electra(folder: Path):
    from transformers import ElectraConfig, ElectraModel

    tokenizer = bert_tokenizer(folder)
    torch.manual_seed(12)
    more = {"max_position_embeddings": 24, "embedding_size": 16}
    ElectraModel(ElectraConfig(vocab_size=len(tokenizer), **more, **SMALL)).save_pretrained(folder)


def albert(folder: Path):
    from transformers import AlbertConfig, AlbertModel

    tokenizer = bert_tokenizer(folder)
    torch.manual_seed(9)
    AlbertModel(AlbertConfig(vocab_size=len(tokenizer), embedding_size=16, **SMALL)).save_pretrained(folder)


def clip(folder: Path):
    from transformers import CLIPConfig, CLIPModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    tokenizer = _special_tokenizer(folder, "<|start|>", "<|end|>", "<pad>", "<unk>")
    torch.manual_seed(1)
    text = dict(
        SMALL, vocab_size=len(tokenizer), max_position_embeddings=12, projection_dim=20,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    config = CLIPConfig(
        text_config=text, vision_config=dict(SMALL, image_size=32, patch_size=8, projection_dim=20), projection_dim=20
    )
    CLIPModel(config).save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)


def siglip(folder: Path):
    from transformers import SiglipConfig, SiglipModel
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    tokenizer = _special_tokenizer(folder, "<s>", "</s>", "<pad>", "<unk>", with_bos=False)
    torch.manual_seed(2)
    text = dict(SMALL, vocab_size=len(tokenizer), max_position_embeddings=10, projection_size=32)
    config = SiglipConfig(text_config=text, vision_config=dict(SMALL, image_size=32, patch_size=8))
    SiglipModel(config).save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)


def vit(folder: Path):
    from transformers import ViTConfig, ViTModel
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    torch.manual_seed(3)
    ViTModel(ViTConfig(image_size=32, patch_size=8, **SMALL)).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)


def dinov2(folder: Path):
    from transformers import Dinov2Config, Dinov2Model
    from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil

    torch.manual_seed(4)
    sizes = {key: value for key, value in SMALL.items() if key != "intermediate_size"}
    Dinov2Model(Dinov2Config(image_size=28, patch_size=7, mlp_ratio=2, **sizes)).save_pretrained(folder)
    BitImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 28, "width": 28}).save_pretrained(folder)


def clap(folder: Path, fusion: bool = False):
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    tokenizer = _special_tokenizer(folder, "<s>", "</s>", "<pad>", "<unk>")
    torch.manual_seed(5)
    text = dict(
        SMALL, vocab_size=len(tokenizer), max_position_embeddings=14, projection_dim=24,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    audio = {
        "patch_embeds_hidden_size": 16, "hidden_size": 32, "depths": [1, 1], "num_attention_heads": [2, 2],
        "spec_size": 64, "num_mel_bins": 16, "window_size": 4, "patch_size": 4, "patch_stride": [4, 4],
        "projection_dim": 24, "enable_fusion": fusion, "num_hidden_layers": 2,
    }  # fmt: skip
    config = ClapConfig(text_config=text, audio_config=audio, projection_dim=24)
    ClapModel(config).save_pretrained(folder)
    ClapFeatureExtractor(
        feature_size=16, sampling_rate=8000, hop_length=64, max_length_s=2, fft_window_size=256, frequency_max=4000,
        truncation="fusion" if fusion else "rand_trunc",
    ).save_pretrained(folder)  # fmt: skip


def wav2vec2(folder: Path, norm: str = "group"):
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    torch.manual_seed(6)
    config = Wav2Vec2Config(
        conv_dim=(16, 16), conv_kernel=(10, 4), conv_stride=(5, 4), num_feat_extract_layers=2, feat_extract_norm=norm,
        num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, do_stable_layer_norm=norm == "layer", **SMALL,
    )  # fmt: skip
    Wav2Vec2Model(config).save_pretrained(folder)
    extractor = Wav2Vec2FeatureExtractor(sampling_rate=8000, do_normalize=True, return_attention_mask=norm == "layer")
    extractor.save_pretrained(folder)


def hubert(folder: Path):
    from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

    torch.manual_seed(10)
    config = HubertConfig(
        conv_dim=(16, 16), conv_kernel=(10, 4), conv_stride=(5, 4), num_feat_extract_layers=2,
        num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, **SMALL,
    )  # fmt: skip
    HubertModel(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(sampling_rate=8000, do_normalize=True).save_pretrained(folder)


def lacks_a_weight(folder: Path) -> str:
    """Drop one tensor from a saved checkpoint; its name."""
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    tensors = load_file(file)
    name = next(key for key in tensors if "attention" in key and key.endswith("weight"))
    del tensors[name]
    save_file(tensors, file, metadata={"format": "pt"})
    return name


def config_of(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text())
