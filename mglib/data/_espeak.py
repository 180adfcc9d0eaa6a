"""Speech from espeak-ng in a process of its own: `python -m mglib.data._espeak` is the child.

espeak-ng is GPL-3.0-or-later and only a tool here: its library is loaded by the child alone, which
gets a job on standard input and answers with samples on standard output.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mglib import paths
from mglib.data.carriers import Carrier, opened, unpack
from mglib.errors import MglibError

NATIVE_RATE = 22050  # Hz
PREFIX = "espeakng_loader/"
LONGEST_PATH = 100  # the data path goes into a fixed buffer: 127 characters work, 157 kill it
VOICE_DATA = (
    "phondata",
    "phonindex",
    "phontab",
    "intonations",
    "en_dict",
    "lang/gmw/en",
    "voices/!v/",
)

ESPEAK = Carrier(
    "espeakng-loader",
    "0.2.4",
    "08721baf27d13d461f6be6eed9a65277e70d68234ff484fd8b9897b222cdcb6d",
    "GPL-3.0-or-later (espeak-ng; the wheel states none)",
    "speech synthesiser (a tool)",
    10.1,
)


@dataclass(frozen=True)
class Clip:
    """What to say and how: voice name, rate in words per minute, pitch and pitch range 0..99."""

    text: str
    voice: str
    rate: int
    pitch: int
    range: int


def _wanted(member: str) -> bool:
    name = member.removeprefix(PREFIX)
    return name == "libespeak-ng.so" or any(
        name.startswith(f"espeak-ng-data/{part}") for part in VOICE_DATA
    )


def _work_folder() -> tempfile.TemporaryDirectory[str]:
    """A fresh folder for the unpacked library, in the cache if its path is short enough."""
    cache = paths.cache()
    parent = cache if len(str(cache)) < LONGEST_PATH - 40 else Path(tempfile.gettempdir())
    if len(str(parent)) > LONGEST_PATH - 40:
        raise MglibError(
            "espeak-ng needs a short path: set TMPDIR or MGLIB_CACHE to one shorter "
            f"than {LONGEST_PATH - 40} characters (not {parent})"
        )
    with paths.writing(parent):
        parent.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(
            prefix=f".espeak.{os.getpid()}.", suffix=".tmp", dir=parent
        )


def synthesise(clips: Sequence[Clip], seed: int = 0) -> Iterator[np.ndarray]:
    """The clips in order, int16 [samples] at NATIVE_RATE Hz.

    Bit-identical for equal arguments: one fresh, seeded process in one fixed order. A clip alone
    sounds slightly different, because espeak-ng carries state from one utterance to the next.
    """
    with _work_folder() as folder:
        with opened(ESPEAK) as archive:
            unpack(archive, _wanted, Path(folder))
        job = json.dumps(
            {
                "root": str(Path(folder) / PREFIX),
                "seed": seed,
                "clips": [asdict(clip) for clip in clips],
            }
        ).encode()
        with subprocess.Popen(
            [sys.executable, "-m", "mglib.data._espeak"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=paths.ROOT,
        ) as child:
            assert child.stdin and child.stdout and child.stderr
            complaints: list[bytes] = []
            errors = child.stderr
            reader = threading.Thread(target=lambda: complaints.append(errors.read()))
            reader.start()
            try:
                with suppress(BrokenPipeError):  # of a child that died early the loop tells
                    child.stdin.write(job)
                    child.stdin.close()
                for clip in clips:
                    head = child.stdout.read(4)
                    size = 2 * struct.unpack("<I", head)[0] if len(head) == 4 else -1
                    samples = child.stdout.read(max(size, 0))
                    if len(samples) != size:
                        child.kill()
                        reader.join()
                        said = b"".join(complaints).decode(errors="replace")
                        last = said.strip().splitlines()[-1:]
                        raise MglibError(
                            f"espeak-ng ended before '{clip.text}' (exit status "
                            f"{child.wait()}; {' '.join(last) or 'it said nothing'})"
                        )
                    yield np.frombuffer(samples, dtype="<i2").astype(np.int16)
            finally:
                child.kill()
                with suppress(BrokenPipeError):  # what of the job was still to be written
                    child.stdin.close()
                reader.join()


def _child() -> None:
    """Read a job, speak its clips, write each as a little-endian count and int16 samples."""
    job = json.load(sys.stdin)
    root = Path(job["root"])
    library = ctypes.CDLL(str(root / "libespeak-ng.so"))
    rate = library.espeak_Initialize(2, 0, str(root).encode(), 0)  # 2: synchronous, to a callback
    if rate != NATIVE_RATE:
        raise RuntimeError(f"espeak-ng starts with {rate} Hz instead of {NATIVE_RATE}")
    chunks: list[bytes] = []

    def collect(samples: int | None, count: int, events: int | None) -> int:
        if samples and count > 0:
            chunks.append(ctypes.string_at(samples, 2 * count))
        return 0

    signature = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
    keep = signature(collect)  # espeak-ng keeps the pointer, Python must keep the object
    library.espeak_SetSynthCallback(keep)
    library.espeak_ng_SetRandSeed(ctypes.c_long(job["seed"]))
    for clip in job["clips"]:
        if library.espeak_SetVoiceByName(clip["voice"].encode()):
            raise RuntimeError(f"espeak-ng has no voice {clip['voice']}")
        for parameter, value in ((1, clip["rate"]), (3, clip["pitch"]), (4, clip["range"])):
            library.espeak_SetParameter(parameter, value, 0)
        chunks.clear()
        text = clip["text"].encode() + b"\0"
        if library.espeak_Synth(text, len(text), 0, 1, 0, 1, None, None):
            raise RuntimeError(f"espeak-ng cannot say '{clip['text']}'")
        library.espeak_Synchronize()
        samples = b"".join(chunks)
        sys.stdout.buffer.write(struct.pack("<I", len(samples) // 2) + samples)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    _child()
