use std::{ffi::OsString, path::PathBuf, time::Duration};

use longshore_storage::{
    Durability, Limits,
    digest::{Engine, Kernel, KernelChoice},
};

use super::{Config, ConfigErrors, Flags, LogFormat, NOT_SETTINGS, Origin, Tls};

fn environment(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn from_environment(variables: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    Config::load(&Flags::default(), environment(variables))
}

/// A file with this text, and flags that name it.
fn file(text: &str) -> (tempfile::TempDir, Flags) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("longshore.toml");
    std::fs::write(&path, text).unwrap();
    (dir, Flags { config: Some(path), ..Flags::default() })
}

fn from_file(text: &str) -> Result<Config, ConfigErrors> {
    let (_dir, flags) = file(text);
    Config::load(&flags, environment(&[]))
}

fn complaint(result: Result<Config, ConfigErrors>) -> String {
    result.expect_err("this configuration must be refused").to_string()
}

fn shown(config: &Config, key: &str) -> (String, Origin) {
    let found = config.effective().iter().find(|effective| effective.key == key);
    let found = found.unwrap_or_else(|| panic!("{key} is not listed"));
    (found.value.clone(), found.origin.clone())
}

#[test]
fn without_any_source_the_defaults_of_the_design_hold() {
    let config = from_environment(&[]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.data_dir, PathBuf::from("./longshore-data"));
    assert_eq!(config.database_url.expose(), "sqlite:./longshore-data/longshore.db");
    assert_eq!(config.durability, Durability::PowerLoss);
    assert!(config.digests.md5 && config.digests.sha256);
    assert_eq!(config.drain, Duration::from_secs(30));
    assert_eq!(config.uploads.idle_suspend, Duration::from_secs(30));
    assert_eq!(config.uploads.idle_fail, Duration::from_hours(1));
    assert_eq!(config.uploads.expire, Duration::from_hours(7 * 24));
    assert_eq!(config.uploads.finish_wait, Duration::from_secs(5));
    assert_eq!(config.uploads.upload_bytes_max, 16 << 40);
    assert_eq!(config.sessions.lifetime, Duration::from_hours(2));
    assert_eq!(config.images.expunge, Duration::from_hours(72));
    assert!(config.http.cors_origins.is_empty() && !config.http.metrics_public);
    assert!(config.http.interim_responses);
    assert!(config.http.web_hooks_allowed.is_empty());
    let trusted: Vec<_> = config.http.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(trusted, ["127.0.0.0/8", "::1/128"]);
    assert!(config.admin_password.is_none() && config.public_url.is_none());
    assert_eq!(config.warnings, Vec::<String>::new());
    assert_eq!(shown(&config, "uploads.flush_ms"), ("200".into(), Origin::Default));
}

#[test]
fn the_stores_bounds_are_its_own_defaults_unless_set() {
    let config = from_environment(&[("LONGSHORE_WORKERS", "1")]).unwrap();
    let (ours, theirs) = (config.storage_limits(), Limits::for_cores(1));
    assert_eq!(ours.writers_max, theirs.writers_max);
    assert_eq!(ours.extents_max, theirs.extents_max);
    assert_eq!(ours.checked_chunk_bytes_max, theirs.checked_chunk_bytes_max);
    assert_eq!(ours.buffers_bytes_max, theirs.buffers_bytes_max);
    assert_eq!(ours.claim_silent, theirs.claim_silent);
    assert_eq!(ours.past_cache_bytes_min, theirs.past_cache_bytes_min);
    assert_eq!(ours.ahead_cache_bytes_max, theirs.ahead_cache_bytes_max);
    let off = from_environment(&[("LONGSHORE_STORAGE__DIRECT_IO", "false")]).unwrap();
    assert_eq!(off.storage_limits().past_cache_bytes_min, usize::MAX);
    let set = from_environment(&[("LONGSHORE_STORAGE__CHECKPOINT_BYTES", "128 MiB")]).unwrap();
    assert_eq!(set.storage_limits().checkpoint_bytes, 128 << 20);
}

