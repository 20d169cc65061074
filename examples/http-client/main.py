import os

import httpx

# Outside of the handler: an idle instance keeps its connections, and the next call needs no new one.
api = httpx.Client(base_url=os.environ["API"], timeout=10, headers={"user-agent": "function"})


def handler(repository: str):
    reply = api.get(f"/repos/{repository}")
    reply.raise_for_status()
    return {"repository": repository, "stars": reply.json()["stargazers_count"]}
