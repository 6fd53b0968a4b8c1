"""What a lane tells its owner: lane.py returns these, in order, from Lane.take_events()."""

from dataclasses import dataclass

from .codec import Accept


@dataclass(slots=True)
class Opened:
    accept: Accept


@dataclass(slots=True)
class FateRun:
    """Consecutive records that have the same fate, and have it on stable storage."""

    first: int  # sequence; 0: refused here, over the appliance's max record, and never numbered
    fate: int
    contexts: list[object]  # as they were given to Lane.add()


@dataclass(slots=True)
class AcknowledgedLoss:
    """The appliance had named these durable, and has lost them."""

    first: int
    last: int


@dataclass(slots=True)
class Rebind:
    """A new socket, please: from source_port (0: any other) to target_port (0: as configured)."""

    source_port: int
    target_port: int


@dataclass(slots=True)
class Failed:
    reason: str
    detail: int
    contexts: list[object]


@dataclass(slots=True)
class Closed:
    pass


Event = Opened | FateRun | AcknowledgedLoss | Rebind | Failed | Closed