#[test]
fn a_digest_kernel_is_taken_where_the_cpu_can_run_it() {
    let auto = from_environment(&[]).unwrap();
    assert_eq!(auto.storage_limits().digest_engine.choice(), KernelChoice::Auto);
    for kernel in Kernel::ALL {
        let set = from_environment(&[("LONGSHORE_DIGEST_KERNEL", kernel.name())]);
        let choice = KernelChoice::Only(kernel);
        match Engine::new(choice) {
            Ok(_) => assert_eq!(set.unwrap().storage_limits().digest_engine.choice(), choice),
            Err(_) => assert!(complaint(set).contains("allowed: auto, generic")),
        }
    }
}

#[test]
fn flags_win_over_environment_and_environment_over_the_file() {
    let (_dir, mut flags) = file("listen = '127.0.0.1:1'\nworkers = 3\ndrain_secs = 7\n");
    let path = flags.config.clone().unwrap();
    flags.listen = Some("127.0.0.1:3".into());
    let variables = [("LONGSHORE_LISTEN", "127.0.0.1:2"), ("LONGSHORE_WORKERS", "2")];
    let config = Config::load(&flags, environment(&variables)).unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.workers, 2);
    assert_eq!(config.drain, Duration::from_secs(7));
    assert_eq!(shown(&config, "listen").1, Origin::Flag("--listen"));
    assert_eq!(shown(&config, "workers").1, Origin::Environment("LONGSHORE_WORKERS".into()));
    assert_eq!(shown(&config, "drain_secs"), ("7".into(), Origin::File(path)));
}

#[test]
fn the_file_may_be_named_by_the_environment_and_the_flag_wins() {
    let (_one, one) = file("workers = 1");
    let (_two, two) = file("workers = 2");
    let named = one.config.unwrap().into_os_string();
    let variables = || vec![(OsString::from("LONGSHORE_CONFIG"), named.clone())];
    assert_eq!(Config::load(&Flags::default(), variables()).unwrap().workers, 1);
    assert_eq!(Config::load(&two, variables()).unwrap().workers, 2);
}

#[test]
fn two_underscores_separate_section_and_key_in_the_environment() {
    let config = from_environment(&[
        ("LONGSHORE_UPLOADS__IDLE_SUSPEND_SECS", "45"),
        ("LONGSHORE_UPLOADS__UPLOAD_BYTES_MAX", "2 TiB"),
        ("LONGSHORE_HTTP__CORS_ORIGINS", "https://a.example, http://b.example:8443"),
        ("LONGSHORE_HTTP__METRICS_PUBLIC", "true"),
        ("LONGSHORE_LOG_FORMAT", "json"),
    ])
    .unwrap();
    assert_eq!(config.uploads.idle_suspend, Duration::from_secs(45));
    assert_eq!(config.uploads.upload_bytes_max, 2 << 40);
    assert_eq!(config.http.cors_origins, ["https://a.example", "http://b.example:8443"]);
    assert!(config.http.metrics_public);
    assert_eq!(config.log_format, LogFormat::Json);
}

#[test]
fn variables_of_others_and_empty_ones_are_left_alone() {
    let mut variables =
        vec![("PATH", "/bin"), ("LONGSHORE_WORKERS", ""), ("LONGSHORE_TEST_X", "1")];
    variables.extend(NOT_SETTINGS.iter().filter(|n| **n != "LONGSHORE_CONFIG").map(|n| (*n, "x")));
    let config = from_environment(&variables).unwrap();
    assert_eq!(shown(&config, "workers").1, Origin::Default);
}

