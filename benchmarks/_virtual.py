"""What the virtual modalities are timed on: untrained networks, utterances, streams of frames.

How long a network takes does not hang on what it has learned. All times are CPU seconds of one
thread, which do not count waiting for other programs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mglib.data.carriers import fetch
from mglib.missing.bank import MissingBank, Paired
from mglib.missing.grid import missing_trials
from mglib.missing.imputing import Reader
from mglib.missing.method import MissingTask, hide
from mglib.missing.methods.trml import TRML
from mglib.missing.training import MissingTraining
from mglib.perceptors import efficientnet_lite, universal_sentence_encoder
from mglib.registry import missing_methods
from mglib.trials.chunks import stack_size
from mglib.trials.sampling import BLOCK

Answer = Callable[[Tensor], Tensor]  # features of the one seen modality [B, D] -> answers [B, C]
CLASSES, HIDDEN = 8, 128
# Widths of the encoders of notebook 40: handwriting, speech, number words.
TRAINED = {"handwriting_occluded": 1280, "speech": 288, "words": 512}
FUSIONS = {
    "late": "ume_mma@pretraining=0,probability=0",
    "mid": "ume_mma@fusion=mid,pretraining=0,probability=0",
    "early": "early_fusion@probability=0",
    "TRML": "trml",
}


@dataclass(frozen=True)
class Sizes:
    """Widths of the modalities, the first of which is seen; calls, rows of a batch and steps."""

    widths: tuple[int, ...] = (512, 512, 512)  # as of CLIP ViT-B/32
    calls: int = 200
    rows: int = 256
    steps: int = BLOCK


def _task(widths: tuple[int, ...]) -> MissingTask:
    zeros = tuple(torch.zeros(1, width) for width in widths)
    return MissingTask(widths, CLASSES, torch.full((1, CLASSES), 1 / CLASSES), zeros, 1)


def _streams() -> list[torch.Generator]:
    return [torch.Generator().manual_seed(0)]


def model_of(generator: str, widths: tuple[int, ...]) -> TRML:
    """TRML with a generator, untrained, for one trial, as notebook 41 has it."""
    name = "trml" if generator == "pairwise" else f"trml@generator={generator}"
    kind: type[TRML] = missing_methods.get(name)
    numbers = {"hidden": HIDDEN, "lr": 3e-4, "weight_decay": 0.03, **kind.numbers()}
    hparams = {key: torch.tensor([float(value)]) for key, value in numbers.items()}
    return kind(_task(widths), hparams, _streams()).eval()


def _seen(features: Tensor, widths: tuple[int, ...]) -> tuple[list[Tensor], Tensor]:
    """A batch with the first modality alone: features by modality [1, B, D], seen [1, B, M]."""
    others = [features.new_zeros(1, len(features), width) for width in widths[1:]]
    seen = torch.arange(len(widths)).expand(1, len(features), -1) == 0
    return [features[None], *others], seen


def generating(model: TRML) -> Answer:
    """Answers with the other modalities generated."""
    return lambda features: model.answer(*_seen(features, model.task.widths))[0]


def filling(reader: Reader, widths: tuple[int, ...]) -> Answer:
    """Answers of the fusion network with zeros in place of the other modalities."""
    return lambda features: reader(hide(*_seen(features, widths)))[0]


def alone(width: int) -> Answer:
    """Answers of a network as wide that has the one modality only."""
    reader = reader_of((width,))
    return lambda features: reader([features[None]])[0]


def reader_of(widths: tuple[int, ...]) -> Reader:
    """TRML's fusion network without a generator, untrained."""
    return Reader(_streams(), _task(widths), HIDDEN, "early")


