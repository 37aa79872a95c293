"""The WSGI application that `manage.py web` serves."""

import logging
import os
import time

from messaging.watch import processes

processes.end_with_web_server()  # before the slow imports: a SIGTERM during them must count

from django.core.wsgi import get_wsgi_application  # noqa: E402

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "connector.settings")

application = get_wsgi_application()

from django import db  # noqa: E402
from django.core.signals import request_started  # noqa: E402

from accounts import last_used  # noqa: E402  (a model: the apps must be loaded)
from connector import pulse  # noqa: E402
from messaging.accept import wire_recorder  # noqa: E402
from messaging.watch import clock  # noqa: E402

# Each request ends by giving its connection back to the pool, so there is nothing to look at when one starts.
request_started.disconnect(db.close_old_connections)
request_started.disconnect(db.reset_queries)
last_used.start()
clock.start()
pulse.start()
wire_recorder.start()

log = logging.getLogger(__name__)
if time.time() - float(os.environ.get(processes.WEB_SERVER_BEGAN, "inf")) > processes.WEB_SERVER_SETTLED:
    log.warning("web process started again", extra={"pid": os.getpid()})
