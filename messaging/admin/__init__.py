"""The operators' desk, one file per model."""

from django.contrib import admin

from messaging.admin.attempt import AttemptAdmin
from messaging.admin.delivery_report import DeliveryReportAdmin
from messaging.admin.destination import DestinationAdmin
from messaging.admin.event import EventAdmin
from messaging.admin.exchange import ExchangeAdmin
from messaging.admin.inbound import InboundMessageAdmin
from messaging.admin.inbox import InboxAdmin
from messaging.admin.message import MessageAdmin
from messaging.admin.provider_account import ProviderAccountAdmin
from messaging.admin.queue import QueueAdmin
from messaging.admin.recorded_request import RecordedRequestAdmin
from messaging.admin.replay import ReplayAdmin
from messaging.admin.route import RouteAdmin
from messaging.admin.slot import SlotAdmin
from messaging.admin.tenant import TenantAdmin

__all__ = [
    "AttemptAdmin",
    "DeliveryReportAdmin",
    "DestinationAdmin",
    "EventAdmin",
    "ExchangeAdmin",
    "InboundMessageAdmin",
    "InboxAdmin",
    "MessageAdmin",
    "ProviderAccountAdmin",
    "QueueAdmin",
    "RecordedRequestAdmin",
    "ReplayAdmin",
    "RouteAdmin",
    "SlotAdmin",
    "TenantAdmin",
]

admin.site.site_header = admin.site.site_title = "Channel connector"
admin.site.index_title = "Desk"
