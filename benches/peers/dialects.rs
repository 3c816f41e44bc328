//! What each server wants to hear.

use std::fmt::Write;

use anyhow::{Context, Result, bail, ensure};
use longshore::{
    client::load::{
        protocol::head,
        source::Source,
        wire::{Answer, Connection},
    },
    domain::tag::hex,
};
use reqwest::Url;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::{Duration, Instant, sleep};

use super::Work;

/// The last bytes of an upload to a registry are its own: a registry keeps equal blobs once.
const TAIL_BYTES: usize = 64;

/// Which server is spoken to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Put,
    Longshore,
    Tus,
    Registry,
    Imageio,
    Glance,
}

impl Dialect {
    pub(crate) fn of(name: &str) -> Result<Self> {
        Ok(match name {
            "put" => Self::Put,
            "longshore" => Self::Longshore,
            "tus" => Self::Tus,
            "registry" => Self::Registry,
            "imageio" => Self::Imageio,
            "glance" => Self::Glance,
            other => bail!("put, longshore, tus, registry, imageio or glance, not {other}"),
        })
    }
}

/// A server under load.
pub(crate) struct Peer {
    dialect: Dialect,
    base: Url,
    authorization: Option<String>,
    /// SHA-256 over everything but the tail, for a registry.
    prefix: Option<Sha256>,
}

/// A request with bytes of an upload.
struct Part<'u> {
    method: &'static str,
    url: &'u Url,
    headers: String,
    start: u64,
    end: u64,
    tail: Option<[u8; TAIL_BYTES]>,
}

impl Peer {
    pub(crate) fn new(
        dialect: Dialect,
        base: Url,
        authorization: Option<String>,
        source: &Source,
        size: u64,
    ) -> Result<Self> {
        let prefix =
            (dialect == Dialect::Registry).then(|| prefix_of(source, size - TAIL_BYTES as u64));
        Ok(Self { dialect, base, authorization, prefix: prefix.transpose()? })
    }

    /// One upload, until the server says that it is complete.
    pub(crate) async fn upload(
        &self,
        work: &Work,
        number: u64,
        connection: &mut Option<Connection>,
    ) -> Result<()> {
        let name = format!("peer-{number}");
        match self.dialect {
            Dialect::Put => {
                let url = self.base.join(&name)?;
                self.parts(work, connection, "PUT", &url, |start, end| {
                    range_header(work, start, end)
                })
                .await
                .map(drop)
            }
            Dialect::Longshore => self.longshore(work, connection, &name).await,
            Dialect::Tus => self.tus(work, connection).await,
            Dialect::Registry => self.registry(work, connection, number).await,
            Dialect::Imageio => {
                let url = self.base.join(&format!("images/{name}"))?;
                let mut last = url.clone();
                last.set_query(Some("flush=y"));
                let mut open = url;
                open.set_query(Some("flush=n"));
                let mut at = 0;
                while at < work.size {
                    let end = work.size.min(at + work.chunk);
                    let headers = format!("Content-Range: bytes {at}-{}/*\r\n", end - 1);
                    let url = if end == work.size { &last } else { &open };
                    let part = Part { method: "PUT", url, headers, start: at, end, tail: None };
                    self.part(work, connection, part).await?;
                    at = end;
                }
                Ok(())
            }
            Dialect::Glance => {
                let wish = json!({"name": name, "disk_format": "raw", "container_format": "bare"});
                let url = self.base.join("v2/images")?;
                let json = "Content-Type: application/json\r\n";
                let made = self.call(connection, "POST", &url, json, &wish.to_string()).await?;
                let made: Value = serde_json::from_slice(&made.body)?;
                let id = made["id"].as_str().context("no id")?;
                let url = self.base.join(&format!("v2/images/{id}/file"))?;
                let octets = |_, _| "Content-Type: application/octet-stream\r\n".to_owned();
                self.parts(work, connection, "PUT", &url, octets).await.map(drop)
            }
        }
    }

    async fn longshore(
        &self,
        work: &Work,
        connection: &mut Option<Connection>,
        name: &str,
    ) -> Result<()> {
        let url = self.base.join(&format!("uploads/{name}"))?;
        let last = self
            .parts(work, connection, "PUT", &url, |start, end| range_header(work, start, end))
            .await?;
        if last.status == 201 {
            return Ok(());
        }
        let url = self.base.join(&format!("imagestore/upload/uploadImage::{name}"))?;
        let begun = Instant::now();
        loop {
            let answer = self.call(connection, "GET", &url, "", "").await?;
            let state: Value = serde_json::from_slice(&answer.body)?;
            match state["state"].as_str() {
                Some("Succeeded") => return Ok(()),
                Some("Running") if begun.elapsed() < Duration::from_mins(10) => {
                    sleep(Duration::from_millis(20)).await;
                }
                _ => bail!("not an image: {state}"),
            }
        }
    }

