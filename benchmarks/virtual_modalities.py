"""What a virtual modality costs at use, and what early, mid and late fusion cost in training.

One thread, CPU seconds. Of three modalities one is seen; TRML generates the others and answers,
against the same fusion network with zeros in their place, or one that has the seen modality only.
Nothing is trained: it takes as long.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle

from benchmarks import _virtual
from benchmarks._memory import elsewhere, taken
from benchmarks._published import clock, go
from benchmarks._virtual import FUSIONS, Answer, Sizes
from benchmarks._world import threads
from mglib.missing.generators import LEARNED
from mglib.missing.training import MissingTraining
from mglib.report.bench import Entry, Part, compare
from mglib.trials.sampling import BLOCK

VERSION = 1  # raised when what is timed here changes
QUICK = Sizes(widths=(24, 16, 16), calls=3, rows=8, steps=2)
FPS, MOST_STREAMS = 25, 2**15
REPEATS = 3
ZEROS, ALONE = "zeros in its place", "the seen modality alone"


def _sides(word: str, sizes: Sizes) -> tuple[Answer, Answer]:
    """A network that generates what is missing, and the same with zeros in its place."""
    model = _virtual.model_of(word, sizes.widths)
    return _virtual.generating(model), _virtual.filling(model.reader, sizes.widths)


def utterance(sizes: Sizes, repeats: int) -> list[Entry]:
    """Latency of one utterance with every generator, features already there."""
    one = _virtual.utterances(1, sizes.widths[0])

    def latency(answer: Answer) -> Callable[[], float]:
        return _virtual.latency(lambda: answer(one), sizes.calls)

    entries, single = list[Entry](), latency(_virtual.alone(sizes.widths[0]))
    for word in LEARNED:
        ours, zeros = map(latency, _sides(word, sizes))
        for baseline, other in ((ZEROS, zeros), (ALONE, single)):
            unit = "CPU microseconds per utterance"
            entries.append(compare(f"{word}, latency", unit, baseline, ours, other, repeats))
    return entries


def batch(sizes: Sizes, repeats: int) -> list[Entry]:
    """Throughput of whole batches with every generator."""
    many = _virtual.utterances(sizes.rows, sizes.widths[0])

    def throughput(answer: Answer) -> Callable[[], float]:
        return _virtual.throughput(answer, many, sizes.calls // 3)

    return [
        compare(
            f"{word}, batch of {sizes.rows}",
            "utterances per CPU second",
            ZEROS,
            *map(throughput, _sides(word, sizes)),
            repeats,
        )
        for word in LEARNED
    ]


def stream(sizes: Sizes, repeats: int) -> list[Entry]:
    """Streams of frames that one thread serves with every generator, by themselves and together."""
    one = _virtual.utterances(1, sizes.widths[0])
    most = MOST_STREAMS if sizes.rows > QUICK.rows else 4

    def alone(answer: Answer) -> Callable[[], float]:
        once = _virtual.one_by_one(answer, lambda: one)
        return _virtual.streams_alone(once, sizes.calls, FPS)

    def together(answer: Answer) -> Callable[[], float]:
        return _virtual.streams_together(answer, sizes.widths[0], FPS, most)

    entries = []
    for word in LEARNED:
        for name, measure in (("frame by frame", alone), ("frames together", together)):
            ours, zeros = map(measure, _sides(word, sizes))
            unit = f"streams of {FPS} fps"
            entries.append(compare(f"{word}, {name}", unit, ZEROS, ours, zeros, repeats))
    return entries


def memory(sizes: Sizes, repeats: int) -> list[Entry]:
    """Peak memory of a network and of its answers to one batch, in a fresh process."""
    zeros = elsewhere(taken, _virtual.building, "", sizes)
    again = cycle([zeros() for _ in range(repeats)])  # measured once for all generators
    return [
        compare(
            f"{word}, memory at a batch of {sizes.rows}",
            "MiB for weights and answers",
            ZEROS,
            elsewhere(taken, _virtual.building, word, sizes),
            again.__next__,
            repeats,
        )
        for word in LEARNED
    ]


def with_encoders(sizes: Sizes, repeats: int) -> list[Entry]:
    """The whole utterance, from a picture or a sentence to the answer, and a stream of pictures."""
    entries = []
    for name, encode, widths in (
        ("EfficientNet-Lite0", _virtual.picture_encoder(), (1280, 512)),
        ("CLIP ViT-B/32", _virtual.clip_encoder(), (512, 512)),
        ("sentence encoder", _virtual.text_encoder(), (512, 1280)),
    ):
        model = _virtual.model_of("pairwise", widths)
        answers = _virtual.generating(model), _virtual.filling(model.reader, widths)
        ours, zeros = (_virtual.one_by_one(answer, encode) for answer in answers)
        calls = max(3, sizes.calls // 15)
        entries.append(
            compare(
                f"{name} and pairwise, latency",
                "CPU microseconds per utterance",
                ZEROS,
                _virtual.latency(ours, calls),
                _virtual.latency(zeros, calls),
                repeats,
            )
        )
        if name != "sentence encoder":
            entries.append(
                compare(
                    f"{name} and pairwise, frame by frame",
                    f"streams of {FPS} fps",
                    ZEROS,
                    _virtual.streams_alone(ours, calls, FPS),
                    _virtual.streams_alone(zeros, calls, FPS),
                    repeats,
                )
            )
    return entries


def seconds_of(training: MissingTraining, steps: int) -> Callable[[], float]:
    """Measures CPU seconds of 1,000 trial-steps, the draws of a block of steps among them."""
    go(training, 0, 2)

    def seconds() -> float:
        before = clock(training.device)
        go(training, BLOCK, steps)
        return 1000 * (clock(training.device) - before) / (steps * len(training.trials))

    return seconds


def in_training(sizes: Sizes, repeats: int) -> list[Entry]:
    """Mid and early fusion and TRML, relative to late fusion."""
    measured = {word: seconds_of(_virtual.training_of(word), sizes.steps) for word in FUSIONS}
    late = measured.pop("late")
    return [
        compare(
            f"{word} fusion, training" if word != "TRML" else "TRML, training",
            "CPU seconds per 1,000 trial-steps",
            "late fusion",
            own,
            late,
            repeats,
        )
        for word, own in measured.items()
    ]


def _scaled(entries: Callable[[Sizes, int], list[Entry]]) -> Callable[[bool], list[Entry]]:
    """Entries at the sizes and repeats of a figure, or those that only show that it works."""

    def run(quick: bool) -> list[Entry]:
        with threads(1):
            return entries(*((QUICK, 1) if quick else (Sizes(), REPEATS)))

    return run


TRML = ("missing", "missing_method/trml")
PARTS = {
    "utterance": Part(_scaled(utterance), TRML),
    "batch": Part(_scaled(batch), TRML),
    "stream": Part(_scaled(stream), TRML),
    "memory": Part(_scaled(memory), TRML),
    "encoders": Part(
        _scaled(with_encoders),
        (*TRML, "perceptor/efficientnet_lite0", "perceptor/universal_sentence_encoder"),
    ),
    "training": Part(
        _scaled(in_training), (*TRML, "missing_method/ume_mma", "missing_method/early_fusion")
    ),
}


def run(quick: bool) -> list[Entry]:
    """Every generator at use, and every fusion in training; `quick` only shows that it works."""
    return [entry for part in PARTS.values() for entry in part.run(quick)]
