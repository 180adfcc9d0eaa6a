"""The diagram of MoNA's first stage against the stage itself: which way data and gradients go."""

from __future__ import annotations

import pytest
import torch
from _small_body import Small, make_source, make_target
from matplotlib.colors import to_hex
from matplotlib.patches import FancyBboxPatch

from mglib.figures.mona import draw_mona
from mglib.registry import transfers
from mglib.transfer.method import TransferBatch
from mglib.transfer.model import TransferModel

REACH = 0.1  # of an arrow's end from the box that it points to


@pytest.fixture(scope="module")
def drawn():
    """Names by box, and arrows as (start, end, whether dashed)."""
    (axes,) = draw_mona().axes
    frames = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    boxes = {}
    for frame in frames:
        corner, size = (frame.get_x(), frame.get_y()), (frame.get_width(), frame.get_height())
        middle = tuple(a + b / 2 for a, b in zip(corner, size, strict=True))
        (name,) = (
            text.get_text() for text in axes.texts if text.get_position() == pytest.approx(middle)
        )
        boxes[name] = (middle, size, frame)

    def box_at(point):
        found = [
            name
            for name, (middle, size, _) in boxes.items()
            if all(
                abs(at - own) <= side / 2 + REACH
                for at, own, side in zip(point, middle, size, strict=True)
            )
        ]
        assert len(found) == 1, f"an arrow hangs in the air at {point}"
        return found[0]

    arrows = []
    for text in axes.texts:
        if patch := getattr(text, "arrow_patch", None):
            dashed = patch.get_linestyle() in ("--", "dashed")
            arrows.append((box_at(text.xyann), box_at(text.xy), dashed))
    assert len(frames) == len(boxes), "every box has a name of its own"
    return boxes, arrows


def stage_one(**settings):
    """One gradient of the stage on a small model: by parameter, and the parts called in order."""
    torch.manual_seed(0)
    target, source = make_target(), make_source()
    model = TransferModel(Small(), target.shape)
    told = ",".join(f"{name}={value}" for name, value in settings.items())
    method = transfers.get(f"mona@{told}" if told else "mona")()
    stage = method.stages(model)[0]
    own = {name: model.named("embedder", "predictor")[name] for name in stage.names}
    first = next(model.encoder.parameters()).detach().clone()
    calls = []

    def call(module, name):
        def hook(*_):
            moved = not torch.equal(next(module.parameters()), first)
            calls.append(f"{name}*" if name == "encoder θ" and moved else name)

        module.register_forward_hook(hook)

    call(model.embedder, "target\nembedder φ")
    call(model.encoder, "encoder θ")
    call(model.predictor, "predictor θ")
    call(model.body.source_embedder, "source\nembedder")
    chosen = (target.rows(target.parts["train"][:9]), source.rows(source.parts["surrogate"][:9]))
    batch = TransferBatch(*chosen[0], *chosen[1], 0.5)
    return stage.gradients(model, target, batch, own), calls, method.virtual_names(model)


def follow(arrows, start):
    """The boxes that solid arrows lead through from one to the last."""
    after = {a: b for a, b, dashed in arrows if not dashed}
    path = [start]
    while path[-1] in after:
        path.append(after[path[-1]])
    return path


def test_solid_arrows_are_the_calls_of_the_stage_in_their_order(drawn):
    boxes, arrows = drawn
    inner, outer = (follow(arrows, f"{name}\nbatch") for name in ("target", "source"))
    assert (inner[-1], outer[-1]) == ("inner loss", "outer loss")
    assert {*inner, *outer} == set(boxes), "no box stands apart"
    _, calls, _ = stage_one()
    assert calls == [*inner[1:-1], *outer[1:-1]]


def test_dashed_arrows_are_the_virtual_step_and_the_gradient_for_the_embedder(drawn):
    boxes, arrows = drawn
    virtual, outer = ((a, b) for a, b, dashed in arrows if dashed)
    assert virtual == ("inner loss", "encoder θ*")
    assert outer == ("encoder θ*", "target\nembedder φ")
    with_it, _, moved = stage_one()
    without, _, _ = stage_one(weight=0)
    reached = {name for name in with_it if not torch.equal(with_it[name], without[name])}
    assert reached == {name for name in with_it if name.startswith("embedder.")}
    # What one virtual step moves has the colour of the step, what is learned that of its gradient.
    assert {name.partition(".")[0] for name in moved} == {"encoder", "predictor"}
    frame = {name: to_hex(box.get_edgecolor()) for name, (_, _, box) in boxes.items()}
    assert frame["encoder θ"] == frame["predictor θ"] != frame["target\nembedder φ"]


def test_what_is_dotted_is_frozen(drawn):
    boxes, _ = drawn
    dotted = {name for name, (_, _, box) in boxes.items() if box.get_linestyle() in (":", "dotted")}
    assert dotted == {"source\nembedder"}
    gradients, _, moved = stage_one()
    assert not any(name.startswith("source_embedder") for name in {*gradients, *moved})
    assert not any(p.requires_grad for p in Small().source_embedder.parameters())
