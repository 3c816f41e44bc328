//! `longshore upload`.

mod format;
mod inputs;
mod total;
mod values;

use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use super::{
    Connection, exit, out,
    progress::{Among, Progress, Show},
    said::Said,
    session,
};
use crate::{
    client::{
        api::Api,
        changed::{IfChanged, Notes},
        rate::RateLimit,
        records::{ExpectedDigests, NewImage},
        retry::Policy,
        transfer::Limits,
        uploader::{Outcome, ReadyImage, UploadOptions, Uploader},
    },
    domain::image_id::ImageId,
};
use inputs::STDIN;
use total::Total;

/// Under a rate limit each connection gets at least this, so that the server does not take it for one that has stalled.
const LANE_BYTES_PER_SEC: u64 = 8 << 10;
/// Under a rate limit a slice takes at most about so long: a broken connection costs no more.
const SLICE_SECS: u64 = 20;
/// Shortest slice that is chosen here.
const SLICE_BYTES_MIN: u64 = 64 << 10;
/// Longest slice of a stream, unless another is asked for: twice that is held for each connection.
const STREAM_SLICE_BYTES: u64 = 4 << 20;

/// Upload image files; the same command again goes on where it stopped
///
/// An upload that was cut off (also by a crash of this program, a restart of the server, or on another machine) is
/// found by the content of the file and only what is missing is sent. Ctrl-C suspends it; a second one leaves at once.
#[derive(Debug, Args)]
pub struct Upload {
    /// Image files, sent one after the other; patterns such as '*.raw' that the shell did not expand; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Name of the image [default: the file's name without its extension]
    #[arg(long)]
    name: Option<String>,
    /// Description of the image
    #[arg(long)]
    description: Option<String>,
    /// Format of the image [default: by its first bytes, else its extension, else raw]
    #[arg(long, value_parser = crate::domain::image::FORMATS)]
    format: Option<String>,
    /// What it is used for [default: an ISO by its format, else a root volume]
    #[arg(long, value_enum)]
    media_type: Option<Media>,
    /// Operating system on it
    #[arg(long, default_value = "Linux", value_parser = crate::domain::image::PLATFORMS)]
    platform: String,
    /// Processor it is for
    #[arg(long, value_parser = crate::domain::image::ARCHITECTURES)]
    architecture: Option<String>,
    /// The server's name for the upload, by which it is found again [default: by the content; with - needed to go on later]
    #[arg(long, value_name = "ID")]
    image_id: Option<ImageId>,
    /// Bytes that come from standard input, as 10g or 10737418240; needed with -
    #[arg(long, value_parser = values::size, value_name = "SIZE")]
    size: Option<u64>,
    /// What the file's MD5 has to be; the server makes no image of other bytes
    #[arg(long, value_parser = values::md5, value_name = "HEX")]
    md5: Option<String>,
    /// What the file's SHA-256 has to be; the server makes no image of other bytes
    #[arg(long, value_parser = values::sha256, value_name = "HEX")]
    sha256: Option<String>,
    /// Slices sent at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=8))]
    parallel: u8,
    /// Send at most so much per second in all, as 500k or 10m
    #[arg(long, value_parser = values::rate, value_name = "RATE")]
    limit_rate: Option<u64>,
    /// Length of a slice, from 64k to 16m; a broken connection costs at most one slice of each sender
    /// [default: 1m to 8m, by the measured rate]
    #[arg(long, value_parser = values::slice_bytes, value_name = "SIZE")]
    slice_size: Option<u64>,
    /// Hash the file here too and compare at the end; that is so unless --no-verify is given
    #[arg(long, overrides_with = "no_verify")]
    verify: bool,
    /// Do not hash the file here and compare at the end
    #[arg(long)]
    no_verify: bool,
    /// What to do with a file that is not what its unfinished upload was begun with
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    changed: Changed,
    /// Give up after so long without progress, as 90s, 10m or 2h
    #[arg(long, default_value = "10m", value_parser = values::duration, value_name = "TIME")]
    give_up_after: Duration,
    #[command(flatten)]
    show: Show,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Media {
    Root,
    Data,
    Iso,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Changed {
    /// Say what differs and send nothing
    #[default]
    Refuse,
    /// Give the older upload up and send the file as it is now from its beginning
    Anew,
    /// Go on where only the modification time is new; the digests of the whole decide
    Same,
}

impl From<Changed> for IfChanged {
    fn from(changed: Changed) -> Self {
        match changed {
            Changed::Refuse => Self::Refuse,
            Changed::Anew => Self::Anew,
            Changed::Same => Self::Same,
        }
    }
}

impl Media {
    const fn wire_name(self) -> &'static str {
        match self {
            Self::Root => "RootVolumeTemplate",
            Self::Data => "DataVolumeTemplate",
            Self::Iso => "ISO",
        }
    }
}

impl Upload {
    /// Runs it: the exit code of the first file that did not become an image.
    pub async fn run(self, connection: &Connection) -> Result<u8> {
        let files = inputs::expand(&self.files)?;
        self.check(&files)?;
        let api = connection.api()?;
        let rate = self.limit_rate.map(|rate| Arc::new(RateLimit::new(rate)));
        let mut first_bad = exit::OK;
        let mut total = Total::of(&files);
        for file in &files {
            total.say(self.show);
            let among = total.next(file);
            let code = match self.one(&api, file, rate.clone(), among).await {
                Ok(exit::INTERRUPTED) => return Ok(exit::INTERRUPTED),
                Ok(code) => code,
                Err(error) => {
                    let code = exit::of(&error);
                    super::say_error(&about(file, error), code, self.show.json);
                    code
                }
            };
            total.ended(file, code == exit::OK);
            if first_bad == exit::OK {
                first_bad = code;
            }
        }
        total.say(self.show);
        Ok(first_bad)
    }

