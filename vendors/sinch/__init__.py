"""Sinch: the adapter, and its two products (SMS REST API, MMS JSON API), which share nothing but the account."""

from vendors.sinch.adapter import Sinch

__all__ = ["Sinch"]
