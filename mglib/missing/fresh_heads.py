"""How much the encoders still know of the answer: fresh heads on what they give, by subset."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mglib.analysis.linear_probe import fit_probes

STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1000.0)  # penalties to choose from on the validation part


def fresh_heads(
    z: Sequence[Tensor], labels: Tensor, parts: dict[str, np.ndarray], pattern: tuple[bool, ...]
) -> np.ndarray:
    """Accuracy and cross-entropy [nats] of a linear head on some encodings: [2, 2].

    In rows, on the validation part, which chose its penalty, and on the test part.

    `z` are those of one trial by modality, each [N, H], of which `pattern` is seen; `labels` [N].
    The head is the multinomial logistic regression on the training part whose penalty has the least
    cross-entropy on the validation part: an estimate, from above, of H(Y | encodings).
    Source: ours; the second term of a model's loss, see `ceilings.deficits`.
    """
    own = torch.cat([z[m] for m, seen in enumerate(pattern) if seen], -1).double()
    learn = torch.from_numpy(parts["train"])
    centre, scale = own[learn].mean(0), own[learn].std(0).clamp(min=1e-6)
    own = (own - centre) / scale
    strengths = torch.tensor(STRENGTHS, dtype=torch.float64)
    sets = torch.zeros(len(strengths), dtype=torch.long)
    found = fit_probes(own[learn], labels[learn], strengths, sets=sets, tolerance=1e-4)

    def said(part: str) -> tuple[Tensor, Tensor]:
        rows = torch.from_numpy(parts[part])
        scores = torch.einsum("nd,pdc->pnc", own[rows], found.weights) + found.bias[:, None]
        return scores.log_softmax(-1), labels[rows]

    def losses(part: str) -> Tensor:
        scores, truth = said(part)
        return -scores[:, torch.arange(len(truth)), truth].clamp(min=-30).mean(1)

    best = int(losses("validation").argmin())
    told = []
    for part in ("validation", "test"):
        scores, truth = said(part)
        hits = (scores[best].argmax(-1) == truth).double().mean()
        told.append((float(hits), float(losses(part)[best])))
    return np.array(told)
