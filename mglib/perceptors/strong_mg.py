"""Features of ModalBed's self-supervised encoders, which others extracted."""

from __future__ import annotations

from mglib.perceptors._imported import Imported
from mglib.registry import perceptors


@perceptors.register("strong_mg")
class StrongMG(Imported):
    """ModalBed's self-supervised encoders, one space each, extracted elsewhere; imported features.

    Source: Liu et al. 2024 (arXiv 2412.18277), T5-small or ViT-B/16 with a head to 1,024 values.
    """

    published = "strongMG"
