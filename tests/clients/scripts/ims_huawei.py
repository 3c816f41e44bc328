"""Jobs as the real huaweicloudsdkims sees them. argv[1] is JSON: base, project, and ak with sk, or token; jobs to show, an image to make."""
import json
import sys

from huaweicloudsdkcore.auth.credentials import BasicCredentials as Signed
from huaweicloudsdkcore.exceptions.exceptions import ServiceResponseException
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkims.v2 import (
    CreateDataImageRequest,
    CreateDataImageRequestBody,
    CreateImageRequest,
    CreateImageRequestBody,
    ImsClient,
    ShowJobProgressRequest,
    ShowJobRequest,
)


class BasicCredentials(Signed):
    """A token in place of a signature; the builder of the SDK looks at the name of this class."""

    def __init__(self, token, project_id):
        super().__init__("unused", "unused", project_id)
        self.token = token

    def process_auth_request(self, request, http_client):
        return http_client.executor.submit(self.with_token, request)

    def with_token(self, request):
        request.header_params["X-Auth-Token"] = self.token
        request.uri = request.resource_path
        return request


ask = json.loads(sys.argv[1])


def say(**said):
    print(json.dumps(said), flush=True)


def client(project):
    if "token" in ask:
        credentials = BasicCredentials(ask["token"], project)
    else:
        credentials = Signed(ask["ak"], ask["sk"], project)
    builder = ImsClient.new_builder().with_http_config(HttpConfig.get_default_config())
    return builder.with_credentials(credentials).with_endpoint(ask["base"]).build()


def tried(what, call):
    try:
        shown = call()
        entities = shown.entities
        say(
            what=what,
            status=shown.status,
            begin=shown.begin_time,
            percent=entities.process_percent,
            task=entities.current_task,
            error_code=getattr(shown, "error_code", None),
            stages=[job.status for job in getattr(entities, "sub_jobs_result", None) or []],
        )
    except ServiceResponseException as refused:
        say(
            what=what,
            http=refused.status_code,
            code=refused.error_code,
            words=refused.error_msg,
            request_id=refused.request_id,
        )


ims = client(ask["project"])
for job in ask["jobs"]:
    tried("job", lambda: ims.show_job(ShowJobRequest(job_id=job)))
    tried("progress", lambda: ims.show_job_progress(ShowJobProgressRequest(job_id=job)))
if "other_project" in ask:
    other = client(ask["other_project"])
    tried("other project", lambda: other.show_job(ShowJobRequest(job_id=ask["jobs"][0])))
if ask.get("make"):
    body = CreateImageRequestBody(name="by sdk", min_disk=40, image_url="upload://sdk.raw")
    made = ims.create_image(CreateImageRequest(body=body))
    shown = ims.show_job(ShowJobRequest(job_id=made.job_id))
    entities = json.loads(shown.raw_content)["entities"]
    say(what="made", job=made.job_id, url=entities["upload_url"], status=shown.status)
    body = CreateDataImageRequestBody(name="data by sdk", min_disk=40, image_url="upload://d.raw")
    made = ims.create_data_image(CreateDataImageRequest(body=body))
    shown = ims.show_job(ShowJobRequest(job_id=made.job_id))
    say(what="made", job=made.job_id, status=shown.status, type=shown.job_type)
say(done=True)