    /// What makes no sense is refused before anything is sent.
    fn check(&self, files: &[PathBuf]) -> Result<()> {
        let single = [
            ("--name", self.name.is_some()),
            ("--image-id", self.image_id.is_some()),
            ("--md5", self.md5.is_some()),
            ("--sha256", self.sha256.is_some()),
        ];
        if let Some((option, _)) = single.iter().find(|(_, given)| *given && files.len() > 1) {
            bail!("{option} speaks of one image; give one file with it");
        }
        let stdin = files.iter().any(|file| is_stdin(file));
        match (stdin, self.size) {
            (true, _) if files.len() > 1 => {
                bail!("- is standard input; give no other file with it")
            }
            (true, None) => bail!(
                "say with --size how many bytes come from standard input: without it a pipe that broke could not be told \
                 from one that ended. Where nobody knows the size, write a file first"
            ),
            (true, Some(_)) if self.name.is_none() => {
                bail!("say with --name what the image from standard input is called")
            }
            (false, Some(_)) => bail!("--size is for standard input (-); a file has its own"),
            (true, Some(_)) | (false, None) => {}
        }
        inputs::distinct(files, |file| self.name_of(file))
    }

    async fn one(
        &self,
        api: &Api,
        file: &Path,
        rate: Option<Arc<RateLimit>>,
        among: Among,
    ) -> Result<u8> {
        let progress = Progress::new(self.show, &base_name(file), among);
        // Beside the session: what is in it is as private.
        let notes = session::folder().ok().map(|folder| Notes::in_folder(folder.join("uploads")));
        let options = UploadOptions { rate, notes, ..self.options(is_stdin(file)) };
        let uploader = Arc::new(Uploader::new(api.clone(), options, progress.sink()));
        let theirs = Arc::clone(&uploader);
        let watch = super::on_interrupt(move || {
            out::complain("suspending; press Ctrl-C again to leave at once");
            theirs.suspend();
        });
        let outcome = self.send(&uploader, file).await;
        watch.abort();
        progress.done();
        match outcome? {
            Outcome::Ready(ready) => {
                self.say_ready(file, &ready);
                Ok(exit::OK)
            }
            Outcome::Interrupted { job_uuid, suspended, all_sent } => {
                self.say_interrupted(job_uuid, suspended, all_sent);
                Ok(exit::INTERRUPTED)
            }
        }
    }

