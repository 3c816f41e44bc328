//! What is counted while a load test runs.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use hdrhistogram::Histogram;

use crate::client::locked;

/// Kinds of errors that are told apart; the rest is counted together.
const ERROR_KINDS_MAX: usize = 50;
/// Digits that a latency keeps.
const DIGITS: u8 = 3;
/// A longer time than this counts as this: a day.
const MICROS_MAX: u64 = 24 * 3600 * 1_000_000;

/// Times of one kind of work.
pub struct Times(Mutex<Histogram<u64>>);

impl Times {
    /// None yet.
    ///
    /// # Panics
    /// Never: these bounds and digits are such that the histogram takes.
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, MICROS_MAX, DIGITS);
        Self(Mutex::new(histogram.expect("1 < a day, and 3 digits are within 0 to 5")))
    }

    /// Adds one.
    pub fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        locked(&self.0).saturating_record(micros);
    }

    /// Their number, percentiles and maximum.
    pub fn spread(&self) -> Spread {
        let histogram = locked(&self.0);
        let at = |quantile| millis(histogram.value_at_quantile(quantile));
        Spread {
            count: histogram.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: millis(histogram.max()),
        }
    }
}

impl Default for Times {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a latency is far below 2^53 microseconds")]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

/// Latencies in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Spread {
    /// How many.
    pub count: u64,
    /// Half of them took at most so long.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// Errors of one kind.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ErrorKindCount {
    /// A status with the server's code, or what happened to the connection.
    pub what: String,
    /// How many.
    pub count: u64,
    /// The words of the first one.
    pub first: String,
}

/// The counters of one run.
#[derive(Default)]
pub struct Tally {
    /// Bytes of images that were handed to connections.
    pub sent: AtomicU64,
    /// Of these, those that the server has confirmed, each once.
    pub stored: AtomicU64,
    /// Requests that carried bytes and were answered with success.
    pub requests: AtomicU64,
    /// Connections that were cut on purpose.
    pub interruptions: AtomicU64,
    /// Uploads that have become images.
    pub done: AtomicU64,
    /// Uploads that were given up.
    pub failed: AtomicU64,
    /// Bytes that finished uploads had to send more than once.
    pub resent: AtomicU64,
    /// Images whose digest was compared.
    pub checked: AtomicU64,
    /// Of these, those with another digest than what was sent.
    pub wrong: AtomicU64,
    /// Requests with bytes: from the first byte sent to the answer.
    pub request: Times,
    /// Uploads: from the first byte sent to the Ready image.
    pub upload: Times,
    /// Jobs: from asking for one to its upload URL.
    pub create: Times,
    errors: Mutex<BTreeMap<String, (u64, String)>>,
}

impl Tally {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Relaxed);
    }

    /// A counter's value.
    pub fn value(counter: &AtomicU64) -> u64 {
        counter.load(Relaxed)
    }

    /// Counts an error. `what` is its kind, `words` is kept of the first one.
    pub fn error(&self, what: &str, words: &str) {
        let mut errors = locked(&self.errors);
        let known = errors.contains_key(what) || errors.len() < ERROR_KINDS_MAX;
        let what = if known { what } else { "other" };
        errors.entry(what.to_owned()).or_insert_with(|| (0, words.to_owned())).0 += 1;
    }

    /// How many errors there were.
    pub fn errors(&self) -> u64 {
        locked(&self.errors).values().map(|(count, _)| count).sum()
    }

    /// The errors by kind, the most frequent first.
    pub fn error_kinds(&self) -> Vec<ErrorKindCount> {
        let errors = locked(&self.errors);
        let mut kinds: Vec<_> = errors
            .iter()
            .map(|(what, (count, first))| ErrorKindCount {
                what: what.clone(),
                count: *count,
                first: first.clone(),
            })
            .collect();
        kinds.sort_by_key(|kind| std::cmp::Reverse(kind.count));
        kinds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_in_milliseconds() {
        let times = Times::new();
        for millis in 1..=100 {
            times.add(Duration::from_millis(millis));
        }
        let spread = times.spread();
        assert_eq!(spread.count, 100);
        for (value, expected) in
            [(spread.p50, 50.0), (spread.p90, 90.0), (spread.p99, 99.0), (spread.max, 100.0)]
        {
            assert!((value - expected).abs() < 0.2, "{value} is not {expected}");
        }
        assert_eq!(Times::new().spread().count, 0);
    }

    #[test]
    fn errors_are_counted_by_kind_and_their_number_of_kinds_is_bounded() {
        let tally = Tally::default();
        for n in 0..200 {
            tally.error(&format!("kind {n}"), "w");
        }
        for words in ["first", "second"] {
            tally.error("kind 3", words);
        }
        let kinds = tally.error_kinds();
        assert_eq!(tally.errors(), 202);
        assert_eq!(kinds.len(), ERROR_KINDS_MAX + 1);
        assert_eq!((kinds[0].what.as_str(), kinds[0].count), ("other", 150));
        assert_eq!(
            (kinds[1].what.as_str(), kinds[1].count, kinds[1].first.as_str()),
            ("kind 3", 3, "w")
        );
    }
}
