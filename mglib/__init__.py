"""mglib: modality generalization, cross-modality transfer and missing modalities on one engine."""

__version__ = "0.1.0"
