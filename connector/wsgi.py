"""The WSGI application that `manage.py web` serves."""

import os

from connector import lifeline

lifeline.end_with_server()  # before the slow imports: a SIGTERM during them must count

from django.core.wsgi import get_wsgi_application  # noqa: E402

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "connector.settings")

application = get_wsgi_application()

from django import db  # noqa: E402
from django.core.signals import request_started  # noqa: E402

from accounts import last_used  # noqa: E402  (a model: the apps must be loaded)
from messaging.services import wire_recorder  # noqa: E402

# Each request ends by giving its connection back to the pool, so there is nothing to look at when one starts.
request_started.disconnect(db.close_old_connections)
request_started.disconnect(db.reset_queries)
last_used.start()
wire_recorder.start()
