"""A producer of Penstock's native ingest protocol: docs/protocol.md, in the standard library alone."""

from .codec import Fate
from .producer import Delivery, LaneFailed, Producer, ProducerError, QueueFull, RecordRefused, Statistics

__all__ = [
    "Delivery",
    "Fate",
    "LaneFailed",
    "Producer",
    "ProducerError",
    "QueueFull",
    "RecordRefused",
    "Statistics",
]
