"""The subset of VGGSound that ModalBed reads: clips by the sound that is heard and seen in them."""

from __future__ import annotations

import re

from mglib.data._imported import IMPORTED, Entry, ImportedDataset
from mglib.errors import MglibError
from mglib.registry import datasets

CLIP = re.compile(r"(.+)_\d{6}")  # the film's id and the second at which the clip begins


@datasets.register("vggsound_s")
class VGGSoundS(ImportedDataset):
    """VGGSound-S: film, sound and label of 10 s clips; imported features alone.

    Source: Chen, Xie, Vedaldi and Zisserman, "VGGSound", ICASSP 2020; ModalBed (2412.18277) takes
    the first 10,001 clips that it finds, which it does not list. The text is the class itself, one
    vector for each. Clips of one film share a group (ours).
    """

    version = "1"
    published = "VGGSound_S"
    title = "VGGSound-S (features extracted elsewhere)"
    kinds = dict.fromkeys(("video", "audio", "text"), IMPORTED)
    licences = dict.fromkeys(kinds, "VGGSound CC-BY-4.0, films by their owners; not here")
    sources = ("VGGSound (University of Oxford)",)
    core = ("video", "audio", "text")
    anchor = "video"

    @classmethod
    def group_of(cls, entry: Entry) -> str:
        """The film, from `<film>_<second, 6 digits>.mp4`; raises MglibError for another name."""
        match = CLIP.fullmatch(entry.path.stem)
        if not match:
            raise MglibError(
                f"the data of '{entry.id}' in {cls.name} must be a path such as "
                f"video/a1b2c3_000030.mp4, not '{entry.data}'"
            )
        return match[1]
