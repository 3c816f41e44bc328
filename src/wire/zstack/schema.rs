//! The schema map: which Java class stands at which path of a body.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An object that has a class in ZStack's SDKs.
pub trait Element {
    /// The Java class.
    const CLASS: &'static str;
    /// Every field that it may have, for `fields=`.
    const FIELDS: &'static [&'static str];

    /// Lists inside it whose elements have a class too: (field, elements, class).
    fn nested(&self) -> Vec<(&'static str, usize, &'static str)> {
        Vec::new()
    }
}

/// Path to class. Every path is in the body: the Java SDK throws on one that is not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schema(pub BTreeMap<String, String>);

impl Schema {
    /// For a body with one element at `path`, such as `inventory`.
    pub fn one<T: Element>(path: &str, element: &T) -> Self {
        let mut schema = Self::default();
        schema.add(path, element, None);
        schema
    }

    /// For a list at `path`, such as `inventories`; `fields` are those that the body is cut down to.
    pub fn list<T: Element>(path: &str, elements: &[T], fields: Option<&[String]>) -> Self {
        let mut schema = Self::default();
        for (index, element) in elements.iter().enumerate() {
            schema.add(&format!("{path}[{index}]"), element, fields);
        }
        schema
    }

    fn add<T: Element>(&mut self, path: &str, element: &T, fields: Option<&[String]>) {
        self.0.insert(path.to_owned(), T::CLASS.to_owned());
        for (field, count, class) in element.nested() {
            if fields.is_some_and(|kept| kept.iter().all(|name| name != field)) {
                continue;
            }
            for index in 0..count {
                self.0.insert(format!("{path}.{field}[{index}]"), class.to_owned());
            }
        }
    }
}
