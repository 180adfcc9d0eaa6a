"""What transformer bodies share: the library, layers in a row, and new weights for them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from mglib.perceptors import _folders
from mglib.transfer.recomputed import passed


def libraries(name: str) -> tuple[Any, Any]:
    """The modules transformers and tokenizers; raises MglibError if body `name` lacks them."""
    return _folders.libraries(
        f"body '{name}'", ", or use 'efficientnet_lite0', which needs neither"
    )


class Layers(nn.Module):
    """Transformer layers in a row, then a LayerNorm if there is one: [B, L, D] -> [B, L, D].

    `bias`, broadcast to [B, heads, L, L], is added to the scores of the attention.
    """

    def __init__(self, layers: nn.ModuleList, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.layers, self.norm = layers, norm or nn.Identity()

    def forward(self, hidden: Tensor, bias: Tensor | None = None) -> Tensor:
        for layer in self.layers:
            hidden = passed(layer, hidden, bias)
        return self.norm(hidden)


def renew(encoder: nn.Module, deviation: float) -> None:
    """New weights by BERT's law, in place: normal, biases 0, normalisations as identities.

    Swin's tables of relative positions begin at 0.
    """
    for part in encoder.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=deviation)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.LayerNorm):
            part.reset_parameters()
    for name, parameter in encoder.named_parameters():
        if name.endswith("relative_position_bias_table"):
            nn.init.zeros_(parameter)