/// Every key with a value that it must refuse. The list is compared with the keys that exist, so that a new setting without a
/// case here fails.
const REFUSED: [(&str, &str); 41] = [
    ("listen", "'somewhere'"),
    ("data_dir", "''"),
    ("public_url", "'ftp://x'"),
    ("database_url", "'mysql://root:hush-hush@h/d'"),
    ("admin_password", "'short'"),
    ("log_format", "'xml'"),
    ("log_filter", "'longshore=loud'"),
    ("wire_time_zone", "'Mars/Olympus'"),
    ("durability", "'maybe'"),
    ("drain_secs", "-1"),
    ("workers", "0"),
    ("digest_kernel", "'abacus'"),
    ("digests.md5", "1"),
    ("digests.sha256", "'perhaps'"),
    ("uploads.idle_suspend_secs", "0"),
    ("uploads.idle_fail_secs", "0"),
    ("uploads.expire_secs", "1"),
    ("uploads.finish_wait_ms", "60_001"),
    ("uploads.writers_max", "65"),
    ("uploads.extents_max", "1"),
    ("uploads.checked_chunk_bytes_max", "'1 MiB'"),
    ("uploads.body_idle_secs", "0"),
    ("uploads.body_rate_min_bytes", "1.5"),
    ("uploads.body_rate_window_secs", "0"),
    ("uploads.open_uploads_max", "0"),
    ("uploads.requests_per_account_max", "0"),
    ("uploads.requests_per_address_max", "'1 KiB'"),
    ("uploads.upload_bytes_max", "'17 XB'"),
    ("uploads.flush_ms", "'5 MiB'"),
    ("storage.free_bytes_min_percent", "51"),
    ("storage.buffers_bytes_max", "1"),
    ("storage.io_threads", "0"),
    ("storage.hash_threads", "[]"),
    ("storage.checkpoint_bytes", "0"),
    ("storage.writeback_bytes", "'20000000 TiB'"),
    ("storage.direct_io", "'perhaps'"),
    ("storage.ahead_cache_bytes_max", "'2 TiB'"),
    ("sessions.lifetime_secs", "1"),
    ("sessions.per_account_max", "0"),
    ("http.json_bytes_max", "1"),
    ("images.expunge_secs", "'soon'"),
];
const REFUSED_TOO: [(&str, &str); 19] = [
    ("tls_cert", "''"),
    ("tls_key", "7"),
    ("tls_self_signed", "'x'"),
    ("inspect.policy", "'maybe'"),
    ("inspect.encrypted", "'x'"),
    ("inspect.extended_l2", "2"),
    ("inspect.loose_partitions", "'x'"),
    ("inspect.virtual_bytes_max", "0"),
    ("inspect.virtual_ratio_max", "-1"),
    ("http.write_idle_secs", "0"),
    ("http.unsent_bytes_max", "0"),
    ("http.connections_max", "1"),
    ("http.cors_origins", "['https://a.example/path']"),
    ("http.metrics_public", "'on'"),
    ("http.interim_responses", "'on'"),
    ("http.trusted_proxies", "['10.0.0.0/33']"),
    ("http.trusted_proxies", "['proxy.example']"),
    ("http.web_hooks_allowed", "['https://a.example/path']"),
    ("http.web_hooks_allowed", "['a.example']"),
];

#[test]
fn every_refusal_names_key_origin_value_and_what_is_allowed() {
    let config = from_environment(&[]).unwrap();
    let mut keys: Vec<_> = config.effective().iter().map(|effective| effective.key).collect();
    for (key, value) in REFUSED.into_iter().chain(REFUSED_TOO) {
        let text = match key.split_once('.') {
            Some((section, key)) => format!("[{section}]\n{key} = {value}\n"),
            None => format!("{key} = {value}\n"),
        };
        let said = complaint(from_file(&text));
        assert!(said.contains(&format!("`{key}` (file ")), "{key}: {said}");
        assert!(said.contains("longshore.toml) is "), "{key}: {said}");
        assert!(said.contains("; allowed: "), "{key}: {said}");
        keys.retain(|known| *known != key);
    }
    assert_eq!(keys, Vec::<&str>::new(), "settings without a case");
}

