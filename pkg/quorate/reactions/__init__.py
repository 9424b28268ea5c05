"""One module's change of state moves the others: level-based rules over one view."""

from .engine import ReactionEngine
from .rules.degraded_mode import DegradedTerms
from .view import Dependency, DependencyState, View

__all__ = ["DegradedTerms", "Dependency", "DependencyState", "ReactionEngine", "View"]