    async fn tus(&self, work: &Work, connection: &mut Option<Connection>) -> Result<()> {
        let headers = format!("Tus-Resumable: 1.0.0\r\nUpload-Length: {}\r\n", work.size);
        let made = self.call(connection, "POST", &self.base, &headers, "").await?;
        let url = self.base.join(made.header("location").context("no Location")?)?;
        let last = self
            .parts(work, connection, "PATCH", &url, |start, _| {
                format!(
                    "Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n\
                     Upload-Offset: {start}\r\n"
                )
            })
            .await?;
        let offset = last.header("upload-offset").unwrap_or_default();
        ensure!(offset == work.size.to_string(), "offset [{offset}] at the end");
        Ok(())
    }

    async fn registry(
        &self,
        work: &Work,
        connection: &mut Option<Connection>,
        number: u64,
    ) -> Result<()> {
        let mut tail = [b'.'; TAIL_BYTES];
        tail[..8].copy_from_slice(&number.to_le_bytes());
        let mut digest = self.prefix.clone().context("no prefix")?;
        digest.update(tail);
        let digest = format!("sha256:{}", hex(&digest.finalize()));
        let url = self.base.join("v2/peer/blobs/uploads/")?;
        let made = self.call(connection, "POST", &url, "", "").await?;
        let mut place = self.base.join(made.header("location").context("no Location")?)?;
        let mut at = 0;
        while at < work.size {
            let end = work.size.min(at + work.chunk);
            let headers = format!(
                "Content-Type: application/octet-stream\r\nContent-Range: {at}-{}\r\n",
                end - 1
            );
            let tail = (end == work.size).then_some(tail);
            let part = Part { method: "PATCH", url: &place, headers, start: at, end, tail };
            let answer = self.part(work, connection, part).await?;
            place = self.base.join(answer.header("location").context("no Location")?)?;
            at = end;
        }
        place.query_pairs_mut().append_pair("digest", &digest);
        let done = self.call(connection, "PUT", &place, "", "").await?;
        ensure!(done.status == 201, "{} at the end", done.status);
        Ok(())
    }

    /// All parts of an upload to one URL; the answer to the last.
    async fn parts(
        &self,
        work: &Work,
        connection: &mut Option<Connection>,
        method: &'static str,
        url: &Url,
        headers: impl Fn(u64, u64) -> String,
    ) -> Result<Answer> {
        let mut at = 0;
        loop {
            let end = work.size.min(at + work.chunk);
            let part = Part { method, url, headers: headers(at, end), start: at, end, tail: None };
            let answer = self.part(work, connection, part).await?;
            at = end;
            if at == work.size {
                return Ok(answer);
            }
        }
    }

    async fn part(
        &self,
        work: &Work,
        connection: &mut Option<Connection>,
        part: Part<'_>,
    ) -> Result<Answer> {
        let begun = Instant::now();
        let length = part.end - part.start;
        let mut text = head(part.method, part.url, self.authorization.as_deref());
        let _ = write!(text, "{}Content-Length: {length}\r\n\r\n", part.headers);
        let open = self.open(connection).await?;
        open.write_all(text.as_bytes()).await?;
        let own = part.tail.map_or(0, |tail| tail.len() as u64);
        let (mut at, mut scratch) = (part.start, Vec::new());
        while at < part.end - own {
            let piece = work.source.piece(at, part.end - own - at, &mut scratch).await?;
            open.write_all(piece).await?;
            at += piece.len() as u64;
        }
        if let Some(tail) = part.tail {
            open.write_all(&tail).await?;
        }
        let answer = settled(connection).await?;
        work.request.add(begun.elapsed());
        Ok(answer)
    }

    async fn call(
        &self,
        connection: &mut Option<Connection>,
        method: &str,
        url: &Url,
        headers: &str,
        body: &str,
    ) -> Result<Answer> {
        let mut text = head(method, url, self.authorization.as_deref());
        let _ = write!(text, "{headers}Content-Length: {}\r\n\r\n{body}", body.len());
        self.open(connection).await?.write_all(text.as_bytes()).await?;
        settled(connection).await
    }

    async fn open<'c>(&self, slot: &'c mut Option<Connection>) -> Result<&'c mut Connection> {
        if slot.is_none() {
            *slot = Some(Connection::open(&self.base).await?);
        }
        slot.as_mut().context("just opened")
    }
}

/// The answer, which has to be a success.
async fn settled(connection: &mut Option<Connection>) -> Result<Answer> {
    let answer = connection.as_mut().context("open")?.answer().await?;
    if !answer.keeps_alive {
        *connection = None;
    }
    let text = || answer.text().chars().take(300).collect::<String>();
    ensure!((200..300).contains(&answer.status), "HTTP {}: {}", answer.status, text());
    Ok(answer)
}

/// A part says where it belongs; a whole does not.
fn range_header(work: &Work, start: u64, end: u64) -> String {
    let octets = "Content-Type: application/octet-stream\r\n";
    if end - start == work.size {
        return octets.to_owned();
    }
    format!("{octets}Content-Range: bytes {start}-{}/{}\r\n", end - 1, work.size)
}

fn prefix_of(source: &Source, length: u64) -> Result<Sha256> {
    let Source::Ring(ring) = source else { bail!("only made-up bytes are sent") };
    let mut digest = Sha256::new();
    let mut left = length;
    while left > 0 {
        let piece = &ring[..ring.len().min(usize::try_from(left)?)];
        digest.update(piece);
        left -= piece.len() as u64;
    }
    Ok(digest)
}
