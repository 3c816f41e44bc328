//! One service with three accounts, and fresh objects of one of them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use longshore::{
    accounts::{Capability, NewAccessKey},
    db::{self, Database, DbOptions},
    domain::{
        account::SessionRecord,
        ids::{AccountUuid, SessionUuid},
        upload::UploadRecord,
    },
};
use reqwest::{Client, Method};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::answer::Answer;
use crate::support::app::{RunningApp, http_client};

/// Bytes of every image here.
pub(super) const IMAGE_BYTES: usize = 1000;
/// Bytes of it that an upload in the middle has.
pub(super) const SENT_BYTES: usize = 100;
const POLL_MAX: Duration = Duration::from_secs(20);

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Without `Authorization`.
    Nobody,
    /// `Authorization` of a scheme that is not taken.
    Scheme,
    /// A session that never was.
    Wrong,
    /// A session that has ended.
    Expired,
    /// An access key of the account that has the objects, and another secret.
    WrongKey,
    /// That key and its secret, 16 minutes ago.
    Late,
    /// A session of an account that has nothing to do with the objects.
    Other,
    /// A session of the account that has the objects.
    Own,
    /// An access key of that account.
    Key,
    /// A session of the admin.
    Admin,
}

impl Who {
    pub(super) const ALL: [Self; 10] = [
        Self::Nobody,
        Self::Scheme,
        Self::Wrong,
        Self::Expired,
        Self::WrongKey,
        Self::Late,
        Self::Other,
        Self::Own,
        Self::Key,
        Self::Admin,
    ];
}

/// How far an upload has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has some bytes.
    Running,
    /// It was suspended by the user, with some bytes.
    Suspended,
    /// It is an image.
    Ready,
    /// It was canceled.
    Canceled,
}

/// What a request may speak of.
#[derive(Debug, Clone)]
pub(super) struct Objects {
    pub(super) job: String,
    pub(super) image: String,
    pub(super) image_id: String,
    pub(super) api: String,
    pub(super) session: String,
    pub(super) capability: String,
    pub(super) system_tag: String,
    pub(super) user_tag: String,
    pub(super) account: String,
}

