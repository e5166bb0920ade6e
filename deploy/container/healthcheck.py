"""Exit with 0 when the service in this container is ready, else with 1 and a line that says why.

It asks `/readyz`, so that whoever waits for a healthy container gets one that can hand out
tokens. Once ready, that route stays so, whatever becomes of Sentifyd: no container is ever
replaced for a fault that is not its own.
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