def utterances(rows: int, width: int) -> Tensor:
    """Unit-norm features [rows, width]."""
    made = torch.randn(rows, width, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.normalize(made, dim=-1)


def building(generator: str, sizes: Sizes) -> Callable[[], Tensor]:
    """Builds a network and answers a batch; without a generator ("") zeros stand in."""

    def once() -> Tensor:
        with torch.inference_mode():
            if generator:
                answer = generating(model_of(generator, sizes.widths))
            else:
                answer = filling(reader_of(sizes.widths), sizes.widths)
            return answer(utterances(sizes.rows, sizes.widths[0]))

    return once


@torch.inference_mode()
def _seconds(once: Callable[[], object], calls: int) -> list[float]:
    found = []
    for _ in range(calls):
        start = time.process_time()
        once()
        found.append(time.process_time() - start)
    return found


def latency(once: Callable[[], object], calls: int) -> Callable[[], float]:
    """Measures the median CPU microseconds of a call."""
    _seconds(once, 3)
    return lambda: 1e6 * statistics.median(_seconds(once, calls))


def throughput(answer: Answer, features: Tensor, calls: int) -> Callable[[], float]:
    """Measures utterances per CPU second of whole batches, by the median call."""
    _seconds(lambda: answer(features), 3)
    return lambda: len(features) / statistics.median(_seconds(lambda: answer(features), calls))


def picture_encoder() -> Callable[[], Tensor]:
    """Encodes one picture of 72 pixels: features [1, 1280]."""
    fetch([efficientnet_lite.WEIGHTS])
    trunk = efficientnet_lite.trunk()
    picture = np.random.RandomState(0).randint(0, 256, (1, 72, 72, 3)).astype(np.uint8)
    return lambda: trunk.features(trunk.read(picture))


def clip_encoder() -> Callable[[], Tensor]:
    """Encodes one picture of 224 pixels by CLIP ViT-B/32 with random weights: features [1, 512]."""
    import transformers

    network: Any = transformers.CLIPVisionModelWithProjection
    model = network(transformers.CLIPVisionConfig()).eval()
    picture = torch.randn(1, 3, 224, 224)
    return lambda: model(picture).image_embeds


def text_encoder() -> Callable[[], Tensor]:
    """Encodes one sentence: features [1, 512]."""
    fetch([universal_sentence_encoder.WEIGHTS])
    encoder = universal_sentence_encoder.SentenceEncoder()
    return lambda: torch.from_numpy(encoder("I have never seen such a good film"))[None]


class Following:
    """Streams of frames that arrive together: after each an answer from the mean of all so far."""

    def __init__(self, answer: Answer, streams: int, width: int) -> None:
        self.answer = answer
        self.mean, self.frames = torch.zeros(streams, width), 0

    def frame(self, features: Tensor) -> Tensor:
        """The answers [streams, C] once the features [streams, D] of one frame each are there."""
        self.frames += 1
        self.mean += (features - self.mean) / self.frames
        return self.answer(self.mean)


def one_by_one(answer: Answer, encode: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """One frame of one stream: encoded, taken into the mean, answered."""
    following = Following(answer, *encode().shape)
    return lambda: following.frame(encode())


def streams_alone(once: Callable[[], object], calls: int, fps: int) -> Callable[[], float]:
    """Measures how many streams of so many frames per second one thread serves frame by frame."""
    _seconds(once, 3)
    return lambda: 1 / (fps * statistics.median(_seconds(once, calls)))


def streams_together(answer: Answer, width: int, fps: int, most: int) -> Callable[[], float]:
    """Measures how many streams one thread serves if their frames come at once: 1 / fps for all.

    Their number is doubled up to `most` until a frame of all takes longer than that, by the median
    of five; between the last two the time is taken as linear.
    """

    def measured() -> float:
        streams, before = 1, 0.0
        while True:
            following, features = Following(answer, streams, width), utterances(streams, width)

            def once(own: Following = following, x: Tensor = features) -> Tensor:
                return own.frame(x)

            taken = statistics.median(_seconds(once, 5))
            if taken >= 1 / fps:
                share = (1 / fps - before) / (taken - before)
                return streams / 2 * (1 + share) if streams > 1 else share
            if streams >= most:
                return float(streams)
            streams, before = 2 * streams, taken

    return measured


def training_of(word: str, instances: int = 2000) -> MissingTraining:
    """A stack as the engine would make it, at the sizes of notebook 40, on made-up features."""
    random = np.random.RandomState(0)
    labels = np.arange(instances) % 10
    parts = np.split(random.permutation(instances), [instances * 8 // 10, instances * 9 // 10])
    paired = Paired(
        np.tile(np.arange(instances), (len(TRAINED), 1)),
        labels,
        dict(zip(("train", "validation", "test"), parts, strict=True)),
        10,
    )
    values = tuple(
        torch.from_numpy(random.randn(1, instances, width).astype(np.float32))
        for width in TRAINED.values()
    )

    def made(number: int) -> MissingTraining:
        trials = missing_trials(
            dataset="numerals",
            perceptor="frozen",
            modalities=list(TRAINED),
            methods=[FUSIONS[word]],
            seeds=range(number),
            split_seeds=[0],
            steps=10 * BLOCK,
            every=10 * BLOCK,
        )
        shape = (number, instances)
        bank = MissingBank(
            values,
            tuple(torch.zeros(1, width) for width in TRAINED.values()),
            {0: 0},
            (paired,) * number,
            torch.from_numpy(paired.items).expand(number, -1, -1),
            torch.from_numpy(labels).expand(shape),
            torch.ones(*shape, len(TRAINED), dtype=torch.bool),
            paired.classes,
        )
        return MissingTraining(trials, bank)

    weights = made(1).model.state_dict().values()
    return made(stack_size(sum(own.numel() * own.element_size() for own in weights), "cpu"))
