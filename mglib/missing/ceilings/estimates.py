"""Mutual information from samples, in nats: MINE, and the entropy that a classifier takes away."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from mglib.errors import MglibError

WORDS = ("mine", "entropy")
HIDDEN, STEPS, RATE, BATCH = 64, 1500, 1e-3, 128
MOVING = 0.01  # share of a new mean in MINE's moving average
HELD = 0.3  # of the samples, on which the estimate is read
CHECKS = 15


def _perceptron(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, outputs))


def donsker_varadhan(joint: Tensor, product: Tensor) -> Tensor:
    """E[T] under the joint law - ln E[exp T] under the product of its margins, of scores T.

    A lower bound of the mutual information for any T (Donsker and Varadhan 1983).
    """
    return joint.mean() - (product.flatten().logsumexp(0) - math.log(product.numel()))


def _everywhere(critic: nn.Module, x: Tensor, classes: int) -> Tensor:
    """Scores [N, C] of each row with each class."""
    words = torch.eye(classes)
    pairs = torch.cat(
        [x.repeat_interleave(classes, 0), words.repeat(len(x), 1)],
        1,
    )
    scores: Tensor = critic(pairs).view(len(x), classes)
    return scores


def _mine_loss(scores: Tensor, y: Tensor, average: Tensor) -> Tensor:
    """The loss whose gradient is MINE's, with the moving `average` of exp T under it."""
    shuffled = scores[:, y]  # every row with every label of the batch: the product of margins
    joint = scores.gather(1, y[:, None]).mean()
    means = shuffled.exp().mean()
    average.mul_(1 - MOVING).add_(MOVING * means.detach())
    return -(joint - means / average)


def information(
    x: np.ndarray, y: np.ndarray, classes: int, word: str, seed: int, steps: int = STEPS
) -> float:
    """An estimate of I(X; Y) [nats] from features [N, D] and labels [N], by one of WORDS.

    "mine" trains a critic of X and Y with MINE's gradient (moving average) and reads the bound of
    Donsker and Varadhan; "entropy" trains a classifier and subtracts its cross-entropy from the
    entropy of the labels. Both a perceptron of equal size, Adam, equal steps; both are read on
    HELD samples at the checkpoint that is best on as many others. An estimate may be negative.
    Raises MglibError for another word, labels out of range, or too few samples.
    Source: Belghazi et al. 2018 (arXiv 1801.04062); sizes and reading are ours.
    """
    if word not in WORDS:
        raise MglibError(f"an estimate of information is by {' or '.join(WORDS)}, not '{word}'")
    if len(x) != len(y) or len(x) < 20 or not 0 <= y.min() <= y.max() < classes:
        raise MglibError(f"information needs 20 or more rows with labels from 0 to {classes - 1}")
    random = np.random.Generator(np.random.PCG64([seed, len(x)]))
    order = random.permutation(len(x))
    held = round(HELD * len(x))
    parts = [torch.from_numpy(own.copy()) for own in np.split(order, [held, 2 * held])]
    read, choose, learn = parts
    features, labels = torch.from_numpy(x).float(), torch.from_numpy(y).long()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        width = x.shape[1]
        net = _perceptron(width + classes, 1) if word == "mine" else _perceptron(width, classes)
        optimiser = torch.optim.Adam(net.parameters(), lr=RATE)
        average = torch.ones(())
        best, found = -math.inf, 0.0
        for step in range(1, steps + 1):
            rows = learn[torch.randint(len(learn), (min(BATCH, len(learn)),))]
            own, truth = features[rows], labels[rows]
            if word == "mine":
                loss = _mine_loss(_everywhere(net, own, classes), truth, average)
            else:
                loss = nn.functional.cross_entropy(net(own), truth)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if step % max(1, steps // CHECKS) == 0:
                with torch.no_grad():
                    told = _told(net, features[choose], labels[choose], classes, word)
                    if told > best:
                        best = told
                        found = _told(net, features[read], labels[read], classes, word)
    return found


def _told(net: nn.Module, x: Tensor, y: Tensor, classes: int, word: str) -> float:
    """What a trained network says of the information in some rows."""
    if word == "mine":
        scores = _everywhere(net, x, classes)
        return float(donsker_varadhan(scores.gather(1, y[:, None]), scores[:, y]))
    shares = torch.bincount(y, minlength=classes).double() / len(y)
    entropy = -float((shares * shares.clamp(min=1e-12).log()).sum())
    return entropy - float(nn.functional.cross_entropy(net(x), y))


def complementarity(both: float, one: float, other: float) -> float:
    """(Gamma_X + Gamma_Z) / I(X, Z; Y) of the informations of both modalities, and of each.

    0: each tells all that both tell; above 1 if they tell more together than the sum of each.
    Raises MglibError unless the two together tell something. Source: openreview gfHLOC35Zh.
    """
    if both <= 0:
        raise MglibError(f"complementarity is of an information above 0, not {both:g}")
    return ((both - one) + (both - other)) / both
