"""X-CLIP of any size from a folder: frames, pictures and texts in one space."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mglib.perceptors._foundation import Foundation, RawBatch
from mglib.perceptors._pictures import Pictures
from mglib.perceptors.clip import frame_counts
from mglib.registry import Setting, perceptors

if TYPE_CHECKING:
    from torch import Tensor


def middles(count: int, wanted: int) -> np.ndarray:
    """The frames [wanted] in the middle of so many equal parts of `count` frames; some repeat."""
    return ((2 * np.arange(wanted) + 1) * count) // (2 * wanted)


@perceptors.register("xclip")
class XCLIP(Foundation):
    """Frames and texts through an X-CLIP model of the folder `model` in `MGLIB_MODELS`.

    Source: Ni et al. 2022 (arXiv 2208.02816), for recognition. A text's features are those before
    its prompts, which hang on the video that it is compared with. Ours: frames from the middles of
    equal parts; a picture is a film of equal frames.
    """

    kinds = frozenset({"image", "frames", "text"})
    settings = {"model": Setting(str, "xclip")}
    steps = {"image": 100, "frames": 100, "text": 10}
    family, model_type, part = "XCLIP", "xclip", "image_processor"

    def other(self, kind: str, model: Any) -> Callable[[RawBatch], Tensor]:
        """uint8 [N(, frames), height, width(, 3)] -> features [N, D]."""
        folder, wanted = self.folder(), int(model.config.vision_config.num_frames)
        pictures = Pictures.told(folder, self.told(folder))

        def features(raw: RawBatch) -> Tensor:
            if kind == "image":
                frames = pictures.read(raw.values)[:, None].expand(-1, wanted, -1, -1, -1)
            else:
                counts = frame_counts(raw)
                chosen = np.stack([middles(count, wanted) for count in counts])
                own = raw.values[np.arange(len(chosen))[:, None], chosen]
                frames = pictures.read(own.reshape(-1, *own.shape[2:])).unflatten(0, (-1, wanted))
            found: Tensor = model.get_video_features(frames).pooler_output
            return found

        return features
