"""Vonage: the adapter, and the tables of its words and codes."""

from vendors.vonage.adapter import Vonage

__all__ = ["Vonage"]
