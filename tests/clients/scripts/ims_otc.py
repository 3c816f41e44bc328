"""Jobs as the real otcextensions sees them. argv[1] is JSON: base, name, password; jobs to look at, a job to wait for."""
import json
import sys

import openstack
from openstack import exceptions
from otcextensions import sdk

ask = json.loads(sys.argv[1])


def say(**said):
    print(json.dumps(said), flush=True)


connection = openstack.connection.Connection(
    auth=dict(
        auth_url=ask["base"] + "/v3",
        username=ask["name"],
        password=ask["password"],
        project_name=ask["name"],
        user_domain_name="default",
        project_domain_name="default",
    ),
    region_name="default",
)
try:
    sdk.register_otc_extensions(connection)
except exceptions.SDKException as refused:
    say(login_refused=str(refused))
    sys.exit(0)
say(project=connection.current_project_id)
ims = connection.imsv1
for job in ask["jobs"]:
    try:
        shown = ims.get_async_job(job)
        percent = shown.entities.process_percent
        say(job=job, status=shown.status, percent=percent, begin=shown.begin_time)
        if shown.status in ("SUCCESS", "FAIL"):
            ended = ims.wait_for_async_job(job, wait=1)
            say(waited=job, status=ended.status)
    except exceptions.HttpException as refused:
        say(job=job, http=refused.status_code, kind=type(refused).__name__)
    except RuntimeError as failed:
        say(waited=job, failed=str(failed))
if "wait" in ask:
    say(waiting=True)
    ended = ims.wait_for_async_job(ask["wait"], wait=1)
    say(waited=ask["wait"], status=ended.status)
if "other_project" in ask:
    ims.session.get_project_id = lambda *_, **__: ask["other_project"]
    try:
        ims.get_async_job(ask["jobs"][0])
    except exceptions.HttpException as refused:
        say(other=True, http=refused.status_code, kind=type(refused).__name__)
say(done=True)
