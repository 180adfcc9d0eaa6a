"""Small random CLIP, CLAP and X-CLIP models in folders, for the tests of their perceptors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mglib.data._base import Dataset, Index, pack_strings

WORDS = "red apple grinning face with big eyes dog".split()
TEXTS = ["red apple", "grinning face with big eyes", "dog", "big red dog", "eyes", "apple face"]
START, END = len(WORDS) + 1, len(WORDS) + 2  # ids of CLIP's marks; its end has the greatest
LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
TEXT = {
    **LAYERS,
    "hidden_size": 16,
    "vocab_size": END + 1,
    "max_position_embeddings": 8,
    "bos_token_id": START,
    "eos_token_id": END,
    "pad_token_id": 0,
}
VISION = {**LAYERS, "hidden_size": 16, "image_size": 16, "patch_size": 4}
FRAMES = 3
AUDIO = {
    "num_mel_bins": 16,
    "spec_size": 64,
    "window_size": 4,
    "patch_embeds_hidden_size": 8,
    "hidden_size": 32,
    "depths": [1, 1, 1],
    "num_attention_heads": [1, 1, 1],
    "drop_path_rate": 0.0,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "clip": {"text_config": TEXT, "vision_config": VISION, "projection_dim": 12},
    "xclip": {
        "text_config": TEXT,
        "vision_config": {
            **VISION,
            "num_frames": FRAMES,
            "mit_hidden_size": 12,
            "mit_intermediate_size": 24,
            "mit_num_hidden_layers": 1,
            "mit_num_attention_heads": 2,
        },
        "projection_dim": 12,
        "prompt_num_attention_heads": 2,
    },
    "clap": {
        "text_config": {
            **{**TEXT, "max_position_embeddings": 12, "type_vocab_size": 1},
            **{"bos_token_id": START, "eos_token_id": END, "pad_token_id": 1},
        },
        "audio_config": AUDIO,
        "projection_dim": 12,
    },
}
PICTURES = {
    "do_resize": True,
    "size": {"shortest_edge": 20},
    "resample": 3,
    "crop_size": {"height": 16, "width": 16},
    "image_mean": [0.48, 0.46, 0.41],
    "image_std": [0.27, 0.26, 0.28],
}
SOUNDS = {
    "feature_size": 16,
    "sampling_rate": 12000,
    "hop_length": 60,
    "max_length_s": 1,
    "fft_window_size": 256,
    "frequency_max": 5000,
    "truncation": "rand_trunc",
}


def tokenizer() -> Any:
    """Whole words between the two marks."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    names = ["<unk>", *WORDS, "<start>", "<end>"]
    made = Tokenizer(models.WordLevel({w: n for n, w in enumerate(names)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", START), ("<end>", END)]
    )
    return made


def write_model(root: Path, kind: str, name: str = "", seed: int = 7, **settings: Any) -> Path:
    """A small random model of a kind in a folder of a name (else its kind), with its inputs' files.

    `settings` change those of pictures or sounds.
    """
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    torch.manual_seed(seed)
    folder = root / (name or kind)
    family = {"clip": "CLIP", "xclip": "XCLIP", "clap": "Clap"}[kind]
    config = getattr(transformers, f"{family}Config")(**CONFIGS[kind])
    model = getattr(transformers, f"{family}Model")(config).eval()
    with torch.no_grad():  # norms and biases are no identities, as after training
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) / 5)
    model.save_pretrained(folder)
    tokenizer().save(str(folder / "tokenizer.json"))
    inputs = {**(SOUNDS if kind == "clap" else PICTURES), **settings}
    (folder / "preprocessor_config.json").write_text(json.dumps(inputs), encoding="utf-8")
    return folder


class Scenes(Dataset):
    """Six made-up instances in six groups: a picture, a film, a sound, a text."""

    name = "scenes"
    version = "1"
    title = "Scenes"
    kinds = {"picture": "image", "film": "frames", "sound": "audio", "words": "text"}
    licences = dict.fromkeys(kinds, "CC0-1.0")
    sources = ("made up",)
    core = ("picture", "film", "sound", "words")
    anchor = "words"
    targets = ("class",)
    sample_rate = 8000

    def index(self) -> Index:
        groups = np.arange(len(TEXTS))
        names = [f"scene {n}" for n in groups]
        return Index(names, groups, {"class": groups % 2}, {"class": ["x", "y"]})

    def raw(self, modality, advance):
        advance(1.0)
        random, count = np.random.RandomState(0), len(TEXTS)
        if modality == "words":
            return pack_strings(TEXTS)
        if modality == "picture":
            return random.randint(0, 256, (count, 24, 30, 3)).astype(np.uint8), None
        if modality == "film":
            films = random.randint(0, 256, (count, 5, 24, 24)).astype(np.uint8)
            return films, np.array([5, 1, 2, 3, 4, 5])
        sounds = random.randint(-9000, 9000, (count, 2, 12000)).astype(np.int16)
        lengths = random.randint(3000, 12000, (count, 2))
        return np.where(np.arange(12000) < lengths[..., None], sounds, np.int16(0)), lengths


def pixels_of(folder, pictures):
    """What transformers' own class makes of pictures, with Pillow."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    told = json.loads((folder / "preprocessor_config.json").read_text())
    colour = [own if own.ndim == 3 else np.repeat(own[..., None], 3, -1) for own in pictures]
    return CLIPImageProcessorPil(**told)(images=colour, return_tensors="pt")["pixel_values"]
