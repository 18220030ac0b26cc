"""Recurrent and embedding layers with Parameter Transfer Units, shaped like those of torch.nn."""

from ptu_seq.nn.cells import PTUGRUCell, PTULSTMCell
from ptu_seq.nn.embedding import GatedEmbedding, PTUEmbedding
from ptu_seq.nn.gated import GatedGRU, GatedLSTM, GatedRNN
from ptu_seq.nn.recurrence import recurrence_backend
from ptu_seq.nn.rnn import PTUGRU, PTULSTM
from ptu_seq.nn.stack import layer_outputs
from ptu_seq.nn.state import GRUCellState, LSTMCellState, TwinState

__all__ = [
    "PTUGRU",
    "PTULSTM",
    "GRUCellState",
    "GatedEmbedding",
    "GatedGRU",
    "GatedLSTM",
    "GatedRNN",
    "LSTMCellState",
    "PTUEmbedding",
    "PTUGRUCell",
    "PTULSTMCell",
    "TwinState",
    "layer_outputs",
    "recurrence_backend",
]
