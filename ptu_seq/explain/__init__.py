"""How far the gates of a saved model open at each token: what `ptu-seq explain` shows."""

from ptu_seq.explain.explanation import Explanation, Reading, SiteGates
from ptu_seq.explain.models import Explainer, load_explainer

__all__ = ["Explainer", "Explanation", "Reading", "SiteGates", "load_explainer"]
