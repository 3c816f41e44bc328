//! What operators see: log lines and metrics. Neither ever holds a secret.

mod metrics;
mod redact;

use tracing::{Dispatch, subscriber::SetGlobalDefaultError};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

pub use metrics::{CONTENT_TYPE, Counter, Gauge, Histogram, Metrics};
pub use redact::{fully_decoded, redact_path};

use crate::config::LogFormat;

/// Why logging cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not one.
    #[error("log filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Somebody else has begun logging in this process.
    #[error("logging was set up before: {0}")]
    Taken(#[from] SetGlobalDefaultError),
}

/// Sends log lines to standard error from now on; standard output stays for what a command answers. Once per process.
pub fn init(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let lines = dispatch(format, filter, std::io::stderr)?;
    Ok(tracing::dispatcher::set_global_default(lines)?)
}

/// Log lines to `writer`, for whoever wants them elsewhere than [`init`].
pub fn dispatch<W>(format: LogFormat, filter: &str, writer: W) -> Result<Dispatch, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().parse(filter)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    Ok(match format {
        LogFormat::Text => lines.with_ansi(false).into(),
        LogFormat::Json => lines.json().flatten_event(true).into(),
    })
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let dispatch = dispatch(format, filter, move || writer.clone()).unwrap();
        tracing::dispatcher::with_default(&dispatch, || {
            tracing::info!(offset = 42, "slice stored");
            tracing::debug!("hidden");
        });
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn json_lines_are_objects_with_their_fields_on_top() {
        let text = logged(LogFormat::Json, "info");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 1, "{text}");
        assert_eq!(lines[0]["message"], "slice stored");
        assert_eq!(lines[0]["offset"], 42);
    }

    #[test]
    fn text_lines_hold_no_terminal_codes_and_obey_the_filter() {
        let text = logged(LogFormat::Text, "debug");
        assert!(text.contains("slice stored offset=42") && text.contains("hidden"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        assert_eq!(logged(LogFormat::Text, "warn"), "");
    }

    #[test]
    fn a_filter_that_is_none_is_an_error() {
        let error = dispatch(LogFormat::Text, "longshore=loud", io::sink).unwrap_err();
        assert!(error.to_string().starts_with("log filter: "), "{error}");
    }
}
