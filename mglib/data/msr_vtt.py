"""MSR-VTT as ModalBed reads it: clips in 20 categories, seen, heard and captioned."""

from __future__ import annotations

from mglib.data._imported import IMPORTED, ImportedDataset
from mglib.registry import datasets


@datasets.register("msr_vtt")
class MSRVTT(ImportedDataset):
    """MSR-VTT: film, sound and first caption of a clip in 20 categories; imported features alone.

    Source: Xu, Mei, Yao and Rui, "MSR-VTT", CVPR 2016; as ModalBed (2412.18277) pools its parts.
    Clips cut from one film are not told apart in ModalBed's index: every clip is a group (ours).
    """

    version = "1"
    published = "MSR_VTT"
    title = "MSR-VTT (features extracted elsewhere)"
    kinds = dict.fromkeys(("video", "audio", "text"), IMPORTED)
    licences = dict.fromkeys(kinds, "MSR-VTT's terms; not distributed here")
    sources = ("MSR-VTT (Microsoft Research)",)
    core = ("video", "audio", "text")
    anchor = "video"
