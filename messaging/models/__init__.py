"""Tables of the pipeline. Slim rows that change, wide rows that never do, queues that stay tiny."""

from messaging.models.attempt import Attempt, AttemptPart
from messaging.models.destination import Destination
from messaging.models.event import Event
from messaging.models.inbound import InboundMessage
from messaging.models.message import Content, Message
from messaging.models.provider_account import ProviderAccount
from messaging.models.queue import Queue
from messaging.models.raw import Inbox, Raw
from messaging.models.replay import Replay
from messaging.models.report import Report
from messaging.models.route import Route
from messaging.models.sender_rate import SenderRate
from messaging.models.slot import Slot
from messaging.models.wire_shape import WireShape

__all__ = [
    "Attempt",
    "AttemptPart",
    "Content",
    "Destination",
    "Event",
    "InboundMessage",
    "Inbox",
    "Message",
    "ProviderAccount",
    "Queue",
    "Raw",
    "Replay",
    "Report",
    "Route",
    "SenderRate",
    "Slot",
    "WireShape",
]
