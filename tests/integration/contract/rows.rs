//! What every route answers to every kind of caller, written by hand.

mod ims;
mod schedule;
mod uploads;

use super::world::Stage;
use schedule::schedule;
use uploads::{by_header, capability, creation, keyed};

/// A request on a route, and what each caller is answered.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// Method and path as the table of routes has them.
    pub(super) route: &'static str,
    /// The path that is asked, with `{names}` of objects.
    pub(super) path: &'static str,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) body: &'static str,
    /// How far the object has come when it is asked for.
    pub(super) stage: Stage,
    /// Nobody, another scheme, a wrong session, an expired one, a wrong signature, one of another time.
    pub(super) refusals: [&'static str; 6],
    pub(super) other: &'static str,
    pub(super) own: &'static str,
    pub(super) admin: &'static str,
    /// Whether the answer may show that an object of another account exists, and why.
    pub(super) may_show: Option<&'static str>,
}

impl Row {
    fn path(mut self, path: &'static str) -> Self {
        self.path = path;
        self
    }

    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    fn body(mut self, body: &'static str) -> Self {
        self.body = body;
        self
    }

    fn when(mut self, stage: Stage) -> Self {
        self.stage = stage;
        self
    }

    fn other(mut self, told: &'static str) -> Self {
        self.other = told;
        self
    }

    /// The same to the owner and to the admin.
    fn own(mut self, told: &'static str) -> Self {
        (self.own, self.admin) = (told, told);
        self
    }

    fn everybody(mut self, told: &'static str) -> Self {
        self.refusals = [told; 6];
        self.other(told).own(told)
    }

    fn may_show(mut self, why: &'static str) -> Self {
        self.may_show = Some(why);
        self
    }
}

fn row(route: &'static str, refusals: [&'static str; 6]) -> Row {
    let path = route.split(' ').nth(1).unwrap();
    Row {
        route,
        path,
        headers: Vec::new(),
        body: "",
        stage: Stage::Running,
        refusals,
        other: "",
        own: "",
        admin: "",
        may_show: None,
    }
}

/// ZStack's synchronous calls.
const SYNC: [&str; 6] = [
    "400 text: missing header 'Authorization'",
    "400 text: Authorization type must be 'OAuth'",
    "503 ID.1001: Session expired",
    "503 ID.1001: Session expired",
    "503 ID.1000: wrong accessKey signature",
    "403 text: requestTimeTooSkewed",
];
/// ZStack's asynchronous calls: a session that does not hold is told at the poll.
const ASYNC: [&str; 6] = [
    "400 text: missing header 'Authorization'",
    "400 text: Authorization type must be 'OAuth'",
    "202 then 503 ID.1001: Session expired",
    "202 then 503 ID.1001: Session expired",
    "202 then 503 ID.1000: wrong accessKey signature",
    "403 text: requestTimeTooSkewed",
];
/// Our own dialect.
const PROBLEM: [&str; 6] = [
    "401 unauthenticated: Log in and send the header Authorization: OAuth <session>.",
    "401 unauthenticated: Log in and send the header Authorization: OAuth <session>.",
    "401 unauthenticated: The session does not exist or has ended. Log in again; uploads are kept.",
    "401 unauthenticated: The session does not exist or has ended. Log in again; uploads are kept.",
    "401 unauthenticated: The signed request was refused: wrong accessKey signature.",
    "403 request_time_too_skewed: The header Date of the signed request is more than 15 minutes from the time of this server. Set the clock; nothing was changed.",
];
/// Slices.
const SLICE: [&str; 6] = [
    "401 slice unauthenticated: Log in and send the header Authorization: OAuth <session>.",
    "401 slice unauthenticated: Log in and send the header Authorization: OAuth <session>.",
    "401 slice unauthenticated: The session does not exist or has ended. Log in again; uploads are kept.",
    "401 slice unauthenticated: The session does not exist or has ended. Log in again; uploads are kept.",
    "401 slice unauthenticated: The signed request was refused: wrong accessKey signature.",
    "403 slice request_time_too_skewed: The header Date of the signed request is more than 15 minutes from the time of this server. Set the clock; nothing was changed.",
];
/// HEAD has no words.
const HEAD: [&str; 6] =
    ["401 empty", "401 empty", "401 empty", "401 empty", "401 empty", "403 empty"];
