"""Parameter Transfer Units: learned gates between a source and a target network.

Importing this package loads torch alone. transformers and datasets are loaded by the modules that
need them: `ptu_seq.models`, `ptu_seq.data`, `ptu_seq.training`.
"""

from ptu_seq.nn import PTUGRU, PTULSTM, PTUEmbedding, PTUGRUCell, PTULSTMCell
from ptu_seq.unit import PTU

__version__ = "0.1.0"

__all__ = ["PTU", "PTUGRU", "PTULSTM", "PTUEmbedding", "PTUGRUCell", "PTULSTMCell"]
