//! The real service in this process, on a free port, with a data directory of its own.

use std::{net::SocketAddr, sync::mpsc, thread::JoinHandle};

use longshore::{
    cli::serve::Service,
    config::{Config, Flags},
    http::App,
    shutdown::Shutdown,
};

/// Password of `admin` in tests.
pub(crate) const PASSWORD: &str = "password";

/// A running service; stopped, and waited for, when it is dropped.
pub(crate) struct RunningApp {
    /// What its handlers use.
    pub(crate) app: App,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shutdown: Shutdown,
    thread: Option<JoinHandle<()>>,
    data: tempfile::TempDir,
}

impl RunningApp {
    /// With the default settings and these on top (`LONGSHORE_...`).
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let flags = Flags {
            listen: Some("127.0.0.1:0".to_owned()),
            data_dir: Some(data.path().join("data")),
            ..Flags::default()
        };
        let ours = [
            ("LONGSHORE_ADMIN_PASSWORD", PASSWORD),
            // The tests have to pass on a disk that is nearly full.
            ("LONGSHORE_STORAGE__FREE_BYTES_MIN_PERCENT", "0"),
        ];
        let settings = ours.iter().chain(settings);
        let settings = settings.map(|(name, value)| ((*name).into(), (*value).into()));
        let config = Config::load(&flags, settings).unwrap();
        let shutdown = Shutdown::new();
        let (tell, told) = mpsc::channel();
        let signal = shutdown.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let service = Service::start(&config, signal).await.unwrap();
                tell.send((service.app.clone(), service.address)).unwrap();
                service.run().await.unwrap();
            });
        });
        let (app, address) = told.recv().expect("the service starts");
        Self { app, address, shutdown, thread: Some(thread), data }
    }

    /// Stops the service and waits for it. Dropping does the same, but blocks the runtime of the test meanwhile, so that the
    /// client's idle connections stay open and the service waits for them.
    pub(crate) async fn stop(self) {
        tokio::task::spawn_blocking(move || drop(self)).await.unwrap();
    }

    /// Where it keeps everything.
    pub(crate) fn data_dir(&self) -> std::path::PathBuf {
        self.data.path().join("data")
    }

    /// `http://<address>`
    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for RunningApp {
    fn drop(&mut self) {
        self.shutdown.begin();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the service ended with a panic");
        }
    }
}

/// An HTTP client that follows nothing and asks no proxy.
pub(crate) fn http_client() -> reqwest::Client {
    // Only the first of many tests in this process installs it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        // The server closes connections that are idle for 5 s: on a busy machine a request could meet that.
        .pool_idle_timeout(std::time::Duration::from_secs(1))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}
