"""Whether the present code would give a key again, and what differs if not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from mglib.errors import Absent, MglibError
from mglib.features import data_identity
from mglib.keys.versions import declared
from mglib.lineage import measures
from mglib.missing.sequences.trial import SequenceTrial
from mglib.missing.sequences.virtual_trial import LAW, VirtualTrial
from mglib.missing.trial import MissingTrial
from mglib.provenance import digest
from mglib.transfer.trial import TransferTrial
from mglib.trials.trial import Trial

ABSENT = "none"
_VERSIONS = (
    *(
        "engine",
        "algorithm",
        "transfer",
        "method",
        "body.version",
        "missing",
        "sequences",
        "virtual",
        "law",
        "pairing",
        "probe",
    ),
    *("data.format", "data.splitting.version"),
)
_NAMED = {
    "data.format": "features",
    "data.splitting.fractions": "fractions of the splits",
    "data.splitting.version": "splits",
    "data.versions.dataset": "dataset",
    "engine": "engine",
    "missing": "training with missing modalities",
    "probe": "training of bodies, for its linear probe",
    "sequences": "training with lost frames",
    "virtual": "training with missing sequences",
    "transfer": "training of bodies",
}


class OtherForm(MglibError):
    """A question that the present code does not know how to ask."""


def identity_now(identity: Mapping[str, Any]) -> dict[str, Any]:
    """What the same question stands for under the versions declared now.

    Raises MglibError for a name that is registered no more, OtherForm for an unknown question.
    """
    question = dict(identity.get("question", {}))
    if "timed" not in identity and not {"dataset", "perceptor"} <= question.keys():
        raise OtherForm("the question names no dataset and perceptor")
    kind = _kind(identity)
    if kind:
        known = {field.name for field in fields(kind)}
        if extra := sorted(question.keys() - known):
            raise OtherForm(f"a trial has no {', '.join(extra)} now")
        lists = {name: tuple(value) for name, value in question.items() if isinstance(value, list)}
        try:
            found = kind(**{**question, **lists}).identity
        except TypeError as error:
            raise OtherForm(f"a trial has other fields now ({error})") from error
    else:
        found = {**identity}
        if "timed" in identity:
            found["timed"] = {part: declared(part) for part in identity["timed"]}
        else:
            found["data"] = data_identity(question["dataset"], question["perceptor"])
        if "measure" in identity:
            now = measures()
            if unknown := sorted(identity["measure"].keys() - now.keys()):
                raise OtherForm(f"no measure {', '.join(unknown)} is known now")
            found["measure"] = {name: now[name] for name in identity["measure"]}
    return dict(json.loads(json.dumps(found)))


def _kind(identity: Mapping[str, Any]) -> Any:
    """The class of trials that a question is of; None for a measure."""
    if "algorithm" in identity:
        return Trial
    kinds = {
        "transfer": TransferTrial,
        "virtual": VirtualTrial,
        "sequences": SequenceTrial,
        "missing": MissingTrial,
    }
    return next((kind for name, kind in kinds.items() if name in identity), None)


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """What stands in nested mappings, by its place 'data.versions.dataset'."""
    if isinstance(value, Mapping) and value:
        for name, below in value.items():
            yield from _leaves(below, f"{place}.{name}" if place else name)
    else:
        yield place, value


def name_of(place: str, identity: Mapping[str, Any]) -> str:
    """In words, what stands at a place of an identity."""
    question = identity.get("question", {})
    if place == "algorithm":
        return f"algorithm {question.get('algorithm')}"
    if place == "method":
        return f"method {question.get('method')}"
    if place in ("law", "pairing"):
        return f"{place} {question.get(place, LAW)}"
    if place.startswith("body."):
        return f"body {question.get('body')}"
    if place == "data.versions.dataset":
        return f"dataset {question.get('dataset')}"
    for start, word in (
        ("data.versions.perceptors.", "perceptor"),
        ("data.sources.", "source"),
        ("data.parameters.", "parameters of"),
        ("measure.", "measure"),
        ("timed.", "timed"),
        ("question.", "the question's"),
    ):
        if place.startswith(start):
            return f"{word} {place.removeprefix(start)}"
    return _NAMED.get(place, place)


def _shown(value: Any) -> str:
    text = ABSENT if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Lines such as 'algorithm erm: version 1 then, 2 now', for all that differs."""
    old, new = (dict(_leaves(json.loads(json.dumps(one)))) for one in (then, now))
    lines = []
    for place in sorted(old.keys() | new.keys()):
        before, after = old.get(place), new.get(place)
        if before != after:
            version = place in _VERSIONS or place.startswith(
                ("data.versions.", "measure.", "timed.")
            )
            word = "version " if version else ""
            told = f"{word}{_shown(before)} then, {_shown(after)} now"
            alike = _shown(before) == _shown(after)
            lines.append(f"{name_of(place, then)}: {'changed' if alike else told}")
    return lines


def verdict(key: str, identity: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Whether the present code gives this key, and why not.

    'current'; 'outdated' (other versions, or a name that is registered no more); 'unclear' (the
    key is no digest of what its record says, the question is of a form not known here, or what a
    user brought along for it is not here).
    """
    if digest(identity) != key:
        return "unclear", ["its record does not belong to it: the key is no digest of what it says"]
    try:
        now = identity_now(identity)
    except (OtherForm, Absent) as error:
        return "unclear", [str(error)]
    except MglibError as error:
        return "outdated", [str(error)]
    return ("current", []) if digest(now) == key else ("outdated", differences(identity, now))
