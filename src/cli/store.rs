//! `longshore store`: the files of a data directory against its records, while no service runs on it.

use std::{ffi::OsString, path::PathBuf, sync::Arc};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{exit, out, serve};
use crate::{
    config::{Config, Flags},
    db::{self, Database, DbOptions, StorageNow},
    domain::{
        account::Scope,
        clock::SystemClock,
        ids::{ImageUuid, NodeUuid},
        query::{Condition, Query},
    },
    telemetry,
    uploads::{AtWork, ImageFound, Look, Pace, StoreFound, Uploads},
};

/// Nobody else uses the disk.
const FAST: Pace = Pace { bytes_per_sec: u64::MAX };
/// Images of the records that are asked for at once.
const PAGE: u64 = 500;

pub(super) const HELP: &str = "Examples:
  longshore store check --data-dir /var/lib/longshore
  longshore store check --digests --json
  longshore store check --repair

While the service runs it does the same by itself: `longshore schedule run reconcileStore`, `longshore schedule run scrubImages`.
Exit codes: 0 files and records agree (or do so now), 2 usage, or the store is in use, 6 images are missing or damaged, 9 something else differs.";

/// Compare the files of the service with its records, while it does not run
#[derive(Debug, Args)]
pub struct Store {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    #[command(after_help = HELP)]
    Check(Check),
}

/// Say what differs, and repair what is safe
///
/// Never deletes what may be somebody's image: leftovers of ended uploads are removed; staging entries without a record, and images
/// that were put in one piece and have none (with PostgreSQL: for ten minutes), are moved to lost+found; everything else is only told.
#[derive(Debug, Args)]
struct Check {
    /// Repair what is safe
    #[arg(long)]
    repair: bool,
    /// Read every Ready image as well, and compare its digests
    #[arg(long)]
    digests: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Where the service keeps its data [default: ./longshore-data]
    #[arg(long, value_name = "PATH")]
    data_dir: Option<PathBuf>,
    /// The TOML file with the settings of the service
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// `sqlite:<path>` or `postgres://...` [default: SQLite in the data directory]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
}

impl Store {
    /// Runs it.
    pub async fn run(self, environment: Vec<(OsString, OsString)>) -> Result<u8> {
        match self.command {
            StoreCommand::Check(check) => check.run(environment).await,
        }
    }
}

/// Images of a kind that a person is shown.
const SHOWN_MAX: usize = 100;

/// An image that is not what it was.
struct Damaged {
    image: ImageUuid,
    words: String,
}

impl Check {
    async fn run(self, environment: Vec<(OsString, OsString)>) -> Result<u8> {
        let flags = Flags {
            config: self.config.clone(),
            data_dir: self.data_dir.clone(),
            database_url: self.database_url.clone(),
            ..Flags::default()
        };
        let config = Config::load(&flags, environment)?;
        // What cannot be looked at is named there alone. Not the filter of the service: whoever checks has asked for these.
        telemetry::init(config.log_format, "warn")?;
        let shown = config.data_dir.display().to_string();
        // Made here, a mistyped path would become a store of its own.
        if !config.data_dir.join("STORE").is_file() {
            bail!(
                "there is no store in {shown}; name the data directory of the service with --data-dir"
            );
        }
        let (uploads, db) = open(&config, &shown).await?;
        let found = uploads.check_store(self.repair, AtWork::Nobody).await?;
        let damaged = if self.digests { damaged(&uploads, &*db).await? } else { Vec::new() };
        if self.json {
            out::say_json(&told(&found, &damaged, self.repair));
        } else {
            say(&found, &damaged, self.repair);
        }
        Ok(code(&found, &damaged, self.repair))
    }
}

/// The lock of the data directory says whether a service runs on it: then this refuses, and changes nothing.
async fn open(config: &Config, shown: &str) -> Result<(Uploads, Arc<dyn Database>)> {
    let (store, store_uuid) = serve::open_store_alone(config).await.with_context(|| {
        format!(
            "the store in {shown} cannot be opened; while the service runs on it, run `longshore schedule run reconcileStore` instead"
        )
    })?;
    let db = db::open(config.database_url.expose(), &DbOptions::default()).await;
    let db = db.with_context(|| format!("the records of {shown} cannot be opened"))?;
    // New records know no upload: everything would be a stray of theirs.
    let now = StorageNow { url: String::new(), total_bytes: 0, free_bytes: 0 };
    if db.storages(&Query::default(), now).await?.rows.is_empty() {
        bail!(
            "the records belong to no store yet; name those of the service with --database-url or --config"
        );
    }
    serve::bind_storage(&*db, store_uuid, 0).await?;
    let uploads = Uploads::new(
        Arc::clone(&db),
        store,
        Arc::new(SystemClock),
        serve::upload_limits(config),
        NodeUuid::NIL,
        CancellationToken::new(),
    );
    Ok((uploads, db))
}

