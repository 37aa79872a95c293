"""Twilio: the adapter, and the tables of its words and codes."""

from vendors.twilio.adapter import Twilio

__all__ = ["Twilio"]
