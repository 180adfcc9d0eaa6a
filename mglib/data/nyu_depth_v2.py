"""NYU Depth V2 as ModalBed reads it: frames of indoor scenes, named by the kind of room."""

from __future__ import annotations

import re

from mglib.data._imported import IMPORTED, Entry, ImportedDataset
from mglib.errors import MglibError
from mglib.registry import datasets


@datasets.register("nyu_depth_v2")
class NYUDepthV2(ImportedDataset):
    """NYU Depth V2: depth, colour and the name of the kind of room; imported features alone.

    Source: Silberman, Hoiem, Kohli and Fergus, ECCV 2012; as ModalBed (2412.18277) reads its
    training folder. The text is the class itself, one vector for each. Frames of one scene, such as
    those of the folders kitchen_0001a and kitchen_0001b, share a group (ours): ModalBed parts them
    by frame, so that neighbours stand on both sides of a split.
    """

    version = "1"
    published = "NYUDv2"
    title = "NYU Depth V2 (features extracted elsewhere)"
    kinds = dict.fromkeys(("depth", "vision", "text"), IMPORTED)
    licences = dict.fromkeys(kinds, "NYU Depth V2's terms; not distributed here")
    sources = ("NYU Depth Dataset V2 (New York University)",)
    core = ("depth", "vision", "text")
    anchor = "vision"

    @classmethod
    def group_of(cls, entry: Entry) -> str:
        """The scene, from `<scene>/<frame>/rgb.png`; raises MglibError for another path."""
        if len(entry.path.parts) < 3 or entry.path.suffix != ".png":
            raise MglibError(
                f"the data of '{entry.id}' in {cls.name} must be a path such as "
                f"kitchen_0001a/12/rgb.png, not '{entry.data}'"
            )
        return re.sub(r"(?<=\d)[a-z]$", "", entry.path.parent.parent.name)
