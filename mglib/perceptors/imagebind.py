"""Features of ImageBind, which others extracted."""

from __future__ import annotations

from mglib.perceptors._imported import Bound
from mglib.registry import perceptors


@perceptors.register("imagebind")
class ImageBind(Bound):
    """ImageBind's common space, as extracted elsewhere; imported features alone.

    Source: Girdhar et al. 2023 (arXiv 2305.05665), 1,024 values, bound through images.
    """

    published = "imagebind"
