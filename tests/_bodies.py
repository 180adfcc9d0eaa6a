"""Small random models of transformers in folders, for the tests of bodies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from mglib.data._base import pack_strings
from mglib.transfer.body import Body

TEXTS = ["red apple", "grinning face with big eyes", "dog"]
WORDS = "red apple grinning face with big eyes dog".split()
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = {**SMALL, "intermediate_size": 24, "vocab_size": 16, "max_position_embeddings": 40}
PICTURE = {"image_size": 16, "initializer_range": 0.3}
CONFIGS = {
    "bert": TEXT,
    "roberta": {**TEXT, "pad_token_id": 1, "type_vocab_size": 1},
    "vit": {**SMALL, **PICTURE, "intermediate_size": 24, "patch_size": 4},
    "swin": {
        **PICTURE,
        "patch_size": 2,
        "embed_dim": 8,
        "depths": [1, 2],
        "num_heads": [2, 2],
        "window_size": 3,
    },
}
SERIES, PICTURES = ("bert", "roberta", "minilm"), ("vit", "swin", "efficientnet_lite0")


def tokenizer() -> Any:
    """Whole words, marked at both ends; RoBERTa's padding and BERT's differ."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    names = ["<s>", "<pad>", "</s>", "<unk>", *WORDS]
    words = models.WordLevel({word: place for place, word in enumerate(names)}, unk_token="<unk>")
    made = Tokenizer(words)
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return made


def write_models(root: Path) -> None:
    """Small random models of each kind, as save_pretrained writes them."""
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(7)
    for kind, settings in CONFIGS.items():
        config = transformers.AutoConfig.for_model(kind, **settings)
        model = transformers.AutoModel.from_config(config)
        with torch.no_grad():  # norms and biases are no identities, as after training
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) / 10)
        model.save_pretrained(root / kind)
        if kind in SERIES:
            tokenizer().save(str(root / kind / "tokenizer.json"))


def source(body: Body, count: int = 3) -> Any:
    """A source batch: names, or coloured noise."""
    if body.dimensions == 1:
        return body.read_source(*pack_strings(TEXTS[:count]))
    pictures = np.random.default_rng(0).integers(0, 256, (count, 72, 72, 3), dtype=np.uint8)
    return body.read_source(pictures, None)


def inputs(body: Body, channels: int, count: int = 2) -> tuple[torch.Tensor, tuple[int, ...]]:
    """Random inputs of a target and their size."""
    size = (48,) if body.dimensions == 1 else (12, 20)
    return torch.randn(count, channels, *size), size


def copy_of(folder: Path, target: Path) -> Path:
    """A copy of a model's folder."""
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target
