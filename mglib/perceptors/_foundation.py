"""What perceptors of multimodal foundation models share: a folder, one space, unit vectors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mglib import paths
from mglib.data._base import Advance, Dataset, unpack_strings
from mglib.errors import Absent, MglibError, unknown
from mglib.features import FeatureSet
from mglib.perceptors import _folders
from mglib.perceptors._base import Input, Perceptor, in_batches

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 16
TOKENS = "tokenizer.json"
INPUTS = ("preprocessor_config.json", "processor_config.json")  # the latter holds parts by name


@dataclass(frozen=True)
class RawBatch:
    """Some rows of a raw modality: values [N, ...], lengths, and the rate of its sound in Hz."""

    values: np.ndarray
    lengths: np.ndarray | None
    rate: int | None


class Foundation(Perceptor):
    """A model in transformers' format, from the folder of its name in `MGLIB_MODELS`.

    Everything that it takes lands in one space as unit vectors. Which files it reads stands in
    keys by their content, so that another model under the same name gives other features. `family`
    is transformers' name of the class, `model_type` that in config.json, `part` that of what is no
    text in processor_config.json. A subclass gives `other` for all kinds but text.
    """

    version = "1"
    unit_norm = True
    family: ClassVar[str]
    model_type: ClassVar[str]
    part: ClassVar[str]

    @property
    def who(self) -> str:
        """This perceptor, for errors."""
        return f"perceptor '{self.name}'"

    def folder(self) -> Path:
        """Where the model lies; raises MglibError if it is not there or is of another kind."""
        root, model = paths.models(), self.values()["model"]
        if not (root / model).is_dir():
            there = [path.name for path in root.glob("*") if path.is_dir()]
            raise Absent(
                f"{unknown('foundation model', model, there)} in {root}, as {self.who} asks for: "
                f"put a folder of {self.family} there (config.json, safetensors, tokenizer.json), "
                "or a link to one, or set MGLIB_MODELS"
            )
        folder = (root / model).resolve()
        found = _folders.read_json(folder, "config.json").get("model_type")
        if found != self.model_type:
            raise MglibError(
                f"{self.who} is for folders of model_type '{self.model_type}', but that of "
                f"'{folder}' is '{found}'"
            )
        return folder

    def parameters(self) -> dict[str, Any]:
        """The name of the folder, and SHA-256 of all that is read from it."""
        return {**self.values(), **_folders.identity(self.folder(), (TOKENS, *INPUTS))}

    def space(self, dataset: Dataset, modality: str) -> str:
        """One for all modalities."""
        return f"{self.name}/joint"

    def inputs(self, dataset: Dataset, modality: str) -> list[Input]:
        """The raw modality."""
        return [("raw", modality)]

    def told(self, folder: Path) -> dict[str, Any]:
        """How raw inputs that are no text are read; raises MglibError if the folder is silent."""
        own, whole = INPUTS
        if (folder / own).is_file() or not (folder / whole).is_file():
            return _folders.read_json(folder, own)
        part = _folders.read_json(folder, whole).get(self.part)
        if not isinstance(part, dict):
            raise MglibError(f"{folder / whole} has no {self.part}")
        return part

    def network(self) -> Any:
        """The model, strictly: raises MglibError for weights that do not fit its config."""
        folder = self.folder()
        _folders.weights(folder)
        model, report = _folders.load(self.who, folder, self.family)
        wrong = {*report["missing_keys"], *report["unexpected_keys"]}
        _folders.check_fit(folder, {key for key in wrong if not key.endswith(_folders.COUNTED)})
        return model.requires_grad_(False)

    def texts(self, model: Any) -> Callable[[RawBatch], Tensor]:
        """UTF-8 bytes uint8 [N, L] -> features [N, D]; texts are cut where the model ends."""
        folder, config = self.folder(), model.config.text_config
        tokenizer = _folders.tokenizer(self.who, folder)
        _folders.cut_at(tokenizer, self.places(config))

        def features(raw: RawBatch) -> Tensor:
            if raw.values.dtype != np.uint8 or raw.values.ndim != 2:
                raise MglibError(
                    f"text is UTF-8 bytes uint8 [N, L], not {raw.values.dtype} {raw.values.shape}"
                )
            texts = unpack_strings(raw.values)
            ids, real = _folders.token_ids(tokenizer, texts, config.pad_token_id)
            self.check_tokens(folder, config, ids, real)
            return model.get_text_features(input_ids=ids, attention_mask=real.long()).pooler_output

        return features

    @staticmethod
    def places(config: Any) -> int:
        """How many tokens the model takes."""
        return int(config.max_position_embeddings)

    def check_tokens(self, folder: Path, config: Any, ids: Tensor, real: Tensor) -> None:
        """Raise MglibError unless every text ends with the token at which CLIP's models read it.

        That is the first one with the end's id, or, of models whose settings have the id 2, the
        first one with the greatest id (transformers reads them so).
        """
        end = config.eos_token_id
        greatest = end == 2 or self.model_type == "xclip"
        at = ids.argmax(-1) if greatest else (ids == end).int().argmax(-1)
        if not at.eq(real.sum(-1) - 1).all():
            raise MglibError(
                f"{folder / TOKENS} does not end a text with the token at which the model reads it"
            )

    @abstractmethod
    def other(self, kind: str, model: Any) -> Callable[[RawBatch], Tensor]:
        """What gives features [N, D], of any norm, of a kind that is not text."""

    def perceive(
        self,
        dataset: Dataset,
        modality: str,
        inputs: Sequence[FeatureSet],
        split_seed: int | None,
        advance: Advance,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Unit vectors [N, D] of the raw modality."""
        model, kind = self.network(), dataset.kinds[modality]
        features = self.texts(model) if kind == "text" else self.other(kind, model)
        values, lengths = inputs[0].values, inputs[0].lengths

        def unit(rows: slice) -> Tensor:
            from torch.nn.functional import normalize

            own = None if lengths is None else lengths[rows]
            return normalize(features(RawBatch(values[rows], own, dataset.sample_rate)), dim=-1)

        return in_batches(unit, len(values), BATCH, advance), None
