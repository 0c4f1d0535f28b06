"""Mask learning: masks are learned while the network is trained with them."""

from __future__ import annotations

from collections.abc import Iterator

from edgeprune.errors import InputError
from edgeprune.schedules.attention_agent import Attention
from edgeprune.schedules.base import OPTIONS, Schedule, register
from edgeprune.schedules.gates_agent import LearnedGates
from edgeprune.schedules.mask_agent import Agent
from edgeprune.schedules.policy_agent import Policy
from edgeprune.schedules.session import PruningSession
from edgeprune.training.phase import Phase


@register
class MaskLearning(Schedule):
    """Learn which units to close during training, then remove them and train the remaining network.

    An agent learns a logit for each unit, which raises or lowers its importance: ``score * exp(logit)``. Masks are
    chosen by this importance, within costs that fall to the budget as in ``gradual``. Agents:

    - ``gates``: one logit for each unit, trained by the loss through the hard gate (the straight-through estimator;
      Bengio et al., "Estimating or Propagating Gradients Through Stochastic Neurons",
      2013), against the price of the costs that the budget limits. After Kim et al., "Plug-in,
      Trainable Gate for Streamlining Arbitrary Neural Networks" (2020).
    - ``attention``: a small network, trained in the same way, computes the logits from statistics of every unit (norms
      of its weights, gradients of its gate) and of its group, as in Hu et al., "Squeeze-and-Excitation Networks"
      (2018). After Luo and Wu,
      "AutoPruner" (2020), and Li et al., "Weight-Dependent Gates for Network Pruning" (2020).
    - ``policy``: the widths of the groups are sampled within the budget, and rewarded by the quality of the network
      on validation data: REINFORCE with a baseline, Williams, "Simple Statistical Gradient-Following
      Algorithms" (1992). After He et al., "AMC" (2018).

    Args:
        agent: Agent: ``gates``, ``attention`` or ``policy``. Defaults to ``gates``.
        learning: Fraction of the steps in which masks are learned. Defaults to 0.4.
        choices: Number of times that the mask is chosen in these steps. Defaults to 20.
        reach: Approximate maximum of logits; a logit of 0.5 makes a unit 1.6 times as important. With a small value,
            masks follow the criterion. With a large value, they change so often that the network trains less well.
            Defaults to 0.5.
        evaluations: Number of masks that ``policy`` evaluates. Defaults to 48.
        samples: Number of validation samples, a fixed random subset, on which a build computes the rewards of
            ``policy``. In ``attach``, ``LoopOptions.evaluate`` computes them.
    """

    name = "mask_learning"

    def __init__(
        self,
        agent: str = "gates",
        *,
        learning: float = 0.4,
        choices: int = 20,
        reach: float = 0.5,
        evaluations: int = 48,
        samples: int = 128,
    ) -> None:
        self.agent = OPTIONS.one_of("agent", agent, ("gates", "attention", "policy"))
        self.learning = OPTIONS.number("learning", learning, above=0, below=1)
        self.choices = OPTIONS.integer("choices", choices, least=1)
        self.reach = OPTIONS.number("reach", reach, above=0)
        self.evaluations = OPTIONS.integer("evaluations", evaluations, least=2)
        self.samples = OPTIONS.integer("samples", samples, least=1)

    def check(self, session: PruningSession) -> None:
        super().check(session)
        if self.agent == "policy" and session.samples is None and session.evaluate is None:
            raise InputError(
                f"schedule: {self.name}: agent='policy' needs data for its rewards: pass "
                "data=... or evaluate=..., or use agent='gates'"
            )

    def run(self, session: PruningSession) -> Iterator[Phase]:
        agent = self._agent(session)
        yield Phase(fraction=self.learning, rate=(0.0, self.learning), hook=agent)
        agent.update_scores()
        session.remove(agent.removed(agent.network()))
        yield Phase(fraction=1 - self.learning, rate=(self.learning, 1.0))

    def _agent(self, session: PruningSession) -> Agent:
        if self.agent == "policy":
            return Policy(session, self.choices, self.reach, self.evaluations, self.samples)
        kind = Attention if self.agent == "attention" else LearnedGates
        return kind(session, self.choices, self.reach)
