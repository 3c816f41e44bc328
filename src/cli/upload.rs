//! `longshore upload`.

use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::{
    Connection, exit, out,
    progress::{Progress, Show},
};
use crate::client::{
    records::NewImage,
    retry::Policy,
    transfer::Limits,
    uploader::{Outcome, ReadyImage, UploadOptions, Uploader},
};

/// Upload image files; the same command again goes on where it stopped
///
/// An upload that was cut off (also by a crash of this program, a restart of the server, or on another machine) is
/// found by the content of the file and only what is missing is sent. Ctrl-C suspends it; a second one leaves at once.
#[derive(Debug, Args)]
pub struct Upload {
    /// Image files, sent one after the other
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
    /// Slices sent at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=8))]
    parallel: u8,
    /// Longest slice, as 512k or 8m, at most 16m; a broken connection costs at most one slice of each sender
    #[arg(long, default_value = "16m", value_parser = slice_bytes, value_name = "SIZE")]
    slice_size: u64,
    /// Do not hash the file here and compare at the end
    #[arg(long)]
    no_verify: bool,
    /// Give up after so long without progress, as 90s, 10m or 2h
    #[arg(long, default_value = "10m", value_parser = duration, value_name = "TIME")]
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

impl Media {
    const fn wire_name(self) -> &'static str {
        match self {
            Self::Root => "RootVolumeTemplate",
            Self::Data => "DataVolumeTemplate",
            Self::Iso => "ISO",
        }
    }
}

/// A number with `s`, `m` or `h`; seconds without.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, factor) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) if text.ends_with('h') => (number, 3600),
        Some(number) if text.ends_with('m') => (number, 60),
        Some(number) => (number, 1),
        None => (text, 1),
    };
    let number: u32 =
        number.parse().map_err(|_| "give a number and s, m or h, as 10m".to_owned())?;
    Ok(Duration::from_secs(u64::from(number) * factor))
}

/// A number with `k` or `m`, from 64 KiB to what every server takes with a checksum.
fn slice_bytes(text: &str) -> Result<u64, String> {
    let bytes = match text.split_at_checked(text.len().saturating_sub(1)) {
        Some((number, "k")) => number.parse::<u32>().ok().map(|number| u64::from(number) << 10),
        Some((number, "m")) => number.parse::<u32>().ok().map(|number| u64::from(number) << 20),
        _ => None,
    };
    bytes
        .filter(|bytes| (64 << 10..=16 << 20).contains(bytes))
        .ok_or_else(|| "give a number and k or m, from 64k to 16m".to_owned())
}

impl Upload {
    /// Runs it: the exit code of the first file that did not become an image.
    pub async fn run(self, connection: &Connection) -> Result<u8> {
        if self.name.is_some() && self.files.len() > 1 {
            bail!("--name names one image; give one file with it");
        }
        let api = connection.api()?;
        let mut first_bad = exit::OK;
        for file in &self.files {
            let progress = Progress::new(self.show, &base_name(file));
            let uploader = Arc::new(Uploader::new(api.clone(), self.options(), progress.sink()));
            let theirs = Arc::clone(&uploader);
            let watch = super::on_interrupt(move || {
                out::complain("suspending; press Ctrl-C again to leave at once");
                theirs.suspend();
            });
            let image = self.image(file).await?;
            let outcome = uploader.upload(file, &image).await;
            watch.abort();
            progress.done();
            let code = match outcome {
                Ok(Outcome::Ready(ready)) => {
                    self.say_ready(file, &ready);
                    exit::OK
                }
                Ok(Outcome::Interrupted { job_uuid, suspended, all_sent }) => {
                    self.say_interrupted(job_uuid.as_deref(), suspended, all_sent);
                    return Ok(exit::INTERRUPTED);
                }
                Err(error) => {
                    let error = anyhow::Error::new(error);
                    let code = exit::of(&error);
                    super::say_error(&about(file, error), code, self.show.json);
                    code
                }
            };
            if first_bad == exit::OK {
                first_bad = code;
            }
        }
        Ok(first_bad)
    }

