//! IMS and as much of Keystone as its clients log in with.

use super::{OPEN, Row, row};
use crate::contract::world::Stage;

/// Nobody, another scheme, a wrong session, an expired one, a wrong signature, one of another time.
const IMS: [&str; 6] = [
    "401 gateway APIGW.0301: nobody is known to ask: send X-Auth-Token with a token of POST /v3/auth/tokens, or sign the request with an access key (SDK-HMAC-SHA256)",
    "401 gateway APIGW.0301: nobody is known to ask: send X-Auth-Token with a token of POST /v3/auth/tokens, or sign the request with an access key (SDK-HMAC-SHA256)",
    "401 gateway APIGW.0301: the token does not exist or has ended: ask for a new one at POST /v3/auth/tokens",
    "401 gateway APIGW.0301: the token does not exist or has ended: ask for a new one at POST /v3/auth/tokens",
    "401 gateway APIGW.0301: the signature does not fit the request: sign it with the secret of this access key, as it is sent",
    "401 gateway APIGW.0301: the request was signed more than 15 minutes from the time of this server: set the clock and sign it again",
];
/// The same in Keystone's form.
const KEYSTONE: [&str; 6] = [
    "401 ?: nobody is known to ask: send X-Auth-Token with a token of POST /v3/auth/tokens, or sign the request with an access key (SDK-HMAC-SHA256)",
    "401 ?: nobody is known to ask: send X-Auth-Token with a token of POST /v3/auth/tokens, or sign the request with an access key (SDK-HMAC-SHA256)",
    "401 ?: the token does not exist or has ended: ask for a new one at POST /v3/auth/tokens",
    "401 ?: the token does not exist or has ended: ask for a new one at POST /v3/auth/tokens",
    "401 ?: the signature does not fit the request: sign it with the secret of this access key, as it is sent",
    "401 ?: the request was signed more than 15 minutes from the time of this server: set the clock and sign it again",
];
const NO_TOKEN: &str =
    "404 ?: there is no such token of this user, or it has ended already; nothing was changed";
const NO_JOB: &str = "404 IMG.0023: there is no job {job}; ask for the list of jobs";
const NO_STAGE: &str = "404 IMG.0023: there is no job {job}-receive; ask for the list of jobs";
const OTHER_PROJECT: &str = "400 IMG.0030: the project in the path is not the one of this token or access key: give the account's own uuid";
const NEW_JOB: &str = r#"200 {"job_id":"{new}"}"#;

/// Jobs.
pub(super) fn views() -> Vec<Row> {
    let job = |stage, told| {
        row("GET /v1/cloudimages/job/{job_id}", IMS)
            .path("/v1/cloudimages/job/{job}")
            .when(stage)
            .other(NO_JOB)
            .own(told)
    };
    let in_project = row("GET /v1/{project_id}/jobs/{job_id}", IMS)
        .path("/v1/{account}/jobs/{job}")
        .other(OTHER_PROJECT);
    vec![
        job(Stage::Running, "200 {job} is RUNNING"),
        job(Stage::Suspended, "200 {job} is RUNNING"),
        job(Stage::Ready, "200 {job} is SUCCESS"),
        job(Stage::Canceled, "200 {job} is FAIL"),
        row("GET /v1/cloudimages/job/{job_id}", IMS)
            .path("/v1/cloudimages/job/{job}-receive")
            .other(NO_STAGE)
            .own("200 {job}-receive is RUNNING"),
        in_project.clone().own("200 {job} is RUNNING"),
        in_project
            .clone()
            .path("/v1/{account}/jobs/x")
            .own("404 IMG.0023: there is no job x; ask for the list of jobs"),
        in_project
            .path("/v1/x/jobs/{job}")
            .other("400 IMG.0067: the project id in the path is not a uuid of 32 hex digits: give the account's uuid")
            .own("400 IMG.0067: the project id in the path is not a uuid of 32 hex digits: give the account's uuid"),
        row("GET /v1/{project_id}/jobs", IMS)
            .path("/v1/{account}/jobs?limit=1")
            .other(OTHER_PROJECT)
            .own("200 jobs: 1"),
        row("GET /v1/{project_id}/jobs", IMS)
            .path("/v1/{account}/jobs?status=DONE")
            .other(OTHER_PROJECT)
            .own("400 IMG.0001: status has to be INIT, RUNNING, SUCCESS or FAIL"),
    ]
}

/// Calls that make jobs, and tokens.
pub(super) fn calls() -> Vec<Row> {
    let image = row("POST /v2/cloudimages/action", IMS);
    let data = row("POST /v1/cloudimages/dataimages/action", IMS);
    let bucket = "400 IMG.0069: image_url bucket:a.qcow2 names a bucket, and this service reads none: give upload://<file name>, or leave it out, and send the file to the job's upload_url. Nothing was made";
    vec![
        image.clone().body(r#"{"name":"a","min_disk":40}"#).other(NEW_JOB).own(NEW_JOB),
        image
            .clone()
            .body(r#"{"name":"a","min_disk":40,"image_url":"bucket:a.qcow2"}"#)
            .other(bucket)
            .own(bucket),
        image
            .body("[]")
            .other("400 IMG.0001: the body is not a JSON object")
            .own("400 IMG.0001: the body is not a JSON object"),
        data.clone().body(r#"{"name":"a","min_disk":40}"#).other(NEW_JOB).own(NEW_JOB),
        data.body("{}").other("400 IMG.0013: name is missing").own("400 IMG.0013: name is missing"),
        row("GET /v3", OPEN).everybody("200 keystone v3.14"),
        row("POST /v3/auth/tokens", OPEN)
            .body(r#"{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"admin","domain":{"name":"default"},"password":"password"}}}}}"#)
            .everybody("201 token of admin"),
        row("DELETE /v3/auth/tokens", KEYSTONE)
            .header("X-Subject-Token", "00000000000040008000000000000000")
            .other(NO_TOKEN)
            .own(NO_TOKEN),
    ]
}
