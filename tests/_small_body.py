"""A body of a few weights, a target and a source made of noise: what the transfer tests train."""

from __future__ import annotations

import json

import numpy as np
import torch
from torch import nn

from mglib.transfer.body import Body, TargetShape
from mglib.transfer.predictors import ClassesOfMap, FieldOfMap
from mglib.transfer.source import Source
from mglib.transfer.target import Target, Units
from mglib.transfer.trial import TransferTrial


class Small(Body):
    """One convolution as embedder, a normalised and a plain one as encoder; no kinks."""

    name, title = "small", "small"
    source = ("emoji_concepts", "raw", "art")
    dimensions, smooth, attention, width = 2, True, False, 5

    def __init__(self):
        super().__init__()
        self.source_embedder = nn.Conv2d(3, 4, 2, 2).requires_grad_(False)
        self.encoder = nn.Sequential(
            nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Tanh(), nn.Conv2d(4, 5, 2, 2), nn.Tanh()
        )
        with torch.no_grad():
            random = torch.Generator().manual_seed(3)
            for part in (self.source_embedder, self.encoder):
                for parameter in part.parameters():
                    parameter.copy_(torch.randn(parameter.shape, generator=random) / 2)
        self.eval()

    def read_source(self, values, lengths):
        return torch.from_numpy(values)

    def source_tokens(self, batch):
        return self.source_embedder(batch).detach(), None

    def embedder(self, shape, copied):
        new = nn.Conv2d(shape.channels, 4, 2, 2)
        if copied and shape.channels == 3:
            new.load_state_dict(self.source_embedder.state_dict())
        return new

    def predictor(self, shape):
        classes = ClassesOfMap(5, shape.classes) if shape.classes else None
        return classes or FieldOfMap(5, 4, shape.output)

    def encode(self, encoder, tokens):
        return encoder(tokens[0])

    def pooled(self, encoded, mask):
        return encoded.mean((2, 3))

    def fresh(self):
        for module in self.encoder.modules():
            if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
                module.reset_parameters()


COUNT = 72


def parts():
    return {
        "train": np.arange(36),
        "validation": np.arange(36, 46),
        "test": np.arange(46, COUNT),
    }


def make_target(fields=False):
    random = np.random.default_rng(0)
    labels = np.arange(COUNT) % 3
    means = random.normal(size=(3, 2, 1, 1))
    inputs = torch.from_numpy(
        (means[labels] + 0.5 * random.normal(size=(COUNT, 2, 8, 8))).astype(np.float32)
    )
    shape = TargetShape(2, (8, 8), classes=0 if fields else 3, output=(1, 8, 8) if fields else ())
    answers = inputs[:, :1] * 2 + 3 if fields else torch.from_numpy(labels)
    one, nothing = torch.ones(2), torch.zeros(2)
    about = (torch.tensor([3.0]), torch.tensor([2.0])) if fields else (nothing[:1], one[:1])
    units = Units(nothing, one, *about)
    return Target(inputs, answers, units, parts(), np.arange(COUNT), shape)


def make_source():
    random = np.random.default_rng(1)
    labels = np.arange(COUNT) % 3
    means = random.normal(size=(3, 3, 1, 1))
    pictures = means[labels] + 0.5 * random.normal(size=(COUNT, 3, 8, 8))
    batch = torch.from_numpy(pictures.astype(np.float32))
    split = {**parts(), "surrogate": np.arange(36)}
    return Source(batch, torch.from_numpy(labels), np.arange(COUNT), split)


def make_transfer(method, steps=12, **values):
    hparams = {"lr": 0.02, "weight_decay": 0.0, "batch_size": 9, "rise": 0.1, **values}
    return TransferTrial(
        *("emoji_concepts", "raw", "glyph", "class", "small", method, 0, 0),
        steps,
        5,
        json.dumps(hparams, sort_keys=True),
    )
