"""Exits with 0 if the service in this container is ready, otherwise with 1 and a reason.

It requests `/readyz`, so that a healthy container can issue tokens. Once ready, that route stays
ready even if Sentifyd fails, so an outage of Sentifyd does not replace containers.
"""

import http.client
import os
import sys

connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["PORT"]), timeout=4)
try:
    connection.request("GET", "/readyz")
    status = connection.getresponse().status
except (OSError, http.client.HTTPException) as error:
    sys.exit(f"no answer: {type(error).__name__}")
finally:
    connection.close()
if status != 200:
    sys.exit(f"not ready: {status}")
