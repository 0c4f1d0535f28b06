"""Masks that are drawn and rewarded: the policy gradient."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeprune.model.seeding import generator
from edgeprune.schedules.gates import due
from edgeprune.schedules.mask_agent import Agent
from edgeprune.schedules.session import PruningSession

_SPREAD = 0.5
"""Standard deviation of logits that are drawn."""
_PAIRS = 4


class Policy(Agent):
    """A normal distribution over one logit for each group; those that are drawn make masks within the budget.

    A mask is rewarded by how good the network is under it. Every few steps some are drawn in mirrored pairs, and the
    means of the distribution follow REINFORCE: a step towards what was drawn, as far as its reward is above the
    baseline, the mean reward of those that were drawn with it; in units of their standard deviation.

    Args:
        session: Of the network.
        choices: How often the mask under which the network is trained is made anew.
        reach: About how far the means go in all, where the rewards of all draws point one way.
        evaluations: Masks that are drawn at most.
        samples: That each is rewarded on.
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
        """Draw masks and learn from their rewards; the parameters hold the dense weights, before and after."""
        self.look()
        means = self.network.means
        noise = torch.randn(self._pairs, len(means), generator=generator(self.session.seed, step))
        noise = torch.cat([noise, -noise])
        now = self.gates.values
        rewards = torch.tensor([self.reward(means + _SPREAD * it) for it in noise], dtype=torch.float64)
        self.gates.values = now
        spread, baseline = torch.std_mean(rewards, correction=0)
        if spread > 0:
            advantages = ((rewards - baseline) / spread).float()
            means.add_(advantages @ noise, alpha=self._rate / len(noise))

    def reward(self, logits: Tensor) -> float:
        """How good the network is under the mask that ``logits`` make within the budget, (groups,)."""
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
