"""Mask learning by policy gradient: masks are sampled and rewarded."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeprune.model.seeding import generator
from edgeprune.schedules.gates import due
from edgeprune.schedules.mask_agent import Agent
from edgeprune.schedules.session import PruningSession

_SPREAD = 0.5
"""Standard deviation of sampled logits."""
_PAIRS = 4


class Policy(Agent):
    """Normal distribution over one logit for each group, from whose samples masks within the budget are computed.

    The reward of a mask is the quality of the network with it. Every few steps, masks are sampled in mirrored pairs,
    and the means of the distribution are updated by REINFORCE: a step towards each sample, proportional to its
    advantage. The advantage is the reward minus the mean reward of the samples, divided by their standard deviation.

    Args:
        session: Session of the network.
        choices: Number of times that the mask for training is computed.
        reach: Approximate distance that the means move if all rewards point in one direction.
        evaluations: Maximum number of sampled masks.
        samples: Number of validation samples for each reward.
    """

    network: _Means

    def __init__(self, session: PruningSession, choices: int, reach: float, evaluations: int, samples: int) -> None:
        super().__init__(session, choices)
        self._pairs = min(_PAIRS, evaluations // 2)
        self._rounds = evaluations // (2 * self._pairs)
        self._rate = reach / self._rounds
        self._samples = samples

    def build(self) -> _Means:
        return _Means(self.session.units.group_of)

    def draw(self, step: int) -> Tensor:
        if due(step, self.steps, self._rounds):
            self.explore(step)
        return super().draw(step)

    @torch.no_grad()
    def explore(self, step: int) -> None:
        """Sample masks and learn from their rewards; the parameters hold the dense weights before and after."""
        self.update_scores()
        means = self.network.means
        noise = torch.randn(self._pairs, len(means), generator=generator(self.session.seed, step))
        noise = torch.cat([noise, -noise])
        current = self.gates.values
        rewards = torch.tensor([self.reward(means + _SPREAD * it) for it in noise], dtype=torch.float64)
        self.gates.values = current
        spread, baseline = torch.std_mean(rewards, correction=0)
        if spread > 0:
            advantages = ((rewards - baseline) / spread).float()
            means.add_(advantages @ noise, alpha=self._rate / len(noise))

    def reward(self, logits: Tensor) -> float:
        """Return the quality of the network with the mask of ``logits``, (groups,), within the budget."""
        removed = self.removed(logits[self.network.group])
        self.gates.set(1.0 - removed.float())
        try:
            return self.session.value(self._samples)
        finally:
            self.gates.restore()


class _Means(nn.Module):
    def __init__(self, group: Tensor) -> None:
        super().__init__()
        self.group = group
        self.means = nn.Parameter(torch.zeros(int(group[-1]) + 1), requires_grad=False)

    def forward(self) -> Tensor:
        return self.means[self.group]
