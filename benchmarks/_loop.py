"""The baseline: one trial at a time in plain PyTorch, as a good user would write it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


def network(width: int, classes: int) -> nn.Sequential:
    """ModalBed's featurizer D -> D/2 -> D/4 -> D/2 -> D and a linear classifier."""
    return nn.Sequential(
        nn.Linear(width, width // 2),
        nn.ReLU(),
        nn.Linear(width // 2, width // 4),
        nn.ReLU(),
        nn.Linear(width // 4, width // 2),
        nn.ReLU(),
        nn.Linear(width // 2, width),
        nn.Linear(width, classes),
    )


@dataclass
class Result:
    """The loss of every step and, by evaluation, the accuracies by modality and part."""

    losses: list[float] = field(default_factory=list)
    accuracies: list[list[list[float]]] = field(default_factory=list)


def train(
    features: Sequence[Tensor],
    labels: Tensor,
    parts: Sequence[Tensor],
    *,
    trained: int,
    lr: float,
    weight_decay: float,
    rows: int,
    steps: int,
    every: int,
    model: nn.Sequential | None = None,
    indices: Iterable[Tensor] | None = None,
) -> Result:
    """Train on the first `trained` modalities, features [N, D] each; evaluate on all of them.

    `parts` are the indices of training, validation and test. `model` and `indices` (by step,
    [modality, rows]) replace the random initial weights and batches, for tests.
    """
    classes = int(labels.max()) + 1
    model = model or network(features[0].shape[1], classes)
    optimiser = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=weight_decay)
    pool, result = parts[0], Result()
    losses: list[Tensor] = []
    given = iter(indices) if indices is not None else None
    for step in range(1, steps + 1):
        chosen = pool[torch.randint(len(pool), (trained, rows))] if given is None else next(given)
        x = torch.cat([features[m][chosen[m]] for m in range(trained)])
        loss = nn.functional.cross_entropy(model(x), labels[chosen].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.detach())
        if step % every == 0 or step == steps:
            result.accuracies.append(evaluate(model, features, labels, parts))
    result.losses = torch.stack(losses).tolist()
    return result


@torch.no_grad()
def evaluate(
    model: nn.Sequential, features: Sequence[Tensor], labels: Tensor, parts: Sequence[Tensor]
) -> list[list[float]]:
    """Accuracy by modality and part."""
    asked, found = torch.cat(list(parts)), []
    for x in features:
        right = (model(x[asked]).argmax(1) == labels[asked]).float()
        found.append([own.mean().item() for own in right.split([len(part) for part in parts])])
    return found
