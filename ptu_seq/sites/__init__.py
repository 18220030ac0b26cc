"""Units between any networks: CNNs, Transformers, or your own modules."""

from ptu_seq.sites.attach import attach, attached, detach
from ptu_seq.sites.attachment import Attachment
from ptu_seq.sites.summary import PartParameters, parameters_by_part, parameters_table

__all__ = [
    "Attachment",
    "PartParameters",
    "attach",
    "attached",
    "detach",
    "parameters_by_part",
    "parameters_table",
]