impl Objects {
    /// Names and values, as templates and answers have them.
    pub(super) fn names(&self) -> [(&'static str, &str); 9] {
        [
            ("{job}", &self.job),
            ("{image}", &self.image),
            ("{image_id}", &self.image_id),
            ("{api}", &self.api),
            ("{session}", &self.session),
            ("{capability}", &self.capability),
            ("{system_tag}", &self.system_tag),
            ("{user_tag}", &self.user_tag),
            ("{account}", &self.account),
        ]
    }

    /// Objects of which none exists.
    pub(super) fn missing(capability: String) -> Self {
        Self {
            job: id(),
            image: id(),
            image_id: format!("id-{}", id()),
            api: id(),
            session: id(),
            capability,
            system_tag: id(),
            user_tag: id(),
            account: id(),
        }
    }
}

/// A fresh identifier.
pub(super) fn id() -> String {
    Uuid::new_v4().simple().to_string()
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Ask {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        let (method, path) = (method.to_owned(), path.to_owned());
        Self { method, path, headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }
}

pub(super) struct World {
    pub(super) service: RunningApp,
    pub(super) http: Client,
    pub(super) storage: String,
    db: Arc<dyn Database>,
    other: String,
    own: String,
    admin: String,
    own_account: AccountUuid,
    key: NewAccessKey,
}

impl World {
    pub(super) async fn start(settings: &[(&str, &str)]) -> Self {
        // Objects are asked for long after their last byte; a test that waits for that says so.
        let idle = [("LONGSHORE_UPLOADS__IDLE_SUSPEND_SECS", "600")];
        let idle = idle.iter().filter(|(name, _)| settings.iter().all(|(set, _)| set != name));
        let settings: Vec<_> = idle.chain(settings).copied().collect();
        let service = RunningApp::start(&settings);
        let url = format!("sqlite:{}", service.data_dir().join("longshore.db").display());
        let db = db::open(&url, &DbOptions::default()).await.unwrap();
        let accounts = &service.app.accounts;
        let own_account = accounts.create_account("own", ACCOUNT_PASSWORD, false).await.unwrap();
        let other = accounts.create_account("other", ACCOUNT_PASSWORD, false).await.unwrap().uuid;
        let key = accounts.create_access_key("own").await.unwrap();
        let own_account = own_account.uuid;
        let admin = db.account_named("admin").await.unwrap().unwrap().uuid;
        let storage = service.app.jobs.storage().await.unwrap().0.uuid.to_string();
        Self {
            other: session(&*db, other, HOUR_MS).await,
            own: session(&*db, own_account, HOUR_MS).await,
            admin: session(&*db, admin, HOUR_MS).await,
            http: http_client(),
            storage,
            db,
            own_account,
            key,
            service,
        }
    }

    pub(super) async fn stop(self) {
        drop((self.db, self.http));
        self.service.stop().await;
    }

    /// A new session of the account that has the objects.
    pub(super) async fn session(&self) -> String {
        session(&*self.db, self.own_account, HOUR_MS).await
    }

    /// The request as this caller sends it.
    pub(super) fn by(&self, who: Who, ask: Ask) -> Ask {
        let session = |session: &str| format!("OAuth {session}");
        let authorization = match who {
            Who::Nobody => return ask,
            Who::Scheme => "Basic YWRtaW46cGFzc3dvcmQ=".to_owned(),
            Who::Wrong => session(&id()),
            Who::Expired => unreachable!("it is made when it is asked for"),
            Who::Other => session(&self.other),
            Who::Own => session(&self.own),
            Who::Admin => session(&self.admin),
            Who::Key => return signed(ask, &self.key, 0),
            Who::Late => return signed(ask, &self.key, -16 * 60),
            Who::WrongKey => {
                let key = NewAccessKey { id: self.key.id.clone(), secret: "another".to_owned() };
                return signed(ask, &key, 0);
            }
        };
        ask.with("Authorization", &authorization)
    }

    /// The account that has the objects.
    pub(super) fn account(&self) -> String {
        self.own_account.to_string()
    }

    /// Sends a request, and asks for the end of the call where it is asynchronous. Whatever is answered has to be what the SDKs need.
    pub(super) async fn ask(&self, who: Who, ask: &Ask) -> Answer {
        let sent = match who {
            // Made anew: a login sweeps sessions away that have ended, and then this would only be one that never was.
            Who::Expired => {
                let ended = session(&*self.db, self.own_account, -1).await;
                ask.clone().with("Authorization", &format!("OAuth {ended}"))
            }
            _ => self.by(who, ask.clone()),
        };
        let mut answer = self.send(&sent).await;
        if let Some(location) = answer.location() {
            let path = location.strip_prefix(&self.service.base()).expect("our own host");
            answer.end = Some(Box::new(self.poll(path).await));
        }
        answer
    }

    /// Asks for the result of a call until it is there, as the Java SDK does after a call with an access key.
    pub(super) async fn poll(&self, path: &str) -> Answer {
        let (poll, began) =
            (Ask::new("GET", path).with("Authorization", "OAuth null"), Instant::now());
        loop {
            let answer = self.send(&poll).await;
            if answer.status != 202 {
                return answer;
            }
            assert_eq!(answer.body, b"{}", "a call at work");
            assert!(began.elapsed() < POLL_MAX, "still at work: {path}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn send(&self, ask: &Ask) -> Answer {
        let method: Method = ask.method.parse().unwrap();
        let url = format!("{}{}", self.service.base(), ask.path);
        let mut request = self.http.request(method, url).body(ask.body.clone());
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        let answer = Answer::read(request.send().await.unwrap()).await;
        answer.check_needs(ask);
        answer
    }

    /// Fresh objects of the account `own`.
    pub(super) async fn objects(&self, stage: Stage) -> Objects {
        let (api, image_id) = (id(), format!("id-{}", id()));
        let data = json!({"name": "image", "url": "upload://image.raw", "format": "raw"});
        let params =
            json!({"name": "job", "jobName": "APIAddImageMsg", "jobData": data.to_string()});
        let tags = [format!("uploadImage::{image_id}")];
        let submit = Ask::new("POST", "/zstack/v1/longjobs")
            .with("X-Job-UUID", &api)
            .body(json!({"params": params, "systemTags": tags}).to_string());
        let inventory = self.ask(Who::Own, &submit).await.result()["inventory"].clone();
        let text = |name: &str| inventory[name].as_str().unwrap().to_owned();
        let (job, image) = (text("uuid"), text("targetResourceUuid"));
        let upload = self.upload(&image).await;
        let capability = self.capability(&upload, upload.url_generation);
        let objects = Objects {
            system_tag: self.system_tag(&job).await,
            user_tag: self.new_user_tag(&job).await,
            session: self.session().await,
            account: self.account(),
            job,
            image,
            image_id,
            api,
            capability,
        };
        let sent = if stage == Stage::Ready { IMAGE_BYTES } else { SENT_BYTES };
        let put = Ask::new("PUT", &format!("/imagestore/upload/{}", objects.capability))
            .with("Content-Range", &format!("bytes 0-{}/{IMAGE_BYTES}", sent - 1))
            .body(vec![7; sent]);
        assert_eq!(self.ask(Who::Nobody, &put).await.status, 200);
        // Progress is written down every few seconds; here at once.
        self.service.app.uploads.write_down().await.unwrap();
        match stage {
            Stage::Running | Stage::Ready => {}
            Stage::Suspended => self.act(&objects, "suspendLongJob").await,
            Stage::Canceled => self.act(&objects, "cancelLongJob").await,
        }
        objects
    }

    /// The tag that names the upload of a job.
    async fn system_tag(&self, job: &str) -> String {
        let path = format!("/zstack/v1/system-tags?q=resourceUuid%3D{job}");
        let tags = self.ask(Who::Own, &Ask::new("GET", &path)).await.result();
        tags["inventories"][0]["uuid"].as_str().unwrap().to_owned()
    }

    async fn new_user_tag(&self, job: &str) -> String {
        let params = json!({"resourceType": "LongJobVO", "resourceUuid": job, "tag": "mine"});
        let create = Ask::new("POST", "/zstack/v1/user-tags");
        let create = create.body(json!({ "params": params }).to_string());
        let tag = self.ask(Who::Own, &create).await.result();
        tag["inventory"]["uuid"].as_str().unwrap().to_owned()
    }

    async fn act(&self, objects: &Objects, action: &str) {
        let act = Ask::new("PUT", &format!("/zstack/v1/longjobs/{}/actions", objects.job))
            .body(json!({action: {}}).to_string());
        let _ = self.ask(Who::Own, &act).await.result();
    }

    /// The newest upload of an image.
    pub(super) async fn upload(&self, image: &str) -> UploadRecord {
        let caller = self.service.app.accounts.authenticate(&self.admin).await.unwrap().caller;
        self.service.app.uploads.of_image(caller, image.parse().unwrap()).await.unwrap()
    }

    /// The capability of an upload at a generation.
    pub(super) fn capability(&self, upload: &UploadRecord, generation: i64) -> String {
        self.service.app.capabilities.issue(Capability { upload: upload.uuid, generation })
    }

    /// All that the owner can see of an object; equal as long as nothing was changed.
    pub(super) async fn seen(&self, objects: &Objects) -> Vec<(u16, String)> {
        let mut seen = Vec::new();
        for path in [
            format!("/zstack/v1/longjobs/{}", objects.job),
            format!("/zstack/v1/images/{}", objects.image),
            format!("/zstack/v1/images/upload-job/details/{}", objects.image_id),
            format!("/zstack/v1/task-progresses/{}", objects.api),
            format!("/zstack/v1/system-tags?q=resourceUuid%3D{}", objects.job),
            format!("/zstack/v1/user-tags?q=resourceUuid%3D{}", objects.job),
            format!("/zstack/v1/accounts/sessions/{}/valid", objects.session),
            format!("/imagestore/upload/{}", objects.capability),
        ] {
            let answer = self.ask(Who::Own, &Ask::new("GET", &path)).await;
            seen.push((answer.status, answer.words_without_request_id()));
        }
        seen
    }
}

const HOUR_MS: i64 = 3_600_000;

const ACCOUNT_PASSWORD: &str = "a long password";

/// `Authorization: ZStack <id>:<signature>`: base64 of HMAC-SHA1 over method, `Date` and path, without `/zstack` and the query.
fn signed(ask: Ask, key: &NewAccessKey, offset_secs: i64) -> Ask {
    let time = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(offset_secs);
    let date = time.to_zoned(jiff::tz::TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S Etc/UTC");
    let date = date.to_string();
    let path = ask.path.split('?').next().unwrap();
    let path = path.strip_prefix("/zstack").unwrap_or(path);
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(key.secret.as_bytes()).unwrap();
    mac.update(format!("{}\n{date}\n{path}", ask.method).as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    ask.with("Date", &date).with("Authorization", &format!("ZStack {}:{signature}", key.id))
}

async fn session(db: &dyn Database, account: AccountUuid, ends_in_ms: i64) -> String {
    let token = SessionUuid::random().to_string();
    let session = SessionRecord {
        token_sha256: Sha256::digest(token.as_bytes()).into(),
        account,
        created_ms: now_ms() - HOUR_MS,
        expires_ms: now_ms() + ends_in_ms,
    };
    assert!(db.open_session(session, 100_000).await.unwrap());
    token
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
