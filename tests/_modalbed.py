"""Small files in ModalBed's layouts: the index of a dataset and the features of a perceptor."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np

WIDTH = 12
CLASSES = 3


def entries(dataset: str, count: int) -> dict[str, list]:
    """What `modalities.json` holds; the last two instances have no sound."""
    index: dict[str, list] = {}
    for n in range(count):
        number = n % CLASSES
        if dataset == "NYUDv2":
            label = ("kitchen", "bedroom", "study")[number]
            scene = f"{label}_000{n // 6}{'ab'[n // 3 % 2]}"
            key = f"{scene}_{n}"
            told = {
                "depth": f"data/nyu-d-2/raw_data/train/{scene}/{n}/depth.png",
                "vision": f"data/nyu-d-2/raw_data/train/{scene}/{n}/rgb.png",
                "text": label,
            }
        elif dataset == "VGGSound_S":
            label = ("dog barking", "violin", "rain")[number]
            key = f"-a_{n // 2}b_{n:06}"
            told = {"video": f"video/{key}.mp4", "audio": f"audio/{key}.mp3", "text": label}
        else:
            label, key = number + 4, f"video{n}"  # categories are numbers
            told = {"video": f"Trainval/{key}.mp4", "audio": f"audios/{key}.mp3", "text": f"a {n}"}
        for modality, data in told.items():
            if modality == "audio" and n >= count - 2:
                continue
            entry = {"label": label, "id": key, "modal": modality, "data": data}
            index.setdefault(modality, []).append([entry, number])
    return index


def vectors(index: dict[str, list], seed: int = 0) -> dict[str, np.ndarray]:
    """A vector by key, float32 [WIDTH] of any norm, near the centre of its class."""
    random = np.random.RandomState(seed)
    centres = random.standard_normal((CLASSES, WIDTH))
    return {
        f"{modality}_{entry['id']}": (
            (centres[number] + 0.3 * random.standard_normal(WIDTH)) * random.uniform(0.5, 20)
        ).astype(np.float32)
        for modality, items in index.items()
        for entry, number in items
    }


def write(
    folder: Path, dataset: str = "MSR_VTT", perceptor: str = "imagebind", count: int = 60
) -> Path:
    """Both files in a folder; the path of the features."""
    folder.mkdir(parents=True, exist_ok=True)
    index = entries(dataset, count)
    (folder / "modalities.json").write_text(json.dumps(index), encoding="utf-8")
    path = folder / f"{dataset}_{perceptor}.h5"
    with h5py.File(path, "w") as file:
        for key, own in vectors(index).items():
            file[key] = own
    return path