async fn damaged(uploads: &Uploads, db: &dyn Database) -> Result<Vec<Damaged>> {
    let ready = Condition::parse("status=Ready").into_iter().collect();
    let mut query = Query { conditions: ready, limit: PAGE, ..Query::default() };
    let mut damaged = Vec::new();
    loop {
        let page = db.images(&query, Scope::All).await?.rows;
        for image in &page {
            let words = match uploads.check_image(image, Look::whole(FAST)).await {
                // Nothing ends a look here before the image ends.
                Ok(ImageFound::Sound { .. } | ImageFound::Gone | ImageFound::Partly { .. }) => {
                    continue;
                }
                Ok(ImageFound::Missing) => "its file is missing".to_owned(),
                Ok(ImageFound::WrongLength { actual }) => {
                    format!("it has {actual} bytes instead of {}", image.actual_size)
                }
                Ok(ImageFound::WrongDigest { differs, .. }) => {
                    let names: Vec<_> = differs.iter().map(|(name, _)| *name).collect();
                    format!("its bytes have another {}", names.join(" and "))
                }
                Err(error) => format!("it cannot be read: {error}"),
            };
            damaged.push(Damaged { image: image.uuid, words });
        }
        query.start += page.len() as u64;
        if (page.len() as u64) < PAGE {
            return Ok(damaged);
        }
    }
}

fn code(found: &StoreFound, damaged: &[Damaged], repaired: bool) -> u8 {
    let lost = found.missing_images.count + found.wrong_lengths.count;
    let strays = found.leftovers + found.unknown_uploads + found.unsettled;
    let others =
        found.unknown_images.count > 0 || !found.missing_uploads.is_empty() || found.unreadable > 0;
    if lost > 0 || !damaged.is_empty() {
        exit::DAMAGED
    } else if others || (strays > 0 && !repaired) {
        exit::DIFFERS
    } else {
        exit::OK
    }
}

fn told(found: &StoreFound, damaged: &[Damaged], repaired: bool) -> Value {
    let images = |images: &[ImageUuid]| images.iter().map(ToString::to_string).collect::<Vec<_>>();
    json!({
        "uploads": found.uploads,
        "leftovers": found.leftovers,
        "unknownUploads": found.unknown_uploads,
        "unsettledImages": found.unsettled,
        "images": found.images,
        "counts": {
            "unknownImages": found.unknown_images.count,
            "missingImages": found.missing_images.count,
            "wrongLengths": found.wrong_lengths.count,
        },
        "unreadable": found.unreadable,
        "unknownImages": images(&found.unknown_images.first),
        "missingImages": images(&found.missing_images.first),
        "wrongLengths": images(&found.wrong_lengths.first),
        "missingUploads":
            found.missing_uploads.iter().map(|(job, _)| job.uuid.to_string()).collect::<Vec<_>>(),
        "damaged": damaged
            .iter()
            .map(|one| json!({"image": one.image.to_string(), "words": one.words}))
            .collect::<Vec<_>>(),
        "repaired": repaired,
        "agrees": found.agrees() && damaged.is_empty(),
    })
}

fn say(found: &StoreFound, damaged: &[Damaged], repaired: bool) {
    out::say(&format!("{} uploads and {} image files were looked at", found.uploads, found.images));
    let strays = |count: u64, what: &str, done: &str| {
        if count > 0 {
            let next = if repaired { done } else { "--repair clears them" };
            out::say(&format!("{count} {what}: {next}"));
        }
    };
    strays(found.leftovers, "leftovers of uploads that have ended", "removed");
    strays(found.unknown_uploads, "staging entries without a record", "moved to lost+found");
    strays(found.unsettled, "images in whole/ without a record", "moved to lost+found");
    for (images, words) in [
        (&found.missing_images, "its file is missing: upload it again, or restore the file"),
        (&found.wrong_lengths, "its file has another length: upload it again, or restore the file"),
        (&found.unknown_images, "a file without a record: left alone, it may be somebody's"),
    ] {
        let shown = images.first.iter().take(SHOWN_MAX);
        let more = images.count - shown.len() as u64;
        for image in shown {
            out::say(&format!("image {image}: {words}"));
        }
        if more > 0 {
            out::say(&format!("... and {more} more: --json names them"));
        }
    }
    for (job, _) in &found.missing_uploads {
        out::say(&format!(
            "job {}: its bytes are gone; the service fails it in words when it starts",
            job.uuid
        ));
    }
    if found.unreadable > 0 {
        out::say(&format!(
            "{} could not be looked at: the lines on standard error say why",
            found.unreadable
        ));
    }
    for one in damaged {
        out::say(&format!("image {}: {}", one.image, one.words));
    }
    if found.agrees() && damaged.is_empty() {
        out::say("files and records agree");
    }
}