    async fn send(&self, uploader: &Uploader, file: &Path) -> Result<Outcome> {
        let Some(size) = self.size else {
            let owned = file.to_path_buf();
            let seen = tokio::task::spawn_blocking(move || format::format_of(&owned)).await?;
            return Ok(uploader.upload(file, &self.image(file, seen)).await?);
        };
        // The first bytes are looked at and then sent like the others.
        let head = tokio::task::spawn_blocking(|| {
            let mut head = Vec::new();
            std::io::stdin().take(format::HEAD_BYTES).read_to_end(&mut head).map(|_| head)
        });
        let head = head.await?.context("cannot read standard input")?;
        let image = self.image(file, format::of_head(&head).unwrap_or("raw"));
        let image_id = match &self.image_id {
            Some(image_id) => image_id.clone(),
            None => format!("stdin-{}", uuid::Uuid::new_v4().simple()).parse()?,
        };
        let reader = Box::new(std::io::Cursor::new(head).chain(std::io::stdin()));
        Ok(uploader.upload_stream(reader, size, image_id, &image).await?)
    }

    fn options(&self, stdin: bool) -> UploadOptions {
        UploadOptions {
            limits: self.limits(stdin),
            verify: self.verify || !self.no_verify,
            image_id: self.image_id.clone(),
            if_changed: self.changed.into(),
            policy: Policy::giving_up_after(self.give_up_after),
            ..UploadOptions::new()
        }
    }

    fn limits(&self, stdin: bool) -> Limits {
        let mut limits = Limits { parallel: usize::from(self.parallel), ..Limits::default() };
        if stdin {
            limits.slice_bytes_max = STREAM_SLICE_BYTES;
        }
        if let Some(rate) = self.limit_rate {
            let lanes = usize::try_from(rate / LANE_BYTES_PER_SEC).unwrap_or(usize::MAX);
            limits.parallel = limits.parallel.min(lanes.max(1));
            let lane = rate / limits.parallel as u64;
            let longest = lane.saturating_mul(SLICE_SECS).max(SLICE_BYTES_MIN);
            limits.slice_bytes_max = limits.slice_bytes_max.min(longest);
            limits.slice_bytes_min = limits.slice_bytes_min.min(longest);
        }
        if let Some(fixed) = self.slice_size {
            (limits.slice_bytes_min, limits.slice_bytes_max) = (fixed, fixed);
        }
        limits
    }

    fn name_of(&self, file: &Path) -> String {
        let stem = || file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        self.name.clone().unwrap_or_else(stem)
    }

    fn image(&self, file: &Path, seen: &str) -> NewImage {
        let format = self.format.clone().unwrap_or_else(|| seen.to_owned());
        let media = match self.media_type {
            Some(media) => media,
            None if format == "iso" => Media::Iso,
            None => Media::Root,
        };
        NewImage {
            name: self.name_of(file),
            description: self.description.clone(),
            format,
            media_type: media.wire_name().to_owned(),
            platform: self.platform.clone(),
            architecture: self.architecture.clone(),
            expected: ExpectedDigests { md5: self.md5.clone(), sha256: self.sha256.clone() },
        }
    }

    fn say_ready(&self, file: &Path, ready: &ReadyImage) {
        if self.show.json || self.show.quiet {
            return; // The event `ready` has said it, or nobody wants to hear it.
        }
        let checked = if ready.verified { "verified" } else { "not compared with the file" };
        out::say(&format!("{}: image {} is ready ({checked})", base_name(file), ready.image_uuid));
        for (name, digest) in [("MD5", &ready.md5), ("SHA-256", &ready.sha256)] {
            if let Some(digest) = digest {
                out::say(&format!("  {name:<8}{digest}"));
            }
        }
    }

