"""The WSGI application that `manage.py web` serves."""

import os

from connector import lifeline

lifeline.end_with_server()  # before the slow imports: a SIGTERM during them must count

from django.core.wsgi import get_wsgi_application  # noqa: E402

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "connector.settings")

application = get_wsgi_application()

from accounts import last_used  # noqa: E402  (a model: the apps must be loaded)

last_used.start()
