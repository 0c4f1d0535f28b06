"""Pruning schedules, one file each. To add one, decorate a subclass of ``Schedule`` with ``@register``."""

from __future__ import annotations

import importlib
import pkgutil

from edgeprune.schedules.at_init import AtInit
from edgeprune.schedules.base import Schedule, create, find, registered
from edgeprune.schedules.external_loop import ExternalLoop
from edgeprune.schedules.gradual import Gradual
from edgeprune.schedules.iterative import Iterative
from edgeprune.schedules.loop_options import LoopOptions
from edgeprune.schedules.lottery_ticket import LotteryTicket
from edgeprune.schedules.lr_rewinding import LrRewinding
from edgeprune.schedules.mask_learning import MaskLearning
from edgeprune.schedules.one_shot import OneShot
from edgeprune.schedules.penalty import Penalty
from edgeprune.schedules.removals import Snapshot
from edgeprune.schedules.retrain_from_scratch import RetrainFromScratch
from edgeprune.schedules.session import PruningSession
from edgeprune.schedules.session_options import Choice, PresetPlan
from edgeprune.schedules.variational_dropout import VariationalDropout
from edgeprune.schedules.weight_rewinding import WeightRewinding

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "AtInit",
    "Choice",
    "ExternalLoop",
    "Gradual",
    "Iterative",
    "LoopOptions",
    "LotteryTicket",
    "LrRewinding",
    "MaskLearning",
    "OneShot",
    "Penalty",
    "PresetPlan",
    "PruningSession",
    "RetrainFromScratch",
    "Schedule",
    "Snapshot",
    "VariationalDropout",
    "WeightRewinding",
    "create",
    "find",
    "registered",
]
