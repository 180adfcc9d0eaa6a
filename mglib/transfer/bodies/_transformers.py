"""Bodies from folders of the transformers library: BERT, RoBERTa, ViT and Swin.

Only config.json, tokenizer.json, preprocessor_config.json and safetensors files are read: no
pickle, no code of the folder's, no network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from mglib.errors import MglibError, unknown
from mglib.perceptors import _folders
from mglib.transfer.bodies._layers import libraries
from mglib.transfer.bodies._text import TextBody
from mglib.transfer.bodies._vision import Statistics, VisionBody
from mglib.transfer.body import Body

MODELS = {"bert": "Bert", "roberta": "Roberta", "vit": "ViT", "swin": "Swin"}
TEXT = ("bert", "roberta")
# Parts of the encoder or the embeddings that this library's models count or leave out.
UNUSED = (*_folders.COUNTED, "mask_token")


def _found(name: str) -> Path:
    """The folder of a model: the one named, or the one of that name in the hub's local cache."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder.resolve()
    cached_file = libraries(name)[0].utils.cached_file
    try:
        if name.count("/") == 1 and not name.startswith((".", "/", "~")):
            cached = cached_file(name, "config.json", local_files_only=True)
            if cached is not None:
                return Path(cached).parent
    except (OSError, ValueError):
        pass
    raise MglibError(
        f"no folder '{name}', nor a model of that name in the hub's local cache: a body is a "
        "registered name or a folder with config.json and safetensors weights of BERT, RoBERTa, "
        "ViT or Swin (download one with `hf download`)"
    )


def _loaded(name: str, folder: Path, kind: str) -> Any:
    """The model of a folder, strictly: raises MglibError for weights that do not fit its config.

    Heads and poolers are left out.
    """
    made, report = _folders.load(f"body '{name}'", folder, MODELS[kind], add_pooling_layer=False)
    parts = tuple(f"{part}." for part, _ in made.named_children())
    bare = {key.removeprefix(f"{kind}.") for key in report["unexpected_keys"]}
    extra = {key for key in bare if key.startswith(parts) and not key.endswith(UNUSED)}
    _folders.check_fit(folder, {*report["missing_keys"], *extra})
    return made


class Folder(Body):
    """What bodies of a folder share: where it is, and hashes in place of a version."""

    folder: ClassVar[Path]
    kind: ClassVar[str]
    INPUTS: ClassVar[str]  # the file that says how raw inputs are read

    @classmethod
    def identity(cls) -> dict[str, Any]:
        """SHA-256 of settings, of the weights' files, and of how inputs are read if it is told."""
        return _folders.identity(cls.folder, [cls.INPUTS])


class TextFolder(TextBody, Folder):
    """BERT or RoBERTa from a folder of the transformers library, with its tokenizer.json."""

    INPUTS = "tokenizer.json"

    def __init__(self) -> None:
        tokenizer = _folders.tokenizer(f"body '{self.name}'", self.folder)
        super().__init__(_loaded(self.name, self.folder, self.kind), tokenizer)


class VisionFolder(VisionBody, Folder):
    """ViT or Swin from a folder of the transformers library."""

    INPUTS = "preprocessor_config.json"

    def __init__(self) -> None:
        super().__init__(_loaded(self.name, self.folder, self.kind), self._statistics())

    def _statistics(self) -> Statistics:
        """Mean and deviation of pretraining's pictures; 0.5 each if the folder does not tell."""
        told: dict[str, Any] = {}
        if (self.folder / self.INPUTS).is_file():
            told = _folders.read_json(self.folder, self.INPUTS)
        if told.get("do_normalize", True) is False:
            return [0.0] * 3, [1.0] * 3
        return told.get("image_mean", [0.5] * 3), told.get("image_std", [0.5] * 3)


def load_folder(name: str) -> type[Body]:
    """The body of a folder in transformers' format, or of a model in the hub's local cache.

    Its class carries the given text as its name; the weights are read when it is made. Raises
    MglibError for a folder that is not there, has no config.json of BERT, RoBERTa, ViT or Swin,
    no tokenizer.json (text), or no safetensors weights.
    """
    folder = _found(name)
    config = _folders.read_json(folder, "config.json")
    kind = config.get("model_type")
    if kind not in MODELS:
        raise unknown("model_type of a body in config.json", kind, MODELS)
    if config.get("is_decoder") or config.get("position_embedding_type", "absolute") != "absolute":
        raise MglibError(f"'{name}' is no encoder with absolute positions, as a body must be")
    _folders.weights(folder)
    if kind in TEXT:
        _folders.read_json(folder, TextFolder.INPUTS)
    base: Any = TextFolder if kind in TEXT else VisionFolder
    told = {
        "name": name,
        "title": f"{MODELS[kind]} of {name}",
        "folder": folder,
        "kind": kind,
        "smooth": "relu" not in str(config.get("hidden_act", "gelu")),
        "__doc__": f"{MODELS[kind]} of the folder {name}.",
        "__module__": __name__,
    }
    return type(base)(f"{MODELS[kind]}Folder", (base,), told)