/// Filled in by [`Row::everybody`].
const OPEN: [&str; 6] = [""; 6];

const NO_JOB: &str =
    "202 then 503 SYS.1003: invalid field[uuid], resource[uuid:{job}, type:LongJobVO] not found";
const NO_IMAGE: &str =
    "202 then 503 SYS.1003: invalid field[uuid], resource[uuid:{image}, type:ImageVO] not found";
const NO_UPLOAD: &str = "404 not_found: There is no such upload, or its URL was revoked. Ask its job for the upload URL, or start a new upload.";
const NO_UPLOAD_SLICE: &str = "404 slice not_found: There is no such upload, or its URL was revoked. Ask its job for the upload URL, or start a new upload.";
const NO_PATH: &str = "404 not_found: There is nothing at this path. Uploads go to PUT /uploads/<IMAGE_ID> or to the upload URL of a job.";
const NOT_READY: &str =
    "404 not_found: There is no such image, or it is not Ready yet. Look at its job.";
const NO_JOB_HERE: &str = "404 not_found: There is no such job. QueryLongJob lists those you have.";
const GONE: &str = "410 gone: The upload was canceled, has failed or was started anew; its bytes are gone. Its job says why. Start a new upload.";

const SUBMIT: &str = r#"{"params":{"jobName":"APIAddImageMsg","jobData":"{\"name\":\"a\",\"url\":\"upload://a\",\"format\":\"raw\"}"}}"#;
/// The bytes that an upload in the middle has, once more.
const SENT: (&str, &str) = ("Content-Range", "bytes 0-99/1000");
const TUS: (&str, &str) = ("Tus-Resumable", "1.0.0");
const NO_PROTOCOL: &str = "412 protocol_version: Send Tus-Resumable: 1.0.0 for tus, or Upload-Complete for resumable uploads of the IETF draft; a whole file goes to PUT /uploads/<IMAGE_ID>. Nothing was processed.";
const IMAGE_SIZE: (&str, &str) = ("X-IMAGE-SIZE", "1000");
const SLICE_SIZE: (&str, &str) = ("X-SLICE-SIZE", "100");
/// Stands for a hundred bytes of the image.
pub(super) const BYTES: &str = "BYTES";

/// The whole table.
pub(super) fn rows() -> Vec<Row> {
    [
        accounts(),
        jobs(),
        actions(),
        images(),
        changes_of_images(),
        records(),
        tags(),
        storage(),
        keyed(),
        by_header(),
        creation(),
        capability(),
        schedule(),
        ops(),
        ims::views(),
        ims::calls(),
    ]
    .concat()
}

