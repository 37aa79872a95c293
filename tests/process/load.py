"""Send requests as a load balancer passes them on: to any web process that listens."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PAUSE = 0.1  # seconds between two requests of a thread: a load that two cores carry beside everything else
CALLBACK = "http://127.0.0.1:{port}/callbacks"


@dataclass
class Load:
    """Threads that post until they are told to stop. `answers` counts statuses; `accepted` holds request ids."""

    ports: list[int]
    token: str
    callback_url: str
    threads: int = 4
    answers: Counter[int] = field(default_factory=Counter)
    accepted: set[str] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _running: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        self._running = [threading.Thread(target=self._run, args=(n,)) for n in range(self.threads)]
        for thread in self._running:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._running:
            thread.join()

    def _run(self, n: int) -> None:
        count = 0
        while not self._stop.wait(PAUSE):
            count += 1
            self.post(f"load-{n}-{count}")

    def post(self, request_id: str, recipient: str = "00421900000100") -> None:
        """One request, until somebody answers: a refused connection goes to the next port."""
        body = {
            "from": "Demo Shop",
            "to": recipient,
            "text": "Your parcel is on its way.",
            "request_id": request_id,
            "custom_data": f"custom-{request_id}",
            "callback_url": self.callback_url,
            "metadata": {},
        }
        for n in range(100):
            port = self.ports[(hash(request_id) + n) % len(self.ports)]
            status = post_json(port, "/sms/send", body, self.token)
            if status is not None:
                with self._lock:
                    self.answers[status] += 1
                    if status == 200:
                        self.accepted.add(request_id)
                return
        raise AssertionError("no web process listens")


def post_json(port: int, path: str, body: Mapping[str, Any], token: str) -> int | None:
    """The status; None when nobody took the connection, or it was dropped unanswered (a balancer tries again)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    try:
        connection.request(
            "POST", path, json.dumps(body), {"Chan-Token": token, "Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        answer.read()
    except (ConnectionError, http.client.BadStatusLine):
        return None
    finally:
        connection.close()
    return answer.status