    fn options(&self) -> UploadOptions {
        UploadOptions {
            limits: Limits {
                parallel: usize::from(self.parallel),
                slice_bytes_min: self.slice_size.min(Limits::default().slice_bytes_min),
                slice_bytes_max: self.slice_size,
            },
            verify: !self.no_verify,
            policy: Policy::giving_up_after(self.give_up_after),
            ..UploadOptions::new()
        }
    }

    async fn image(&self, file: &Path) -> Result<NewImage> {
        let format = if let Some(format) = &self.format {
            format.clone()
        } else {
            let file = file.to_path_buf();
            tokio::task::spawn_blocking(move || format_of(&file)).await?.to_owned()
        };
        let media = match self.media_type {
            Some(media) => media,
            None if format == "iso" => Media::Iso,
            None => Media::Root,
        };
        let stem = || file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(NewImage {
            name: self.name.clone().unwrap_or_else(stem),
            description: self.description.clone(),
            format,
            media_type: media.wire_name().to_owned(),
            platform: self.platform.clone(),
            architecture: self.architecture.clone(),
        })
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

    fn say_interrupted(&self, job: Option<&str>, suspended: bool, all_sent: bool) {
        let line = resume_line(std::env::args_os());
        if self.show.json {
            out::say_json(&json!({"event": "interrupted", "jobUuid": job, "suspended": suspended,
                "allSent": all_sent, "resume": line}));
            return;
        }
        let kept = match (job, all_sent, suspended) {
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
        out::complain(&format!("{kept}. Go on with:"));
        out::say(&line);
    }
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

/// The format by the first bytes, else by the extension. The server decides by the content in the end.
fn format_of(file: &Path) -> &'static str {
    let mut head = Vec::new();
    // Only a regular file: a named pipe would wait, and is refused in words later.
    if file.is_file()
        && let Ok(file) = std::fs::File::open(file)
    {
        // A file that cannot be read is told so by the upload itself.
        let _ = file.take(0x8800).read_to_end(&mut head);
    }
    let at = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|h| h.starts_with(magic));
    if at(0, b"QFI\xfb") {
        return "qcow2";
    }
    if at(0, b"KDMV") {
        return "vmdk";
    }
    if at(0, b"vhdxfile") {
        return "vhdx";
    }
    if at(0, b"conectix") {
        return "vhd";
    }
    if at(0x40, &[0x7f, 0x10, 0xda, 0xbe]) {
        return "vdi";
    }
    if at(0x8001, b"CD001") {
        return "iso";
    }
    let extension = file.extension().unwrap_or_default().to_ascii_lowercase();
    match extension.to_str() {
        Some("vhd" | "vpc") => "vhd",
        Some("vmdk") => "vmdk",
        _ => "raw",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit() {
        for (text, secs) in [("90s", 90), ("10m", 600), ("2h", 7200), ("7", 7)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(secs)), "{text}");
        }
        for bad in ["", "m", "-1s", "1d", "99999999999s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_of_slices_have_a_unit_and_bounds() {
        assert_eq!(slice_bytes("64k"), Ok(65_536));
        assert_eq!(slice_bytes("16m"), Ok(16 << 20));
        for bad in ["", "k", "63k", "17m", "1", "1g", "é", "99999999999m"] {
            assert!(slice_bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_line_that_resumes_survives_a_shell() {
        let args = ["longshore", "upload", "a b.raw", "it's", "x=1"].map(std::ffi::OsString::from);
        assert_eq!(resume_line(args.into_iter()), r"longshore upload 'a b.raw' 'it'\''s' x=1");
    }

    #[test]
    fn formats_are_seen_in_the_first_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.img");
        let mut iso = vec![0; 0x8001];
        iso.extend_from_slice(b"CD001");
        for (head, format) in [
            (&b"QFI\xfb\0\0"[..], "qcow2"),
            (b"KDMV", "vmdk"),
            (b"vhdxfile", "vhdx"),
            (&iso, "iso"),
            (b"hello", "raw"),
            (b"", "raw"),
        ] {
            std::fs::write(&path, head).unwrap();
            assert_eq!(format_of(&path), format);
        }
    }
}