#[test]
fn a_certificate_and_its_key_belong_together() {
    let with = |variables: &[(&str, &str)]| from_environment(variables);
    let (cert, key) = (("LONGSHORE_TLS_CERT", "/c.pem"), ("LONGSHORE_TLS_KEY", "/k.pem"));
    assert_eq!(with(&[]).unwrap().tls, Tls::Off);
    let files = Tls::Files { cert: "/c.pem".into(), key: "/k.pem".into() };
    assert_eq!(with(&[cert, key]).unwrap().tls, files);
    let own = ("LONGSHORE_TLS_SELF_SIGNED", "true");
    assert_eq!(with(&[own]).unwrap().tls, Tls::SelfSigned);
    for (given, key) in [
        (&[cert][..], "`tls_cert`"),
        (&[key], "`tls_key`"),
        (&[cert, own], "`tls_cert`"),
        (&[cert, key, own], "`tls_self_signed`"),
    ] {
        let said = complaint(with(given));
        assert!(said.contains(key), "{given:?}: {said}");
    }
    // Each from another place; where both ways are given, the later place decides.
    let (_dir, by_file) = file("tls_self_signed = true\ntls_key = '/k.pem'\n");
    let flagged = Flags { tls_cert: Some("/c.pem".into()), ..by_file.clone() };
    assert_eq!(Config::load(&flagged, environment(&[])).unwrap().tls, files);
    assert_eq!(Config::load(&by_file, environment(&[cert, key])).unwrap().tls, files);
    let (_dir, by_file) = file("tls_cert = '/c.pem'\ntls_key = '/k.pem'\n");
    let flagged = Flags { tls_self_signed: true, ..by_file };
    assert_eq!(Config::load(&flagged, environment(&[])).unwrap().tls, Tls::SelfSigned);
    let mixed = Flags { tls_cert: Some("/c.pem".into()), ..Flags::default() };
    assert_eq!(Config::load(&mixed, environment(&[key])).unwrap().tls, files);
    let everywhere = ("LONGSHORE_LISTEN", "0.0.0.0:0");
    let warned = |given: &[(&str, &str)]| {
        let warnings = with(given).unwrap().warnings;
        warnings.iter().any(|text| text.contains("without TLS"))
    };
    assert!(warned(&[everywhere]));
    assert!(!warned(&[everywhere, cert, key]));
}

#[test]
fn all_mistakes_are_told_at_once() {
    let said = complaint(from_environment(&[
        ("LONGSHORE_WORKERS", "many"),
        ("LONGSHORE_DRAIN_SECS", "601"),
        ("LONGSHORE_UPLOADS__IDLE_SUSPEND", "3"),
    ]));
    assert!(said.contains(
        "`workers` (environment LONGSHORE_WORKERS) is \"many\"; allowed: a whole number from 1 to 1024"
    ));
    assert!(said.contains("`drain_secs` (environment LONGSHORE_DRAIN_SECS) is \"601\""), "{said}");
    assert!(said.contains("`uploads.idle_suspend` (environment LONGSHORE_UPLOADS__IDLE_SUSPEND)"));
}

#[test]
fn an_unknown_key_is_an_error_with_a_suggestion() {
    let said = complaint(from_file("[uploads]\nwriter_max = 3\n"));
    assert!(said.contains("`uploads.writer_max` (file "), "{said}");
    assert!(said.contains("did you mean `uploads.writers_max`?"), "{said}");
    let far = complaint(from_file("[uploads.deeper]\nx = 1\n"));
    assert!(far.contains("`uploads.deeper`"), "{far}");
    let said = complaint(from_file("nothing_like_it_at_all = 1"));
    assert!(!said.contains("did you mean"), "{said}");
}

#[test]
fn a_file_that_is_missing_or_not_toml_is_told_with_its_name() {
    let flags = Flags { config: Some("/nonexistent/longshore.toml".into()), ..Flags::default() };
    let said = complaint(Config::load(&flags, environment(&[])));
    assert!(said.contains("cannot read the configuration file /nonexistent/longshore.toml"));
    let said = complaint(from_file("workers = 1\nadmin_password = 'unclosed-hush-hush\n"));
    assert!(said.contains("line 2"), "{said}");
    assert!(!said.contains("hush-hush"), "the line itself may hold a secret: {said}");
}

