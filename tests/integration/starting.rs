//! The first start, also when it does not come off.

use longshore::{
    cli::serve::Service,
    config::{Config, Flags},
    shutdown::Shutdown,
};

/// The generated password is shown by the start that lets people in, not lost by one that failed before.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_leaves_the_password_to_the_next() {
    let data = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = |listen: String| {
        let data_dir = Some(data.path().join("data"));
        let flags = Flags { listen: Some(listen), data_dir, ..Flags::default() };
        Config::load(&flags, []).unwrap()
    };
    let busy = config(taken.local_addr().unwrap().to_string());
    let refused = Service::start(&busy, Shutdown::new()).await;
    let words = refused.err().expect("the port is taken").to_string();
    assert!(words.contains("cannot listen on"), "{words}");

    let free = config("127.0.0.1:0".to_owned());
    let first = Service::start(&free, Shutdown::new()).await.unwrap();
    assert!(first.first_password.as_deref().is_some_and(|password| password.len() >= 16));
}
