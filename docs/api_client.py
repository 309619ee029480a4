"""An example client in the standard library alone: make a campaign, send it, and wait for its figures.

NEWSLETTER_TOKEN=nl_… python docs/api_client.py https://news.example suomeksi letter.md "Syksyn kirjat"
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any


def call(base: str, path: str, sent: Any = None) -> Any:  # noqa: ANN401 - JSON
    """Call the API; a write carries a key of its own, so that a lost answer can be asked for again."""
    headers = {"Authorization": f"Bearer {os.environ['NEWSLETTER_TOKEN']}", "Accept-Language": "en"}
    body = None
    if sent is not None:
        body = json.dumps(sent).encode()
        headers |= {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
    request = urllib.request.Request(f"{base}/api/v1{path}", body, headers)
    for _try in range(3):
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code != 429:
                sys.exit(json.load(error)["detail"])
            time.sleep(int(error.headers["Retry-After"]))
    return sys.exit("The server is busy.")


if __name__ == "__main__":
    base, slug, letter, subject = sys.argv[1:]
    draft = {"lists": [slug], "subject": subject, "body": Path(letter).read_text(encoding="utf-8")}
    campaign = call(base, "/campaigns", draft)["id"]
    call(base, f"/campaigns/{campaign}/send", {})
    while call(base, f"/campaigns/{campaign}")["status"] == "sending":
        time.sleep(5)
    json.dump(call(base, f"/campaigns/{campaign}/figures"), sys.stdout, indent=2)