    fn say_interrupted(&self, job: Option<String>, suspended: bool, all_sent: bool) {
        let resume = resume_line(std::env::args_os());
        if self.show.json {
            out::say_json(&Said::Interrupted { job_uuid: job, suspended, all_sent, resume });
            return;
        }
        let mut kept = match (job, all_sent, suspended) {
            (None, _, _) => "nothing was sent yet".to_owned(),
            (Some(job), true, _) => {
                format!(
                    "every byte is on the server, which finishes job {job} without this program"
                )
            }
            (Some(job), false, true) => {
                format!("job {job} is suspended; what was sent is kept")
            }
            (Some(job), false, false) => format!(
                "the server could not be told; what was sent is kept, and job {job} suspends by itself"
            ),
        };
        if self.size.is_some() {
            kept.push_str(if self.image_id.is_some() {
                ", and the same input from its beginning goes on"
            } else {
                ", but only an upload with --image-id can be gone on with from standard input"
            });
        }
        out::complain(&format!("{kept}. Go on with:"));
        out::say(&resume);
    }
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == STDIN
}

/// An error of this file. Most name it themselves; twice reads badly.
fn about(file: &Path, error: anyhow::Error) -> anyhow::Error {
    let name = base_name(file);
    if error.to_string().contains(&name) { error } else { error.context(name) }
}

fn base_name(file: &Path) -> String {
    file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}

/// This very command, quoted for a shell.
fn resume_line(args: impl Iterator<Item = std::ffi::OsString>) -> String {
    let quoted = args.map(|arg| {
        let text = arg.to_string_lossy().into_owned();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
        if !text.is_empty() && text.chars().all(plain) {
            text
        } else {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        upload: Upload,
    }

    fn upload(args: &[&str]) -> Upload {
        Line::parse_from(["upload"].iter().chain(args)).upload
    }

    #[test]
    fn the_line_that_resumes_survives_a_shell() {
        let args = ["longshore", "upload", "a b.raw", "it's", "x=1"].map(std::ffi::OsString::from);
        assert_eq!(resume_line(args.into_iter()), r"longshore upload 'a b.raw' 'it'\''s' x=1");
    }

    #[test]
    fn slices_adapt_unless_they_are_fixed_and_fit_the_rate() {
        let mib = 1 << 20;
        let limits = |args: &[&str]| {
            let one = upload(args).limits(args[0] == "-");
            (one.parallel, one.slice_bytes_min, one.slice_bytes_max)
        };
        assert_eq!(limits(&["f"]), (4, mib, 8 * mib));
        assert_eq!(limits(&["f", "--slice-size", "2m"]), (4, 2 * mib, 2 * mib));
        assert_eq!(limits(&["-"]), (4, mib, 4 * mib));
        assert_eq!(limits(&["f", "--limit-rate", "16k"]), (2, 160 << 10, 160 << 10));
        assert_eq!(limits(&["f", "--limit-rate", "1g"]), (4, mib, 8 * mib));
        assert_eq!(limits(&["f", "--limit-rate", "16k", "--slice-size", "1m"]), (2, mib, mib));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_option_that_is_wrong() {
        for (args, words) in [
            (&["a", "b", "--name", "x"][..], "--name"),
            (&["a", "b", "--image-id", "x"], "--image-id"),
            (&["a", "b", "--md5", "00112233445566778899aabbccddeeff"], "--md5"),
            (&["-", "--name", "x"], "--size"),
            (&["-", "--size", "1g"], "--name"),
            (&["-", "b", "--size", "1g"], "no other file"),
            (&["a", "--size", "1g"], "--size"),
            (&["x/a.raw", "y/a.iso"], "both become"),
        ] {
            let upload = upload(args);
            let error = upload.check(&upload.files).unwrap_err().to_string();
            assert!(error.contains(words), "{args:?}: {error}");
        }
        let good = upload(&["-", "--size", "1g", "--name", "x"]);
        assert!(good.check(&good.files).is_ok());
    }
}
