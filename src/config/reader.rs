//! Typed reading of raw values. Each is taken out of the map, parsed and remembered; what is left at the end means nothing.

use std::{ops::RangeInclusive, time::Duration};

use toml::Value;

use super::{
    error::ConfigError,
    options,
    source::{Effective, Origin, RawConfig},
    values::DatabaseUrl,
};

/// Takes settings out of the raw values one by one.
pub(super) struct Reader {
    raw: RawConfig,
    /// What was read, in the order of reading.
    pub(super) effective: Vec<Effective>,
    /// Every mistake so far.
    pub(super) errors: Vec<ConfigError>,
}

impl Reader {
    /// Nothing is read yet.
    pub(super) const fn new(raw: RawConfig) -> Self {
        Self { raw, effective: Vec::new(), errors: Vec::new() }
    }

    /// The one way a value is read: taken out, parsed, remembered. A mistake is recorded and the default goes on, so that all
    /// mistakes are found in one run.
    fn take<T>(
        &mut self,
        key: &'static str,
        allowed: &str,
        shown: impl Fn(&Value) -> String,
        parse: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        let (value, origin) = self.raw.remove(key)?;
        let parsed = parse(&value);
        let value = shown(&value);
        if parsed.is_none() {
            let allowed = allowed.to_owned();
            let (key, origin) = (key.to_owned(), origin.clone());
            self.errors.push(ConfigError::NotAllowed {
                key,
                origin,
                found: value.clone(),
                allowed,
            });
        }
        self.effective.push(Effective { key, value, origin });
        parsed
    }

    fn take_or<T>(
        &mut self,
        key: &'static str,
        default: &Value,
        allowed: &str,
        shown: impl Fn(&Value) -> String,
        parse: impl Fn(&Value) -> Option<T>,
    ) -> T {
        if !self.raw.contains_key(key) {
            self.raw.insert(key.to_owned(), (default.clone(), Origin::Default));
        }
        let taken = self.take(key, allowed, shown, &parse);
        taken.unwrap_or_else(|| parse(default).expect("every default is allowed"))
    }

    pub(super) fn text<T>(
        &mut self,
        key: &'static str,
        default: &str,
        allowed: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> T {
        let default = Value::String(default.to_owned());
        let parse = |value: &Value| value.as_str().and_then(&parse);
        self.take_or(key, &default, allowed, Value::to_string, parse)
    }

    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        allowed: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let taken =
            self.take(key, allowed, Value::to_string, |value| value.as_str().and_then(&parse));
        self.unset(key);
        taken
    }

    pub(super) fn secret<T>(
        &mut self,
        key: &'static str,
        allowed: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let hidden = |_: &Value| "[redacted]".to_owned();
        let taken = self.take(key, allowed, hidden, |value| value.as_str().and_then(&parse));
        self.unset(key);
        taken
    }

    /// Remembers that `key` has no value, if nobody gave one.
    fn unset(&mut self, key: &'static str) {
        if self.effective.last().is_none_or(|last| last.key != key) {
            self.effective.push(Effective { key, value: "(none)".into(), origin: Origin::Default });
        }
    }

    pub(super) fn redacted(
        &mut self,
        key: &'static str,
        default: &str,
        allowed: &str,
    ) -> DatabaseUrl {
        let parse = |value: &Value| value.as_str().and_then(DatabaseUrl::parse);
        let shown = |value: &Value| {
            // What is no URL of ours may still hold a password.
            parse(value)
                .map_or_else(|| "[redacted]".to_owned(), |url| format!("{:?}", url.redacted()))
        };
        self.take_or(key, &Value::String(default.to_owned()), allowed, shown, parse)
    }

    /// One of a few words; the first is the default.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> T {
        let quoted: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        self.text(key, words[0].0, &quoted.join(" or "), |text| {
            words.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice)
        })
    }

    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let default = Value::Boolean(default);
        self.take_or(key, &default, "true or false", Value::to_string, |value| match value {
            Value::Boolean(flag) => Some(*flag),
            Value::String(text) => text.parse().ok(),
            _ => None,
        })
    }

    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        default: &[&str],
        allowed: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let default = default.iter().map(|item| Value::String((*item).to_owned())).collect();
        let default = Value::Array(default);
        self.take_or(key, &default, allowed, Value::to_string, |value| match value {
            Value::Array(items) => {
                items.iter().map(|item| item.as_str().and_then(&parse)).collect()
            }
            Value::String(text) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                items.map(&parse).collect()
            }
            _ => None,
        })
    }

    fn ranged<T: TryFrom<u64>>(
        &mut self,
        key: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
        bytes: bool,
    ) -> T {
        let unit = if bytes { " bytes, also with KiB, MiB, GiB or TiB" } else { "" };
        let allowed = format!("a whole number from {} to {}{unit}", range.start(), range.end());
        // A machine with more cores than a bound foresees is no reason not to start.
        let default = default.clamp(*range.start(), *range.end());
        let default = Value::Integer(i64::try_from(default).expect("no range goes so far"));
        self.take_or(key, &default, &allowed, Value::to_string, |value| {
            let number = match value {
                Value::Integer(number) => u64::try_from(*number).ok(),
                Value::String(text) => options::number(text, bytes),
                _ => None,
            };
            number
                .filter(|number| range.contains(number))
                .and_then(|number| T::try_from(number).ok())
        })
    }

    pub(super) fn number<T: TryFrom<u64>>(
        &mut self,
        key: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> T {
        self.ranged(key, default, range, false)
    }

    pub(super) fn count(
        &mut self,
        key: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> usize {
        self.ranged(key, default, range, false)
    }

    pub(super) fn bytes(
        &mut self,
        key: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> u64 {
        self.ranged(key, default, range, true)
    }

    pub(super) fn byte_count(
        &mut self,
        key: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> usize {
        self.ranged(key, default, range, true)
    }

    pub(super) fn secs(
        &mut self,
        key: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> Duration {
        Duration::from_secs(self.number(key, default, range))
    }

    pub(super) fn millis(
        &mut self,
        key: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> Duration {
        Duration::from_millis(self.number(key, default, range))
    }

    pub(super) fn contradiction(&mut self, key: &str, rule: &str) {
        let set = self.effective.iter().find(|effective| effective.key == key);
        let origin = set.map_or(Origin::Default, |effective| effective.origin.clone());
        self.errors.push(ConfigError::Contradiction { key: key.into(), origin, rule: rule.into() });
    }

    /// The place of a setting that was read among the origins: of two that exclude each other the later one counts.
    pub(super) fn order(&self, key: &str) -> u8 {
        let set = self.effective.iter().find(|effective| effective.key == key);
        set.map_or(0, |effective| effective.origin.order())
    }

    /// Whatever nobody took is a mistake: a wrong name must not pass for a setting.
    pub(super) fn refuse_the_rest(&mut self) {
        for (key, (_, origin)) in std::mem::take(&mut self.raw) {
            let known = self.effective.iter().map(|effective| effective.key);
            let nearest = known.min_by_key(|known| distance(known, &key));
            let nearest = nearest.filter(|known| distance(known, &key) <= 1 + key.len() / 4);
            let nearest = nearest.map(str::to_owned);
            self.errors.push(ConfigError::Unknown { key, origin, nearest });
        }
    }
}

/// Edits between two keys (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
