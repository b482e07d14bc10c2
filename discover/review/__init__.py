"""Everything a reviewer needs to judge a policy, worked out from the recording that it rests on.

from discover.review import open_review

review = open_review(open_dataset("recordings/web"), policy="web.yaml")
review.rules, review.files, review.processes, review.peers, review.coverage, review.simulation
"""

from discover.review.make import Review, open_review, open_reviews

__all__ = ["Review", "open_review", "open_reviews"]
