"""A global matching head: every query looks at every remembered element."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from .registry import MODELS

TILE = 1024  # queries at a time, so that the affinity stays small


@MODELS.register_module()
class CosineMatching(BaseModule):
    """Softmax over all elements of the cosine similarity divided by a temperature.

    Args:
        temperature: The smaller, the sharper.
        init_cfg: See mmengine's BaseModule.
    """

    example = dict(temperature=0.1)

    def __init__(self, temperature: float = 0.05, *, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if temperature <= 0:
            raise ValueError(f'temperature of CosineMatching should be positive, got {temperature}')
        self.temperature = temperature

    def forward(self, query: Tensor, keys: Tensor, values: Tensor,
                valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Read `values` where `keys` look like `query`.

        Args:
            query: (B,Ck,M).
            keys: (B,Ko,Ck,N); Ko is 1 (keys shared by the objects) or K.
            values: (B,K,Cv,N).
            valid: (B,K,N) bool, False for elements that do not exist for an object, or None.

        Returns:
            Readout (B,K,Cv,M), zero where nothing is valid, and mass (B,K,N), the attention that
            each element got from all queries.
        """
        query, keys = F.normalize(query, dim=1) / self.temperature, F.normalize(keys, dim=2)
        objects = values.shape[1]
        readouts, mass = [], values.new_zeros(*values.shape[:2], values.shape[3])
        for tile in query.split(TILE, -1):
            logits = torch.einsum('bcm,bkcn->bkmn', tile, keys)
            if valid is not None:
                blocked = ~valid[:, :, None]
                logits = logits.expand(-1, objects, -1, -1).masked_fill(blocked, -1e4)
            weights = logits.softmax(-1)
            if valid is not None:  # zero too for an object that has no element at all
                weights = weights.masked_fill(blocked, 0)
            weights = weights.expand(-1, objects, -1, -1)
            readouts.append(torch.einsum('bkmn,bkvn->bkvm', weights, values))
            mass = mass + weights.sum(2)
        return torch.cat(readouts, -1), mass