fn accounts() -> Vec<Row> {
    let session = "/zstack/v1/accounts/sessions/{session}";
    let unknown = "/zstack/v1/accounts/sessions/00000000000040008000000000000000";
    let log_in = "PUT /zstack/v1/accounts/login";
    let valid = "GET /zstack/v1/accounts/sessions/{token}/valid";
    let renew = row("PUT /zstack/v1/accounts/sessions/{token}/renew", ASYNC)
        .path("/zstack/v1/accounts/sessions/{session}/renew");
    vec![
        row(log_in, OPEN)
            .body(r#"{"logInByAccount":{"accountName":"admin","password":"b109f3bbbc244eb82441917ed06d618b9008dd09b3befd1b5e07394c706a8bb980b1d7785e5976ec049b46df5f1326af5a2ea6d103fd07c95385ffab0cacbc86"}}"#)
            .everybody("200 inventory: {new}"),
        // Ten wrong ones a minute are the limit for an account, and as many come from this row: none is left of this account's.
        row(log_in, OPEN)
            .body(r#"{"logInByAccount":{"accountName":"own","password":"b109"}}"#)
            .everybody("503 ID.1000: wrong account name or password"),
        row("PUT /zstack/v1/accounts/users/login", OPEN)
            .body(r#"{"logInByUser":{"accountName":"own","userName":"u","password":"b109"}}"#)
            .everybody("503 SYS.1006: there are no users below accounts; log in by account: PUT /v1/accounts/login"),
        row("PUT /zstack/v1/accounts/{uuid}", ASYNC)
            .path("/zstack/v1/accounts/{account}")
            .body(r#"{"updateAccount":{"description":"d"}}"#)
            .other("202 then 503 SYS.1003: there is no account {account}")
            .own("202 then 200 inventory: {account}"),
        row("PUT /zstack/v1/accounts/{uuid}/actions", ASYNC)
            .path("/zstack/v1/accounts/{account}/actions")
            .body(r#"{"updateAccount":{"description":"d"}}"#)
            .other("202 then 503 SYS.1003: there is no account {account}")
            .own("202 then 200 inventory: {account}"),
        row(valid, OPEN)
            .path("/zstack/v1/accounts/sessions/{session}/valid")
            .everybody(r#"200 {"valid":true}"#)
            .may_show("whoever names a session has it"),
        row(valid, OPEN)
            .path("/zstack/v1/accounts/sessions/00000000000040008000000000000000/valid")
            .everybody(r#"200 {"valid":false}"#),
        row("DELETE /zstack/v1/accounts/sessions/{token}", OPEN)
            .path(session)
            .everybody("200 {}"),
        row("DELETE /zstack/v1/accounts/sessions/{token}", OPEN)
            .path(unknown)
            .everybody("200 {}"),
        renew.clone()
            .body(r#"{"renewSession":{"duration":3600}}"#)
            .other("202 then 503 ID.1002: the session is another account's")
            .own("202 then 200 inventory: {session}")
            .may_show("whoever names a session has it"),
        renew
            .body("{}")
            .everybody("400 text: the body doesn't contain action mapping to the URL[/v1/accounts/sessions/{session}/renew]"),
        row("GET /zstack/v1/api-jobs/{id}", OPEN)
            .path("/zstack/v1/api-jobs/{api}")
            .everybody("200 inventory: {job}")
            .may_show("the SDKs poll without a session; ids of calls are random"),
        row("GET /zstack/v1/api-jobs/{id}", OPEN)
            .path("/zstack/v1/api-jobs/00000000000040008000000000000000")
            .everybody("404 text: the job has been expired"),
        row("GET /zstack/v1/task-progresses/{id}", SYNC)
            .path("/zstack/v1/task-progresses/{api}?all=false")
            .other("200 inventories: []")
            .own("200 inventories: [{api}]"),
        row("GET /zstack/v1/task-progresses/{id}", SYNC)
            .path("/zstack/v1/task-progresses/x")
            .other("503 SYS.1007: parameter apiId[x] is not a valid uuid.")
            .own("503 SYS.1007: parameter apiId[x] is not a valid uuid."),
    ]
}

fn jobs() -> Vec<Row> {
    let delete = row("DELETE /zstack/v1/longjobs/{uuid}", ASYNC).path("/zstack/v1/longjobs/{job}");
    vec![
        row("GET /zstack/v1/longjobs", SYNC)
            .path("/zstack/v1/longjobs?q=uuid%3D{job}")
            .other("200 inventories: []")
            .own("200 inventories: [{job}]"),
        row("GET /zstack/v1/longjobs", SYNC)
            .path("/zstack/v1/longjobs?q=uuid%3D{job}&count=true")
            .other(r#"200 {"schema":{},"total":0}"#)
            .own(r#"200 {"schema":{},"total":1}"#),
        row("GET /zstack/v1/longjobs/{uuid}", SYNC)
            .path("/zstack/v1/longjobs/{job}")
            .other("200 inventories: []")
            .own("200 inventories: [{job}]"),
        row("POST /zstack/v1/longjobs", ASYNC)
            .body(SUBMIT)
            .other("202 then 200 inventory: {new}")
            .own("202 then 200 inventory: {new}"),
        // What is not there is deleted already; so is what the caller may not see.
        delete.clone().when(Stage::Canceled).other("202 then 200 {}").own("202 then 200 {}"),
        delete.other("202 then 200 {}").own(
            "202 then 503 SYS.1007: delete longjob only when it's succeeded, canceled, or failed",
        ),
    ]
}

fn actions() -> Vec<Row> {
    let act = |body| {
        row("PUT /zstack/v1/longjobs/{uuid}/actions", ASYNC)
            .path("/zstack/v1/longjobs/{job}/actions")
            .body(body)
            .other(NO_JOB)
    };
    vec![
        act(r#"{"updateLongJob":{"name":"b"}}"#).own("202 then 200 inventory: {job}"),
        act(r#"{"updatelongjob":{"name":"b"}}"#).own("202 then 200 inventory: {job}"),
        act(r#"{"cancelLongJob":{}}"#).own("202 then 200 {}"),
        act(r#"{"cancelLongJob":{}}"#).when(Stage::Canceled).own("202 then 200 {}"),
        act(r#"{"cancelLongJob":{}}"#)
            .when(Stage::Ready)
            .own("202 then 503 SYS.1007: cannot cancel longjob that is succeeded"),
        act(r#"{"suspendLongJob":{}}"#).own("202 then 200 inventory: {job}"),
        act(r#"{"resumeLongJob":{}}"#)
            .when(Stage::Suspended)
            .own("202 then 200 inventory: {job}"),
        act(r#"{"resumeLongJob":{}}"#)
            .own("202 then 503 SYS.1007: can only resume longjob that is Suspended"),
        act(r#"{"rerunLongJob":{}}"#).when(Stage::Canceled).own("202 then 200 inventory: {job}"),
        act(r#"{"rerunLongJob":{}}"#)
            .own("202 then 503 SYS.1007: rerun longjob only when it's succeeded, canceled, or failed"),
        act(r#"{"cleanLongJob":{}}"#)
            .own("202 then 503 LONG_JOB.1003: not supported or state is not Canceling"),
        act("{}").everybody("400 text: the body doesn't contain action mapping to the URL[/v1/longjobs/{job}/actions]"),
    ]
}

fn images() -> Vec<Row> {
    let details = "/zstack/v1/images/upload-job/details/{image_id}";
    let delete = row("DELETE /zstack/v1/images/{uuid}", ASYNC)
        .path("/zstack/v1/images/{image}")
        .when(Stage::Ready)
        .other(NO_IMAGE);
    let content = |method: &'static str, refusals| {
        row(method, refusals).path("/images/{image}/content").when(Stage::Ready)
    };
    vec![
        row("GET /zstack/v1/images", SYNC)
            .path("/zstack/v1/images?q=uuid%3D{image}&replyWithCount=true")
            .other("200 inventories: []")
            .own("200 inventories: [{image}]"),
        row("GET /zstack/v1/images/{uuid}", SYNC)
            .path("/zstack/v1/images/{image}")
            .other("200 inventories: []")
            .own("200 inventories: [{image}]"),
        row("POST /zstack/v1/images", ASYNC)
            .body(r#"{"params":{"name":"a","url":"upload://a","format":"raw"}}"#)
            .other("202 then 200 inventory: {new}")
            .own("202 then 200 inventory: {new}"),
        row("GET /zstack/v1/images/upload-job/details/{image_id}", SYNC)
            .path(details)
            .other(r#"200 {"success":true}"#)
            .own("200 existingJobDetails: [{job}]"),
        row("PUT /zstack/v1/images/upload-job/details/{image_id}", SYNC)
            .path(details)
            .body(r#"{"systemTags":["t"],"userTags":["t"]}"#)
            .other(r#"200 {"success":true}"#)
            .own("200 existingJobDetails: [{job}]"),
        delete.clone().own("202 then 200 {}"),
        delete.path("/zstack/v1/images/{image}?deleteMode=Enforcing").own("202 then 200 {}"),
        content("GET /images/{uuid}/content", PROBLEM).other(NOT_READY).own("200 1000 bytes"),
        content("HEAD /images/{uuid}/content", HEAD).other("404 empty").own("200 empty"),
        row("GET /images/{uuid}/content", PROBLEM)
            .path("/images/{image}/content")
            .other(NOT_READY)
            .own(NOT_READY),
    ]
}

/// What is told beside other dialects.
fn records() -> Vec<Row> {
    let history = row("GET /v1/jobs/{uuid}/history", PROBLEM)
        .path("/v1/jobs/{job}/history")
        .other(NO_JOB_HERE);
    let inspection = row("GET /v1/images/{uuid}/inspection", PROBLEM)
        .path("/v1/images/{image}/inspection")
        .other(NOT_READY);
    vec![
        history.clone().own("200 states: Running (submitted)"),
        history
            .clone()
            .when(Stage::Suspended)
            .own("200 states: Running (submitted), Suspended (suspended by the user)"),
        history
            .clone()
            .when(Stage::Ready)
            .own("200 states: Running (submitted), Succeeded (the image is Ready)"),
        history.clone().when(Stage::Canceled).own("200 states: Running (submitted), Canceling (canceled by the user), Canceled (its bytes were removed)"),
        history.path("/v1/jobs/nonsense/history").own(NO_JOB_HERE),
        inspection.clone().own(NOT_READY),
        inspection.clone().when(Stage::Ready).own(r#"200 {"format":"raw","inspected":true,"mediaType":"RootVolumeTemplate","policy":"enforce","sizeBytes":1000,"virtualSizeBytes":1000,"warnings":[{"rule":"raw_odd_length","words":"its length of 1000 bytes is no multiple of 512, as that of a disk is: nothing needs to be done"}]}"#),
        inspection.path("/v1/images/nonsense/inspection").own(NOT_READY),
    ]
}

fn changes_of_images() -> Vec<Row> {
    let act = |body| {
        row("PUT /zstack/v1/images/{uuid}/actions", ASYNC)
            .path("/zstack/v1/images/{image}/actions")
            .body(body)
            .when(Stage::Ready)
            .other(NO_IMAGE)
    };
    vec![
        act(r#"{"updateImage":{"name":"b"}}"#).own("202 then 200 inventory: {image}"),
        act(r#"{"changeImageState":{"stateEvent":"disable"}}"#)
            .own("202 then 200 inventory: {image}"),
        act(r#"{"expungeImage":{}}"#).own("202 then 503 SYS.1007: the image[uuid:{image}, name:image] is not deleted on any backup storage, it is Ready: only a deleted image can be expunged"),
        act(r#"{"recoverImage":{}}"#).own("202 then 503 SYS.1007: the image[uuid:{image}, name:image] is not deleted on any backup storage, it is Ready: there is nothing to recover"),
        act("{}").everybody("400 text: the body doesn't contain action mapping to the URL[/v1/images/{image}/actions]"),
    ]
}

fn tags() -> Vec<Row> {
    let new = r#"{"params":{"resourceType":"LongJobVO","resourceUuid":"{job}","tag":"note::a"}}"#;
    let query = |route: &'static str, path, tag| {
        row(route, SYNC).path(path).other("200 inventories: []").own(tag)
    };
    let (system, user) = ("200 inventories: [{system_tag}]", "200 inventories: [{user_tag}]");
    vec![
        query("GET /zstack/v1/system-tags", "/zstack/v1/system-tags?q=resourceUuid%3D{job}", system),
        query("GET /zstack/v1/system-tags/{uuid}", "/zstack/v1/system-tags/{system_tag}", system),
        query("GET /zstack/v1/user-tags", "/zstack/v1/user-tags?q=resourceUuid%3D{job}", user),
        query("GET /zstack/v1/user-tags/{uuid}", "/zstack/v1/user-tags/{user_tag}", user),
        row("POST /zstack/v1/system-tags", ASYNC)
            .body(new)
            .other(NO_JOB)
            .own("202 then 200 inventory: {new}"),
        row("POST /zstack/v1/user-tags", ASYNC)
            .body(new)
            .other(NO_JOB)
            .own("202 then 200 inventory: {new}"),
        row("DELETE /zstack/v1/tags/{uuid}", ASYNC)
            .path("/zstack/v1/tags/{user_tag}")
            .other("202 then 503 SYS.1003: invalid field[uuid], resource[uuid:{user_tag}, type:TagVO] not found")
            .own("202 then 200 {}"),
    ]
}

fn storage() -> Vec<Row> {
    vec![
        row("GET /zstack/v1/backup-storage", SYNC)
            .other("200 inventories: [{storage}]")
            .own("200 inventories: [{storage}]"),
        row("GET /zstack/v1/backup-storage/{uuid}", SYNC)
            .path("/zstack/v1/backup-storage/00000000000040008000000000000000")
            .other("200 inventories: []")
            .own("200 inventories: []"),
    ]
}

fn ops() -> Vec<Row> {
    vec![
        row("GET /", OPEN).everybody("200 page"),
        row("HEAD /", OPEN).everybody("200 empty"),
        row("GET /ui/{file:.*}", OPEN).path("/ui/vendor/LICENSE.txt").everybody("200 text: hash-wasm 4.13.0 (https://www.npmjs.com/package/hash-wasm): crc32, sha256 and sha512, as its package has them in dist/."),
        row("GET /ui/{file:.*}", OPEN).path("/ui/none.js").everybody(NO_PATH),
        row("HEAD /ui/{file:.*}", OPEN).path("/ui/app.js").everybody("200 empty"),
        row("GET /v1/events", PROBLEM)
            .path("/v1/events?for=0")
            .other("200 text/event-stream: : listening")
            .own("200 text/event-stream: : listening"),
        row("POST /v1/images/{uuid}/download-url", PROBLEM)
            .path("/v1/images/{image}/download-url")
            .when(Stage::Ready)
            .other(NOT_READY)
            .own("200 download URL"),
        row("POST /v1/images/{uuid}/download-url", PROBLEM)
            .path("/v1/images/{image}/download-url")
            .other(NOT_READY)
            .own(NOT_READY),
        row("GET /v1/images/{uuid}/samples", PROBLEM)
            .path("/v1/images/{image}/samples")
            .other(NO_UPLOAD)
            .own("200 samples: 1"),
        row("GET /downloads/{capability}", OPEN).path("/downloads/v1.x.y").everybody(NOT_READY),
        row("HEAD /downloads/{capability}", OPEN).path("/downloads/v1.x.y").everybody("404 empty"),
        row("GET /healthz", OPEN).everybody("200 text: alive"),
        row("HEAD /healthz", OPEN).everybody("200 empty"),
        row("GET /readyz", OPEN).everybody("200 ready: true"),
        row("HEAD /readyz", OPEN).everybody("200 empty"),
        // From this machine; a test of its own calls from elsewhere.
        row("GET /metrics", OPEN).everybody("200 application/openmetrics-text: # HELP longshore_received_bytes Bytes of upload bodies that arrived."),
        row("HEAD /metrics", OPEN).everybody("200 empty"),
    ]
}
