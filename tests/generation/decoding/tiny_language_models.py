"""Tiny language models with random weights and real tokenizers, trained here on a few sentences."""

from pathlib import Path

import torch

SENTENCES = [
    "A quiet film about two friends who restore an old lamp in a small town by the sea.",
    "The red wool scarf is warm, soft and made for long winters; it costs 25 dollars.",
    '{"title": "Blade Runner", "year": 1982, "reason": "You liked The Thing."}',
    "Answer: the item suits people who like science fiction, horror and slow stories.",
    "Recommend one of these: a green chair, a blue table, a wooden shelf of books.",
]
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}


def byte_tokenizer(n_tokens: int = 400, chat: bool = True, more: tuple[str, ...] = ()):
    """A byte-level BPE with the marks of ChatML."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *more]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        SENTENCES * 3,
        trainers.BpeTrainer(vocab_size=n_tokens, special_tokens=marks, initial_alphabet=alphabet, show_progress=False),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|endoftext|>", additional_special_tokens=marks[1:2]
    )
    tokenizer.chat_template = CHATML if chat else None
    return tokenizer


def llama(folder: Path, seed: int = 0, n_layers: int = 2, scale: float = 0.4, positions: int = 512) -> Path:
    """Rotary positions, a chat template; a larger ``scale`` makes surer predictions."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = byte_tokenizer()
    torch.manual_seed(seed)
    sizes = {**SIZES, "num_hidden_layers": n_layers}
    config = LlamaConfig(
        vocab_size=len(tokenizer), num_key_value_heads=2, max_position_embeddings=positions,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=None, **sizes,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight.normal_(0, scale)
    return _save(folder, model, tokenizer)


def gpt2(folder: Path) -> Path:
    """Learned positions, no chat template."""
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = byte_tokenizer(chat=False)
    torch.manual_seed(1)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=256, n_embd=32, n_layer=2, n_head=4,
        eos_token_id=tokenizer.eos_token_id, bos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    with torch.no_grad():
        model.lm_head.weight.normal_(0, 0.5)
    return _save(folder, model, tokenizer)


def t5(folder: Path) -> Path:
    """An encoder and a decoder, pieces of SentencePiece's kind."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    core = Tokenizer(models.Unigram())
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    letters = sorted(set("".join(SENTENCES)))
    core.train_from_iterator(
        SENTENCES * 3,
        trainers.UnigramTrainer(
            vocab_size=150, special_tokens=["<pad>", "</s>", "<unk>", "<extra_id_0>"], unk_token="<unk>",
            initial_alphabet=letters, show_progress=False,
        ),
    )  # fmt: skip
    core.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        additional_special_tokens=["<extra_id_0>"],
    )  # fmt: skip
    torch.manual_seed(2)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4,
        decoder_start_token_id=0, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    return _save(folder, T5ForConditionalGeneration(config), tokenizer)


def llava(folder: Path) -> Path:
    """Pictures of 28 pixels in four patches, read by a decoder."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    tokenizer = byte_tokenizer(more=("<image>",))
    torch.manual_seed(3)
    text = LlamaConfig(
        vocab_size=len(tokenizer), num_key_value_heads=2, max_position_embeddings=512,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, **SIZES,
    )  # fmt: skip
    vision = CLIPVisionConfig(image_size=28, patch_size=14, projection_dim=32, **SIZES)
    config = LlavaConfig(
        text_config=text, vision_config=vision, image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=4,
    )  # fmt: skip
    images = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    processor = LlavaProcessor(
        images, tokenizer, patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=(
            "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}"
            "{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
            "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
        ),
    )  # fmt: skip
    model = LlavaForConditionalGeneration(config)
    with torch.no_grad():
        model.lm_head.weight.normal_(0, 0.4)
    _save(folder, model, tokenizer)
    processor.save_pretrained(folder)
    return folder


def _save(folder: Path, model, tokenizer) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
