"""Tables of the pipeline. Slim rows that change, wide rows that never do, queues that stay tiny."""

from messaging.models.attempt import Attempt, AttemptPart
from messaging.models.delivery_report import DeliveryReport
from messaging.models.destination import Destination
from messaging.models.event import Event
from messaging.models.exchange import Exchange, Inbox
from messaging.models.inbound import InboundMessage
from messaging.models.message import Content, Message
from messaging.models.provider_account import ProviderAccount
from messaging.models.queue import Queue
from messaging.models.recorded_request import RecordedRequest
from messaging.models.replay import Replay
from messaging.models.route import Route
from messaging.models.sender_rate import SenderRate
from messaging.models.slot import Slot

__all__ = [
    "Attempt",
    "AttemptPart",
    "Content",
    "DeliveryReport",
    "Destination",
    "Event",
    "Exchange",
    "InboundMessage",
    "Inbox",
    "Message",
    "ProviderAccount",
    "Queue",
    "RecordedRequest",
    "Replay",
    "Route",
    "SenderRate",
    "Slot",
]
