"""A policy as a pull or merge request that carries its own evidence.

from discover.propose import Proposal, propose

outcome = propose(reviews, Proposal(remote="https://github.com/shop/policies", path="policies/{namespace}"))
"""

from discover.propose.make import Outcome, Proposal, propose

__all__ = ["Outcome", "Proposal", "propose"]
