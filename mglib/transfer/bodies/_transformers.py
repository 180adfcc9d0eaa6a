"""Bodies from folders of the transformers library: BERT, RoBERTa, ViT and Swin.

Only config.json, tokenizer.json, preprocessor_config.json and safetensors files are read: no
pickle, no code of the folder's, no network.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from mglib.errors import MglibError, unknown
from mglib.provenance import file_sha256
from mglib.transfer.bodies._layers import libraries
from mglib.transfer.bodies._text import TextBody
from mglib.transfer.bodies._vision import Statistics, VisionBody
from mglib.transfer.body import Body

MODELS = {"bert": "Bert", "roberta": "Roberta", "vit": "ViT", "swin": "Swin"}
TEXT = ("bert", "roberta")
DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "drop_path_rate")
# Parts of the encoder or the embeddings that this library's models count or leave out.
COUNTED = ("position_ids", "relative_position_index", "mask_token")


@lru_cache(maxsize=64)
def _sha256(path: Path, size: int, changed: int) -> str:
    return file_sha256(path)


def _digest(path: Path) -> str:
    """SHA-256 of a file, computed again only if it changed."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


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


def _read(folder: Path, name: str) -> dict[str, Any]:
    """A JSON file of a folder; raises MglibError if it is absent or no object."""
    path = folder / name
    if not path.is_file():
        raise MglibError(f"no {name} in '{folder}': it is no folder of a transformers model")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MglibError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise MglibError(f"{path} is not a JSON object")
    return content


def _weights(folder: Path) -> list[Path]:
    """The safetensors files of a folder; raises MglibError if there are none."""
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        pickled = [path.name for path in folder.glob("*.bin")]
        why = f"; {', '.join(sorted(pickled))} is a pickle, which may run code" if pickled else ""
        raise MglibError(
            f"no model.safetensors in '{folder}'{why}: save the model with "
            "save_pretrained(folder, safe_serialization=True)"
        )
    return files


@contextmanager
def _quiet() -> Iterator[None]:
    """Transformers without notes and progress bars: what it would say is checked here."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def _loaded(name: str, folder: Path, kind: str) -> Any:
    """The model of a folder, strictly: raises MglibError for weights that do not fit its config.

    Heads and poolers are left out. Attention is eager, and nothing is dropped at random.
    """
    import torch

    transformers, _ = libraries(name)
    settings: Any = getattr(transformers, f"{MODELS[kind]}Config")
    model: Any = getattr(transformers, f"{MODELS[kind]}Model")
    try:
        with _quiet():
            config = settings.from_pretrained(folder, local_files_only=True)
            for rate in DROPOUTS:
                if hasattr(config, rate):
                    setattr(config, rate, 0.0)
            made, report = model.from_pretrained(
                folder,
                config=config,
                local_files_only=True,
                use_safetensors=True,
                attn_implementation="eager",
                dtype=torch.float32,
                add_pooling_layer=False,
                output_loading_info=True,
            )
    except Exception as error:  # the library and safetensors raise many kinds of their own
        last = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise MglibError(f"cannot read the {MODELS[kind]} model in '{folder}': {last}") from error
    parts = tuple(f"{part}." for part, _ in made.named_children())
    bare = {key.removeprefix(f"{kind}.") for key in report["unexpected_keys"]}
    extra = {key for key in bare if key.startswith(parts) and not key.endswith(COUNTED)}
    wrong = sorted({*report["missing_keys"], *extra})
    if wrong:
        raise MglibError(
            f"the weights in '{folder}' do not fit its config.json: {len(wrong)} are missing or "
            f"left over, such as {wrong[0]}"
        )
    return made


class Folder(Body):
    """What bodies of a folder share: where it is, and hashes in place of a version."""

    folder: ClassVar[Path]
    kind: ClassVar[str]
    INPUTS: ClassVar[str]  # the file that says how raw inputs are read

    @classmethod
    def identity(cls) -> dict[str, Any]:
        """SHA-256 of settings, of the weights' files, and of how inputs are read if it is told."""
        files = _weights(cls.folder)
        found = {
            "config": _digest(cls.folder / "config.json"),
            "weights": ",".join(_digest(path) for path in files),
        }
        inputs = cls.folder / cls.INPUTS
        return {**found, "inputs": _digest(inputs)} if inputs.is_file() else found


class TextFolder(TextBody, Folder):
    """BERT or RoBERTa from a folder of the transformers library, with its tokenizer.json."""

    INPUTS = "tokenizer.json"

    def __init__(self) -> None:
        _, tokenizers = libraries(self.name)
        path = self.folder / self.INPUTS
        try:
            tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises no kind of its own
            raise MglibError(f"{path} is no tokenizer: {error}") from error
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
            told = _read(self.folder, self.INPUTS)
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
    config = _read(folder, "config.json")
    kind = config.get("model_type")
    if kind not in MODELS:
        raise unknown("model_type of a body in config.json", kind, MODELS)
    if config.get("is_decoder") or config.get("position_embedding_type", "absolute") != "absolute":
        raise MglibError(f"'{name}' is no encoder with absolute positions, as a body must be")
    _weights(folder)
    if kind in TEXT:
        _read(folder, TextFolder.INPUTS)
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
