"""The two official challenge metrics, computed from long tables aligned by ``row_id``."""

from curate.scoring.alignment import SubmissionError
from curate.scoring.cervical import CervicalScore, score_cervical
from curate.scoring.lumbar import LumbarScore, score_lumbar

__all__ = ["CervicalScore", "LumbarScore", "SubmissionError", "score_cervical", "score_lumbar"]
