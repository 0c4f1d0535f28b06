"""Parts that are read from a layer whose rows are the positions of all samples."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeprune import prune


class _MergedRows(nn.Module):
    """Keys and values come from one layer on (samples * positions, features), as in simplified ONNX files."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.both, self.last = nn.Linear(8, 8), nn.Linear(8, 16), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        query = self.query(x).reshape(x.shape[0], 5, 1, 8).transpose(1, 2)
        both = self.both(x.reshape(-1, 8)).reshape(x.shape[0], 5, 2, 1, 8).permute(2, 0, 3, 1, 4)
        key, value = both[0], both[1]
        mixed = torch.softmax(query @ key.transpose(2, 3), -1) @ value
        return self.last(mixed.transpose(1, 2).reshape(x.shape[0], 5, 8))


def test_keys_and_values_of_merged_rows_are_pruned_for_any_batch_size() -> None:
    torch.manual_seed(0)
    pruned = prune(
        _MergedRows().eval(), (torch.rand(1, 5, 8),), budget={"params": 0.6}, options={"attention": "head_dim"}
    )
    x = torch.rand(3, 5, 8)
    with torch.no_grad():
        parts = torch.cat([pruned.model(sample[None]) for sample in x])
        torch.testing.assert_close(pruned.model(x), parts)
