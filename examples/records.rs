//! For `scripts/measure scale`: `fill` writes many records and store entries as the service itself would, `ask` puts queries to a
//! running service and prints how long the answers took.
//!
//! ```text
//! records fill DATA_DIR DATABASE_URL JOBS OPEN_UPLOADS   prints JSON for `ask`
//! records ask PORT FILL_JSON CLIENTS REQUESTS            prints JSON, a row for each kind of query
//! ```
#![expect(clippy::print_stdout, reason = "a measuring tool prints its numbers")]
#![expect(clippy::unwrap_used, reason = "a tool for measurements ends at the first surprise")]

#[path = "records/ask.rs"]
mod ask;
#[path = "../tests/integration/support/fill.rs"]
mod fill;

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream};
use longshore::{
    cli::serve::Service,
    config::{Config, Flags},
    db::{self, Database, DbOptions},
    domain::{
        account::{Caller, SessionRecord, StorageRecord},
        add_image::AddImageRequest,
        ids::{AccountUuid, ApiId, NodeUuid, SessionUuid, StorageUuid},
        upload::{Completion, ExpectedDigests},
    },
    http::App,
    jobs::NewJob,
    shutdown::Shutdown,
    uploads::Slice,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Accounts that share the records.
const ACCOUNTS: usize = 50;
/// Bytes that every open upload has, of twice as many.
const SENT: usize = 4096;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["fill", data_dir, url, jobs, open] => {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let filled = fill_all(data_dir, url, jobs.parse().unwrap(), open.parse().unwrap());
            println!("{}", runtime.block_on(filled));
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
        ["ask", port, filled, clients, requests] => {
            let filled = serde_json::from_str(&std::fs::read_to_string(filled).unwrap()).unwrap();
            let number = |text: &str| text.parse::<usize>().unwrap();
            let rows = ask::ask(port.parse().unwrap(), &filled, number(clients), number(requests));
            println!("{}", Value::Array(rows));
        }
        _ => println!("records fill DATA_DIR DATABASE_URL JOBS OPEN | ask PORT JSON CLIENTS N"),
    }
}

async fn fill_all(data_dir: &str, url: &str, jobs: usize, open: usize) -> Value {
    let flags = Flags {
        listen: Some("127.0.0.1:0".to_owned()),
        data_dir: Some(PathBuf::from(data_dir)),
        database_url: Some(url.to_owned()),
        ..Flags::default()
    };
    let settings = [
        ("LONGSHORE_UPLOADS__OPEN_UPLOADS_MAX", "1000000"),
        ("LONGSHORE_STORAGE__FREE_BYTES_MIN_PERCENT", "0"),
        // The records are there to be read: a power cut while they are made costs making them again.
        ("LONGSHORE_DURABILITY", "process-crash"),
    ];
    let settings = settings.map(|(name, value)| (name.into(), value.into()));
    let password = std::env::vars_os().filter(|(name, _)| name == "LONGSHORE_ADMIN_PASSWORD");
    let config = Config::load(&flags, settings.into_iter().chain(password)).unwrap();
    let shutdown = Shutdown::new();
    let service = Service::start(&config, shutdown.clone()).await.unwrap();
    let app = service.app.clone();
    let (storage, ..) = app.jobs.storage().await.unwrap();
    let now_ms = now_ms();
    let db = db::open(config.database_url.expose(), &DbOptions::default()).await.unwrap();
    let accounts = fill::accounts(&*db, ACCOUNTS, now_ms).await;
    let callers: Vec<_> =
        accounts.iter().map(|&account| Caller { account, admin: false }).collect();
    let numbers = stream::iter(0..open);
    let opened = numbers.map(|number| open_one(&app, callers[number % ACCOUNTS], number));
    let image_ids: Vec<_> = opened.buffered(32).collect().await;
    // What they have received is written down by its end.
    shutdown.begin();
    app.uploads.write_down().await.unwrap();
    drop((service, app));
    let _ = shutdown.drain(Duration::from_secs(5)).await;

    let plan = fill::Plan {
        jobs: jobs.saturating_sub(open),
        unfinished_every: 0,
        accounts: accounts.clone(),
        until_ms: now_ms,
        storage: storage.uuid,
        node: NodeUuid::random(),
    };
    let filled = fill::fill(&*db, &plan).await;
    let shown = |count: usize| filled.iter().step_by((filled.len() / count).max(1)).take(count);
    let admin = db.account_named("admin").await.unwrap().unwrap().uuid;
    json!({
        "admin": session(&db, admin, now_ms).await,
        "user": session(&db, accounts[0], now_ms).await,
        "image_ids": image_ids,
        "user_image_ids": image_ids.iter().step_by(ACCOUNTS).collect::<Vec<_>>(),
        "api_ids": shown(500).map(|new| new.job.api_id.to_string()).collect::<Vec<_>>(),
        "tags": shown(500).map(|new| &new.system_tags[0]).collect::<Vec<_>>(),
        "names": shown(500).map(|new| &new.job.name).collect::<Vec<_>>(),
        "storage": storage_json(&storage),
    })
}

fn storage_json(storage: &StorageRecord) -> String {
    let StorageUuid(uuid) = storage.uuid;
    uuid.simple().to_string()
}

/// An upload with its store entry and some bytes; answers its `IMAGE_ID`.
async fn open_one(app: &App, caller: Caller, number: usize) -> String {
    let image_id = format!("open-{number}");
    let new = NewJob {
        uuid: None,
        name: None,
        description: None,
        image: AddImageRequest {
            name: Some(format!("open-{number}")),
            url: Some("upload://open.raw".to_owned()),
            format: Some("raw".to_owned()),
            ..AddImageRequest::default()
        },
        system_tags: vec![format!("uploadImage::{image_id}")],
        user_tags: Vec::new(),
        api_id: ApiId::random(),
        completion: Completion::ByLength,
        expected: ExpectedDigests::default(),
        length: Some(2 * SENT as u64),
        client_metadata: None,
    };
    let view = app.jobs.submit(caller, new).await.unwrap();
    let upload = view.upload.unwrap().uuid;
    let slice = Slice { length: Some(SENT as u64), ..Slice::default() };
    let body = stream::iter([Ok(Bytes::from(vec![7; SENT]))]);
    app.uploads.write(upload, slice, Box::pin(body)).await.unwrap();
    image_id
}

async fn session(db: &Arc<dyn Database>, account: AccountUuid, now_ms: i64) -> String {
    let token = SessionUuid::random().to_string();
    let session = SessionRecord {
        token_sha256: Sha256::digest(token.as_bytes()).into(),
        account,
        created_ms: now_ms,
        expires_ms: now_ms + 86_400_000,
    };
    assert!(db.open_session(session, 100).await.unwrap());
    token
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}
