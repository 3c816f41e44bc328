//! `longshore images`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    Connection, exit,
    jobs::{Act, List, One},
    out,
    progress::{Among, Progress, Show},
    said::Said,
    verify::{self, Verify},
};
use crate::{
    client::{
        api::Api,
        download::{self, Downloaded},
        events::silent,
        records::ImageView,
        retry::{Policy, patiently},
    },
    wire::native::ImageInspection,
};

/// Images: list, show, download, verify, delete
#[derive(Debug, Args)]
pub struct Images {
    #[command(subcommand)]
    command: ImagesCommand,
}

#[derive(Debug, Subcommand)]
enum ImagesCommand {
    /// List images, the newest first; deleted ones only with --all or a condition on their status
    List(ListImages),
    /// Show one image
    Show(One),
    /// Download an image and verify its digests; the same command again goes on where it stopped
    Download(Download),
    #[command(after_help = verify::HELP)]
    Verify(Verify),
    /// Delete images
    Delete(Act),
}

#[derive(Debug, Args)]
struct ListImages {
    #[command(flatten)]
    list: List,
    /// Deleted ones too
    #[arg(long)]
    all: bool,
}

impl ListImages {
    /// The record of a deleted image stays; who lists images wants those that can be used.
    fn wanted(mut self) -> List {
        if !self.all && !self.list.conditions.iter().any(|one| one.starts_with("status")) {
            self.list.conditions.push("status!=Deleted".to_owned());
        }
        self.list
    }
}

#[derive(Debug, Args)]
struct Download {
    /// Its uuid
    uuid: String,
    /// Where to put it [default: its name and format, in the current folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    show: Show,
}

impl Images {
    /// Runs it.
    pub async fn run(self, connection: &Connection) -> Result<u8> {
        let api = connection.api()?;
        let policy = connection.short_policy();
        match self.command {
            ImagesCommand::List(one) => list(&api, &policy, &one.wanted()).await,
            ImagesCommand::Show(one) => show(&api, &policy, &one).await,
            ImagesCommand::Download(one) => one.run(&api).await,
            ImagesCommand::Verify(one) => one.run(&api, &policy).await,
            ImagesCommand::Delete(act) => {
                for uuid in &act.uuids {
                    patiently(&policy, &silent(), || api.delete_image(uuid)).await?;
                    out::say(&format!("deleted {uuid}"));
                }
                Ok(exit::OK)
            }
        }
    }
}

async fn list(api: &Api, policy: &Policy, list: &List) -> Result<u8> {
    let query = list.query("-createDate");
    let page = patiently(policy, &silent(), || api.query_images(&query)).await?;
    if list.json {
        out::say_json(&json!({"inventories": page.inventories, "total": page.total}));
        return Ok(exit::OK);
    }
    let heading = ["UUID", "STATUS", "FORMAT", "STORED", "CREATED", "NAME"].map(str::to_owned);
    let rows = page.inventories.iter().map(|image| {
        vec![
            image.uuid.clone(),
            image.status.clone(),
            image.format.clone(),
            out::size(image.actual_size),
            image.create_date.clone(),
            image.name.clone(),
        ]
    });
    out::table(&std::iter::once(heading.to_vec()).chain(rows).collect::<Vec<_>>());
    list.say_more(page.inventories.len(), page.total);
    Ok(exit::OK)
}

async fn show(api: &Api, policy: &Policy, one: &One) -> Result<u8> {
    let mut image = download::find_image(api, policy, &silent(), &one.uuid).await?;
    // Of an image whose bytes are on their way there is none; nor does an older server know it.
    let inspection = api.inspection(&one.uuid).await.ok();
    if one.json {
        image.more.extend(inspection.map(|found| ("inspection".to_owned(), json!(found))));
        out::say_json(&image);
        return Ok(exit::OK);
    }
    let text = |key: &str| image.more.get(key).and_then(Value::as_str).map(str::to_owned);
    for (name, value) in [
        ("uuid", Some(image.uuid.clone())),
        ("name", Some(image.name.clone())),
        ("description", text("description")),
        ("status", Some(image.status.clone())),
        ("format", Some(image.format.clone())),
        ("media type", text("mediaType")),
        ("platform", text("platform")),
        ("stored", Some(format!("{} bytes", image.actual_size))),
        ("virtual", Some(format!("{} bytes", image.size))),
        ("MD5", image.md5().map(str::to_owned)),
        ("SHA-256", image.sha256().map(str::to_owned)),
        ("created", Some(image.create_date.clone())),
    ] {
        if let Some(value) = value {
            out::say(&format!("{name:<12}{value}"));
        }
    }
    if let Some(found) = inspection {
        say_inspection(&found);
    }
    Ok(exit::OK)
}

