//! The fields of a body, each taken once and checked; what is left over is unknown.

use serde_json::{Map, Value};

use super::error::Fault;
use crate::{domain::text::shown, wire::ims::Code};

/// The fields of one body.
#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Those of this object.
    pub(super) fn new(object: Map<String, Value>) -> Self {
        Self(object)
    }

    /// `null` and an empty text are as good as nothing.
    fn take(&mut self, name: &str) -> Option<Value> {
        let value = self.0.remove(name)?;
        let is_there = !value.is_null() && value.as_str() != Some("");
        is_there.then_some(value)
    }

    /// A text of at most `chars_max` characters.
    pub(super) fn text(
        &mut self,
        name: &str,
        code: Code,
        chars_max: usize,
    ) -> Result<Option<String>, Fault> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let Value::String(text) = value else {
            return Err(Fault::bad(code, format!("{name} has to be a text")));
        };
        let chars = text.chars().count();
        if chars > chars_max {
            let words = format!("{name} may have {chars_max} characters, this one has {chars}");
            return Err(Fault::bad(code, words));
        }
        Ok(Some(text))
    }

    /// One of a few words.
    pub(super) fn word(
        &mut self,
        name: &str,
        code: Code,
        allowed: &[&'static str],
    ) -> Result<Option<&'static str>, Fault> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let found = value
            .as_str()
            .and_then(|text| allowed.iter().copied().find(|allowed| *allowed == text));
        found.map(Some).ok_or_else(|| {
            let given = value.as_str().map_or_else(|| "no text".to_owned(), shown);
            let words = format!("{name} has to be one of {}, not {given}", allowed.join(", "));
            Fault::bad(code, words)
        })
    }

    /// A whole number within these bounds.
    pub(super) fn number(
        &mut self,
        name: &str,
        code: Code,
        bounds: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>, Fault> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_u64().filter(|number| bounds.contains(number));
        number.map(Some).ok_or_else(|| {
            let (min, max) = (bounds.start(), bounds.end());
            let given = shown(&value.to_string());
            let words = format!("{name} has to be a whole number from {min} to {max}, not {given}");
            Fault::bad(code, words)
        })
    }

    /// `true` or `false`; `false` if it is not there.
    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Fault> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_))
            | Some(Value::Null) => {
                Err(Fault::bad(Code::BadFormat, format!("{name} has to be true or false")))
            }
        }
    }

    /// A list of at most `len_max` elements.
    pub(super) fn list(
        &mut self,
        name: &str,
        code: Code,
        len_max: usize,
    ) -> Result<Vec<Value>, Fault> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) if list.len() <= len_max => Ok(list),
            Some(_) => {
                let words = format!("{name} has to be a list of at most {len_max} elements");
                Err(Fault::bad(code, words))
            }
        }
    }

    /// Something that this service does not offer: it must not be there.
    pub(super) fn without(&mut self, name: &str, code: Code, why: &str) -> Result<(), Fault> {
        match self.take(name) {
            None => Ok(()),
            Some(_) => Err(Fault::bad(
                code,
                format!("{name} is not offered: {why}; leave it out. Nothing was made"),
            )),
        }
    }

    /// Nothing is left over.
    pub(super) fn finish(self) -> Result<(), Fault> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => {
                let words = format!("there is no field {}; nothing was made", shown(name));
                Err(Fault::bad(Code::BadFormat, words))
            }
        }
    }
}
