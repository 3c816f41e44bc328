//! Uploads a file and prints what it became: `LONGSHORE_SESSION=... cargo run --example upload -- URL FILE`.
use std::{env, error::Error, path::Path, sync::Arc};

use longshore::client::{
    api::Api,
    records::NewImage,
    uploader::{UploadOptions, Uploader},
};

#[tokio::main]
#[expect(clippy::print_stderr, reason = "an example that talks")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (server, file) = env::args().skip(1).zip(env::args().skip(2)).next().ok_or("URL FILE")?;
    let api = Api::new(&server, env::var("LONGSHORE_SESSION").ok())?;
    let uploader =
        Uploader::new(api, UploadOptions::new(), Arc::new(|event| eprintln!("{event:?}")));
    let outcome = uploader.upload(Path::new(&file), &NewImage::named(&file)).await?;
    eprintln!("{outcome:?}"); // Interrupted, or Ready; after an error the same call goes on
    Ok(())
}
