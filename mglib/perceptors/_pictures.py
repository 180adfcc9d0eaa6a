"""Pictures as a foundation model was shown them: resized, cut, scaled, normalised.

By the numbers of the model's preprocessor_config.json; with Pillow alone, since the classes that
transformers has for it want torchvision or change between its versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mglib.errors import MglibError

if TYPE_CHECKING:
    from torch import Tensor

Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class Pictures:
    """How pictures are read: the shorter `edge` or the whole `size` (0 and None: as it is).

    Then the middle of size `cut` (None: all of it), times `scale`, minus `mean`, by `deviation` of
    the three channels. `filter` is Pillow's number of the resampling (2: bilinear, 3: bicubic).
    """

    edge: int
    size: Size | None
    filter: int
    cut: Size | None
    scale: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def told(cls, folder: Path, settings: Mapping[str, Any]) -> Pictures:
        """By a model's settings; raises MglibError for what they leave open or we do not know."""

        def number(name: str) -> Any:
            if name not in settings:
                raise MglibError(f"the picture settings in '{folder}' do not tell {name}")
            return settings[name]

        edge, size, kind, cut = 0, None, 0, None
        if settings.get("do_resize", True):
            edge, size = _size(folder, number("size"))
            kind = int(number("resample"))
        if settings.get("do_center_crop", True):
            whole, cut = _size(folder, number("crop_size"))
            cut = cut or (whole, whole)
        scale = settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 1
        mean, deviation = (0.0,) * 3, (1.0,) * 3
        if settings.get("do_normalize", True):
            mean, deviation = (tuple(number(f"image_{name}")) for name in ("mean", "std"))
        return cls(edge, size, kind, cut, float(scale), mean, deviation)

    def _sized(self, height: int, width: int) -> Size:
        if not self.edge:
            return self.size or (height, width)
        if height <= width:
            return self.edge, int(self.edge * width / height)
        return int(self.edge * height / width), self.edge

    def pixels(self, picture: np.ndarray) -> np.ndarray:
        """uint8 [height, width(, 3)] resized and cut, uint8 [H, W, 3].

        Raises MglibError for a picture smaller than what is cut out of it.
        """
        from PIL import Image

        colour = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=-1)
        size = self._sized(*colour.shape[:2])
        if size != colour.shape[:2]:
            image = Image.fromarray(colour).resize(size[::-1], Image.Resampling(self.filter))
            colour = np.asarray(image)
        if self.cut is None:
            return colour
        spare = [own - wanted for own, wanted in zip(size, self.cut, strict=True)]
        if min(spare) < 0:
            raise MglibError(f"a picture of {list(size)} pixels has no middle of {list(self.cut)}")
        top, left = (own // 2 for own in spare)
        return colour[top : top + self.cut[0], left : left + self.cut[1]]

    def read(self, pictures: np.ndarray) -> Tensor:
        """uint8 [N, height, width(, 3)] -> float32 [N, 3, H, W]; MglibError for other arrays."""
        import torch

        if pictures.dtype != np.uint8 or pictures.ndim not in (3, 4):
            raise MglibError(
                f"images are uint8 [N, height, width(, 3)], not {pictures.dtype} {pictures.shape}"
            )
        made = np.stack([self.pixels(own) for own in pictures]).astype(np.float64) * self.scale
        made = (made - np.array(self.mean)) / np.array(self.deviation)
        return torch.from_numpy(made.astype(np.float32)).permute(0, 3, 1, 2).contiguous()


def _size(folder: Path, told: Any) -> tuple[int, Size | None]:
    """A size as transformers writes it: the shorter edge (else 0), or height and width."""
    if isinstance(told, int):
        return told, None
    if isinstance(told, Mapping) and {*told} == {"shortest_edge"}:
        return int(told["shortest_edge"]), None
    if isinstance(told, Mapping) and {*told} == {"height", "width"}:
        return 0, (int(told["height"]), int(told["width"]))
    raise MglibError(
        f"a size in '{folder}' is a number, shortest_edge, or height and width, not {told}"
    )
