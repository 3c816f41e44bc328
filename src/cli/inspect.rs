//! `longshore inspect`.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use longshore_storage::inspect::{Format, Inspector, Level, PartitionTable, Report, Rules};
use serde_json::{Value, json};

use super::{exit, out};

/// Bytes that are read at once where there is no way but through all of them.
const BLOCK_BYTES: usize = 1 << 20;

pub(super) const HELP: &str = "Examples:
  longshore inspect debian-12.qcow2
  longshore inspect --json --format raw disk.img
  zcat disk.img.gz | longshore inspect -

Exit codes: 0 it would be taken, 2 usage or the file cannot be read, 8 it would not be taken.";

/// Say what an image on this machine is, and whether and why a server would not take it
///
/// Nothing is sent, and no server is needed. Of a file only the few parts that matter are read.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Inspect {
    /// The image, or - for standard input
    file: PathBuf,
    /// What it is said to be: raw, qcow2, vmdk, vhd, vhdx, vdi, iso, luks [default: whatever it is]
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    format: Option<Format>,
    /// Take encrypted images, as a server with `inspect.encrypted` does
    #[arg(long)]
    encrypted: bool,
    /// Take qcow2 images with extended L2 entries, as a server with `inspect.extended_l2` does
    #[arg(long)]
    extended_l2: bool,
    /// Only warn of strange partition tables, as a server with `inspect.loose_partitions` does
    #[arg(long)]
    loose_partitions: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

fn format(name: &str) -> Result<Format, String> {
    Format::from_name(name).ok_or_else(|| "no format of this name is known".to_owned())
}

impl Inspect {
    /// Inspects; answers the exit code.
    pub fn run(&self) -> Result<u8> {
        let rules = Rules {
            declared: self.format,
            encrypted: self.encrypted,
            extended_l2: self.extended_l2,
            loose_partitions: self.loose_partitions,
            ..Rules::default()
        };
        let is_stream = self.file == Path::new("-");
        let (length, report) = if is_stream {
            stream(rules, &mut io::stdin().lock()).context("cannot read standard input")?
        } else {
            let name = self.file.display();
            let file = File::open(&self.file).with_context(|| format!("cannot open {name}"))?;
            parts(rules, file).with_context(|| format!("cannot inspect {name}"))?
        };
        let name = self.file.display().to_string();
        if self.json {
            out::say_json(&as_json(&name, length, &report));
        } else {
            tell(&name, length, &report);
        }
        Ok(if report.refusal().is_some() { exit::NOT_TAKEN } else { exit::OK })
    }
}

/// Reads only what matters of a file whose length is known.
fn parts(rules: Rules, mut file: File) -> Result<(Option<u64>, Report)> {
    if file.metadata()?.is_dir() {
        bail!("it is a folder");
    }
    // Of a device the metadata does not say how long it is; a pipe has no end that could be sought.
    let Ok(length) = file.seek(SeekFrom::End(0)) else {
        return stream(rules, &mut file);
    };
    let mut inspector = Inspector::new(rules, Some(length));
    while let Some(part) = inspector.wanted().into_iter().next() {
        // A part has at most a mebibyte.
        let mut bytes = vec![0; usize::try_from(part.end - part.start)?];
        file.read_exact_at(&mut bytes, part.start).context("it changes while it is read")?;
        inspector.feed(part.start, &bytes);
    }
    inspector.end(length);
    Ok((Some(length), inspector.so_far()))
}

/// Reads until it is known that the image would not be taken, or to the end.
fn stream(rules: Rules, from: &mut dyn Read) -> Result<(Option<u64>, Report)> {
    let mut inspector = Inspector::new(rules, None);
    let (mut block, mut at) = (vec![0; BLOCK_BYTES], 0);
    loop {
        let count = match from.read(&mut block) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        if count == 0 {
            inspector.end(at);
            return Ok((Some(at), inspector.so_far()));
        }
        if inspector.feed(at, &block[..count]).is_some() {
            return Ok((None, inspector.so_far()));
        }
        at += count as u64;
    }
}

fn as_json(name: &str, length: Option<u64>, report: &Report) -> Value {
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            json!({
                "level": finding.level.name(),
                "rule": finding.rule(),
                "code": finding.code(),
                "words": finding.to_string(),
                "advice": finding.advice(),
            })
        })
        .collect();
    json!({
        "file": name,
        "length": length,
        "format": report.format.name(),
        "virtualSize": report.virtual_size,
        "partitionTable": report.partitions.map(PartitionTable::name),
        "volumeId": report.volume_id,
        "taken": report.refusal().is_none(),
        "findings": findings,
    })
}

fn tell(name: &str, length: Option<u64>, report: &Report) {
    let mut words = vec![report.format.to_string()];
    words.extend(report.partitions.map(|table| format!("partition table {}", table.name())));
    words.extend(report.volume_id.as_ref().map(|volume| format!("volume `{volume}`")));
    if report.virtual_size > 0 {
        words.push(format!("disk of {}", out::size(report.virtual_size)));
    }
    words.extend(length.map(|length| format!("file of {}", out::size(length))));
    out::say(&format!("{name}: {}", words.join(", ")));
    for finding in &report.findings {
        let level = match finding.level {
            Level::Warning => "warning",
            Level::Refusal => "not taken",
        };
        out::say(&format!("  {level}: {finding} [{}, rule {}]", finding.code(), finding.rule()));
        out::say(&format!("    {}", finding.advice()));
    }
    if report.refusal().is_none() {
        out::say("  it would be taken");
    }
}
