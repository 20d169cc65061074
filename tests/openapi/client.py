"""A program as users write it, with the package that openapi-python-client makes of the API's document. It deploys a
function, calls it, walks a list and meets each kind of error. Writes what it found as JSON."""

from __future__ import annotations

import json
import sys
from io import BytesIO
from typing import Any

from blake3 import blake3
from function_cloud_client import AuthenticatedClient
from function_cloud_client.api.deployments import blobs_check, blobs_put, functions_deploy
from function_cloud_client.api.functions import functions_create, functions_get, functions_list
from function_cloud_client.api.invoke import functions_invoke
from function_cloud_client.api.triggers import triggers_list
from function_cloud_client.models import (
    BundleFileBody,
    CheckBlobs,
    CreateFunction,
    DeploymentView,
    DeployRequest,
    DeployRequestManifest,
    FunctionList,
    MissingBlobs,
    Problem,
    TriggerList,
    TriggerSettingsCron,
)
from function_cloud_client.types import UNSET, File, Response, Unset

CODE = b"def handler(x: int):\n    return x + 1\n"


def problem(response: Response[Any]) -> tuple[int, str]:
    """What a call that was to fail ended with."""
    assert isinstance(response.parsed, Problem), response
    return int(response.status_code), response.parsed.code


def main(endpoint: str, key: str, name: str) -> dict[str, Any]:
    """Everything, in turn."""
    found: dict[str, Any] = {}
    client = AuthenticatedClient(endpoint, key, prefix="", auth_header_name="X-API-Key")
    digest = blake3(CODE).hexdigest()
    files = [BundleFileBody(path="main.py", size=len(CODE), digest=digest)]
    plan = blobs_check.sync(client=client, body=CheckBlobs(files=files))
    assert isinstance(plan, MissingBlobs), plan
    for missing in plan.missing:
        stored = blobs_put.sync_detailed(missing, client=client, body=File(payload=BytesIO(CODE)))
        assert stored.status_code == 204, stored
    manifest = DeployRequestManifest.from_dict(
        {"name": name, "triggers": [{"type": "cron", "name": "daily", "schedule": "@daily"}]}
    )
    deployed = functions_deploy.sync(name, client=client, body=DeployRequest(manifest=manifest, files=files))
    assert isinstance(deployed, DeploymentView), deployed
    found["version"] = deployed.version
    found["answer"] = json.loads(functions_invoke.sync_detailed(name, client=client, body={"x": 1}).content)
    triggers = triggers_list.sync(name, client=client)
    assert isinstance(triggers, TriggerList), triggers
    settings = [one.settings for one in triggers.items]
    found["schedules"] = [one.schedule.expression for one in settings if isinstance(one, TriggerSettingsCron)]

    names: list[str] = []
    cursor: str | Unset = UNSET
    while True:
        page = functions_list.sync(client=client, limit=1, cursor=cursor)
        assert isinstance(page, FunctionList), page
        names += [one.name for one in page.items]
        if not page.next_cursor:
            break
        cursor = page.next_cursor
    found["names"] = names

    found["missing"] = problem(functions_get.sync_detailed("no-such-function", client=client))
    found["taken"] = problem(functions_create.sync_detailed(client=client, body=CreateFunction(name=name)))
    found["invalid"] = problem(functions_create.sync_detailed(client=client, body=CreateFunction(name="Not A Name")))
    stranger = AuthenticatedClient(endpoint, "fk_wrong", prefix="", auth_header_name="X-API-Key")
    found["unknown_key"] = problem(functions_list.sync_detailed(client=stranger))
    return found


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:4])))