#[test]
fn secrets_are_neither_debugged_nor_listed_nor_quoted_in_errors() {
    let password = ("LONGSHORE_ADMIN_PASSWORD", "hush-hush-1");
    let database = "postgres://longshore:p@ss-hush-hush@db.example/ls?password=hush-hush";
    let config = from_environment(&[password, ("LONGSHORE_DATABASE_URL", database)]).unwrap();
    let all: Vec<_> = config.effective().iter().map(ToString::to_string).collect();
    for text in [format!("{config:?}"), format!("{config:#?}"), all.join("\n")] {
        assert!(!text.contains("hush-hush"), "{text}");
        assert!(text.contains("redacted") && text.contains("db.example"), "{text}");
    }
    assert_eq!(config.admin_password.as_ref().unwrap().expose(), "hush-hush-1");
    assert_eq!(config.database_url.expose(), database);
    assert!(config.database_url.is_postgres());
    let short = complaint(from_environment(&[("LONGSHORE_ADMIN_PASSWORD", "hush")]));
    assert!(short.contains("admin_password") && !short.contains("\"hush\""), "{short}");
    let wrong =
        complaint(from_environment(&[("LONGSHORE_DATABASE_URL", "mysql://u:hush-hush@h/d")]));
    assert!(wrong.contains("database_url") && !wrong.contains("hush-hush"), "{wrong}");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let said = complaint(from_file("[digests]\nmd5 = false\nsha256 = false\n"));
    assert!(said.contains("`digests.sha256` (file "), "{said}");
    let said = complaint(from_file("[uploads]\nexpire_secs = 60\nidle_suspend_secs = 61\n"));
    assert!(said.contains("`uploads.expire_secs`") && said.contains("idle_suspend_secs"), "{said}");
    let said = complaint(from_file("[storage]\nwriteback_bytes = '65 MiB'\n"));
    assert!(said.contains("`storage.writeback_bytes`"), "{said}");
}

#[test]
fn what_is_probably_not_meant_is_a_warning_only() {
    let warned = |variables: &[(&str, &str)]| from_environment(variables).unwrap().warnings;
    let open = warned(&[("LONGSHORE_LISTEN", "0.0.0.0:8080")]);
    assert!(open.len() == 1 && open[0].contains("0.0.0.0:8080"), "{open:?}");
    for url in ["http://localhost:8080", "http://127.0.0.2/", "http://[::1]:80/x/"] {
        let local = warned(&[("LONGSHORE_PUBLIC_URL", url)]);
        assert!(local.len() == 1 && local[0].contains("public_url"), "{url}: {local:?}");
    }
    assert_eq!(warned(&[("LONGSHORE_PUBLIC_URL", "https://up.example/ls/")]), Vec::<String>::new());
    let idle = warned(&[("LONGSHORE_UPLOADS__BODY_IDLE_SECS", "31")]);
    assert!(idle.len() == 1 && idle[0].contains("body_idle_secs"), "{idle:?}");
    let weak = warned(&[("LONGSHORE_DURABILITY", "process-crash")]);
    assert!(weak.len() == 1 && weak[0].contains("durability"), "{weak:?}");
    let shared = warned(&[("LONGSHORE_HTTP__CONNECTIONS_MAX", "1024")]);
    assert!(shared.len() == 1 && shared[0].contains("requests_per_account_max"), "{shared:?}");
}

#[test]
fn a_public_url_has_no_trailing_slash_and_localhost_may_be_listened_on() {
    let config = from_environment(&[
        ("LONGSHORE_PUBLIC_URL", "https://up.example/ls/"),
        ("LONGSHORE_LISTEN", "localhost:0"),
    ])
    .unwrap();
    assert_eq!(config.public_url.unwrap().as_str(), "https://up.example/ls");
    assert_eq!(config.listen.to_string(), "127.0.0.1:0");
}

#[test]
fn the_data_dir_carries_the_embedded_database_with_it() {
    let flags = Flags { data_dir: Some("/srv/ls".into()), ..Flags::default() };
    let config = Config::load(&flags, environment(&[])).unwrap();
    assert_eq!(config.database_url.expose(), "sqlite:/srv/ls/longshore.db");
    assert!(!config.database_url.is_postgres());
}
