"""Folders in transformers' format: settings, safetensors weights and tokenizers.

Only JSON and safetensors files are read: no pickle, no code of the folder's, no network.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mglib.errors import MglibError
from mglib.provenance import file_sha256

if TYPE_CHECKING:
    from torch import Tensor

DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "drop_path_rate")
# Buffers that this library's models count themselves.
COUNTED = ("position_ids", "relative_position_index")


def libraries(who: str, instead: str = "") -> tuple[Any, Any]:
    """The modules transformers and tokenizers; raises MglibError if `who` lacks them."""
    try:
        import tokenizers
        import transformers
    except ImportError as error:
        raise MglibError(
            f"{who} needs transformers and tokenizers ({error}): install mglib[transfer]{instead}"
        ) from error
    return transformers, tokenizers


@lru_cache(maxsize=64)
def _sha256(path: Path, size: int, changed: int) -> str:
    return file_sha256(path)


def digest(path: Path) -> str:
    """SHA-256 of a file, computed again only if it changed."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


def read_json(folder: Path, name: str) -> dict[str, Any]:
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


def weights(folder: Path) -> list[Path]:
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


def identity(folder: Path, inputs: Sequence[str]) -> dict[str, str]:
    """SHA-256 of settings, of the weights' files, and of those `inputs` that are there.

    The latter say how raw inputs are read.
    """
    found = {
        "config": digest(folder / "config.json"),
        "weights": ",".join(digest(path) for path in weights(folder)),
    }
    there = [digest(folder / name) for name in inputs if (folder / name).is_file()]
    return {**found, "inputs": ",".join(there)} if there else found


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


def load(who: str, folder: Path, family: str, **more: Any) -> tuple[Any, Mapping[str, Any]]:
    """The model of a folder by its family (`Bert`, `CLIP`), and what its weights lack or have more.

    In float32, for use and not for training: attention is eager, nothing is dropped at random.
    Raises MglibError for a folder that cannot be read.
    """
    import torch

    transformers, _ = libraries(who)
    settings: Any = getattr(transformers, f"{family}Config")
    model: Any = getattr(transformers, f"{family}Model")
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
                output_loading_info=True,
                **more,
            )
    except Exception as error:  # the library and safetensors raise many kinds of their own
        last = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise MglibError(f"cannot read the {family} model in '{folder}': {last}") from error
    return made, report


def check_fit(folder: Path, wrong: Collection[str]) -> None:
    """Raise MglibError for names of weights that are missing or left over."""
    if wrong:
        raise MglibError(
            f"the weights in '{folder}' do not fit its config.json: {len(wrong)} are missing or "
            f"left over, such as {min(wrong)}"
        )


def tokenizer(who: str, folder: Path) -> Any:
    """The tokenizer of a folder's tokenizer.json; raises MglibError if it is none."""
    _, tokenizers = libraries(who)
    path = folder / "tokenizer.json"
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises no kind of its own
        raise MglibError(f"{path} is no tokenizer: {error}") from error


def cut_at(tokenizer: Any, places: int) -> None:
    """Let a tokenizer cut texts where its file or a model's `places` end, and pad none."""
    told = (tokenizer.truncation or {}).get("max_length", places)
    tokenizer.enable_truncation(min(told, places))
    tokenizer.no_padding()


def token_ids(tokenizer: Any, texts: Sequence[str], padding: int) -> tuple[Tensor, Tensor]:
    """Token ids int64 [N, T] of texts and which are real, bool [N, T]; T is that of the longest."""
    import torch

    # one by one: the library's own threads do not outlive a fork
    found = [tokenizer.encode(text).ids for text in texts]
    ids = torch.full((len(found), max(map(len, found))), padding)
    for row, own in zip(ids, found, strict=True):
        row[: len(own)] = torch.tensor(own)
    length = torch.tensor([len(own) for own in found])
    return ids, torch.arange(ids.shape[1]) < length[:, None]