/// What the server found the image to be, and what it has to say of it.
fn say_inspection(found: &ImageInspection) {
    let size = found.virtual_size_bytes.map_or_else(String::new, |size| format!(", {size} bytes"));
    let found_as = format!("{}{size}", found.format);
    let Some(warnings) = &found.warnings else {
        out::say(&format!("{:<12}no: what was found is not known", "inspected"));
        return;
    };
    out::say(&format!("{:<12}{found_as}", "inspected"));
    for warning in warnings {
        out::say(&format!("{:<12}{} [{}]", "warning", warning.words, warning.rule));
    }
}

impl Download {
    async fn run(self, api: &Api) -> Result<u8> {
        let policy = Policy::giving_up_after(Duration::from_mins(10));
        let image = download::find_image(api, &policy, &silent(), &self.uuid).await?;
        let target = self.output.unwrap_or_else(|| default_target(&image));
        let name = target.display().to_string();
        let progress = Progress::new(self.show, &name, Among::ALONE);
        let (events, stop) = (progress.sink(), CancellationToken::new());
        let theirs = stop.clone();
        let watch = super::on_interrupt(move || theirs.cancel());
        let silence_max = Duration::from_mins(1);
        let download =
            download::Download { api, policy: &policy, silence_max, events: &events, stop: &stop };
        let end = download.run(&image, &target, self.force).await;
        watch.abort();
        progress.done();
        match end? {
            Downloaded::Done { bytes, verified } => {
                let checked =
                    if verified { "verified" } else { "the server knows no digest of it" };
                if self.show.json {
                    out::say_json(&Said::Downloaded { file: name, bytes, verified });
                } else if !self.show.quiet {
                    out::say(&format!("{name}: {} ({checked})", out::size(bytes)));
                }
                Ok(exit::OK)
            }
            Downloaded::Stopped { part } => {
                let part = part.display();
                out::complain(&format!("what came is in {part}; the same command goes on"));
                Ok(exit::INTERRUPTED)
            }
        }
    }
}

/// `NAME.FORMAT` in the current folder. The name is the server's word: nothing in it may lead elsewhere.
fn default_target(image: &ImageView) -> PathBuf {
    let clean = |text: &str| {
        let bad = |c: char| c.is_control() || matches!(c, '/' | '\\' | ':');
        let text: String = text.chars().take(200).map(|c| if bad(c) { '_' } else { c }).collect();
        text.trim_start_matches(['.', '-']).to_owned()
    };
    let (mut name, format) = (clean(&image.name), clean(&image.format));
    if name.is_empty() {
        name.clone_from(&image.uuid);
    }
    let ends_so = Path::new(&name).extension().is_some_and(|e| e.eq_ignore_ascii_case(&format));
    if ends_so || format.is_empty() { name.into() } else { format!("{name}.{format}").into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_server_stays_in_the_folder() {
        for (name, format, target) in [
            ("debian", "qcow2", "debian.qcow2"),
            ("debian.qcow2", "qcow2", "debian.qcow2"),
            ("../../etc/passwd", "raw", "_.._etc_passwd.raw"),
            ("-rf", "raw", "rf.raw"),
            ("..", "", "u"),
        ] {
            let json = json!({"uuid": "u", "name": name, "format": format});
            let image: ImageView = serde_json::from_value(json).unwrap();
            assert_eq!(default_target(&image), PathBuf::from(target), "{name}");
        }
    }
}
