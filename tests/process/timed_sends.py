"""`python -m tests.process.timed_sends PORT TOKEN COUNT`: seconds of each send, as JSON.

A process of its own: in the test's, the threads of the hostile callers would hold the interpreter and be measured too.
"""

from __future__ import annotations

import http.client
import json
import sys
import time


def main(port: str, token: str, count: str) -> None:
    client = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30)
    headers = {"Chan-Token": token, "Content-Type": "application/json"}
    took = []
    for n in range(int(count)):
        body = {
            "from": "Demo Shop",
            "to": "00421900000100",
            "text": "Your parcel is on its way.",
            "request_id": f"timed-{time.time_ns()}",
            "custom_data": "c",
            "callback_url": "http://127.0.0.1:9/callbacks",
            "metadata": {},
        }
        started = time.monotonic()
        client.request("POST", "/sms/send", json.dumps(body), headers)
        answer = client.getresponse()
        answer.read()
        took.append(time.monotonic() - started)
        if answer.status != 200:
            sys.exit(f"send {n} was answered {answer.status}")
        time.sleep(0.02)
    print(json.dumps(took))


if __name__ == "__main__":
    main(*sys.argv[1:])
