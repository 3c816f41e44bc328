//! The parameters of a call: `{"params":{..}}` or `{"<action>":{..}}`, with tags beside or inside them.

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use futures::future::LocalBoxFuture;
use serde_json::{Map, Value};

use super::error::{Fault, Refusal};
use crate::{
    domain::{
        tag::{TAG_BYTES_MAX, TAGS_MAX},
        text::shown,
    },
    http::{App, json::read_object},
    uploads::{Admission, Party},
};

/// The JSON object that a request carries; empty if it carries nothing.
pub(super) struct Body {
    object: Map<String, Value>,
    admission: Option<Admission>,
}

impl FromRequest for Body {
    type Error = Fault;
    type Future = LocalBoxFuture<'static, Result<Self, Fault>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let app = request.app_data::<web::Data<App>>().cloned();
        let payload = web::Payload::from_request(request, payload).into_inner();
        // Until the body is read nobody has asked who sends it.
        let admission = app.as_ref().map(|app| {
            let client = app.settings.trusted_proxies.client(request);
            app.uploads.admit_request(Party::Address(client))
        });
        Box::pin(async move {
            let (Some(app), Ok(payload)) = (app, payload) else {
                return Err(Fault::bad_request("the body cannot be read"));
            };
            let admission = admission.transpose().map_err(|error| Fault::busy(&error))?;
            let settings = &app.settings;
            let object = read_object(payload, settings.json_bytes_max, settings.body_idle).await?;
            Ok(Self { object, admission })
        })
    }
}

/// Parameters of one call.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Params {
    fields: Map<String, Value>,
    system_tags: Option<Value>,
    user_tags: Option<Value>,
    message: &'static str,
}

impl Body {
    /// Keeps the request in the share of its address as long as what is answered lives: for calls of nobody's account that take long.
    pub(super) fn stay_counted(&mut self) -> Option<Admission> {
        self.admission.take()
    }

    /// Those of a creation.
    pub(super) fn params(mut self, message: &'static str) -> Result<Params, Fault> {
        let fields = self.object.remove("params");
        self.into_params("params", fields, message)
    }

    /// Those of the first of these actions (key, message) that the body names, and its place among them. Keys are compared without
    /// regard to case: the vendor's own page spells `updatelongjob`.
    pub(super) fn action(
        mut self,
        actions: &[(&'static str, &'static str)],
        path: &str,
    ) -> Result<(usize, Params), Fault> {
        for (at, (action, message)) in actions.iter().enumerate() {
            let key = self.object.keys().find(|key| key.eq_ignore_ascii_case(action)).cloned();
            if let Some(key) = key {
                let fields = self.object.remove(&key);
                return Ok((at, self.into_params(&key, fields, message)?));
            }
        }
        let path = path.strip_prefix("/zstack").unwrap_or(path);
        Err(Fault::bad_request(format!(
            "the body doesn't contain action mapping to the URL[{path}]"
        )))
    }

    fn into_params(
        mut self,
        key: &str,
        fields: Option<Value>,
        message: &'static str,
    ) -> Result<Params, Fault> {
        let mut fields = match fields {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(fields)) => fields,
            Some(_) => {
                return Err(Fault::bad_request(format!("[{key}] in the body is not an object")));
            }
        };
        let mut tags = |name: &str| {
            let inside = fields.remove(name);
            self.object.remove(name).filter(has_content).or(inside).filter(has_content)
        };
        let (system_tags, user_tags) = (tags("systemTags"), tags("userTags"));
        Ok(Params { fields, system_tags, user_tags, message })
    }
}

/// `[]` beside the parameters does not hide the tags inside them.
fn has_content(value: &Value) -> bool {
    !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty())
}

impl Params {
    /// A text of at most `chars_max` characters. Absent, `null` and `""` are the same; numbers are taken as they are written.
    pub(super) fn text(&mut self, name: &str, chars_max: usize) -> Result<Option<String>, Refusal> {
        let text = match self.fields.remove(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => text,
            Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
            Some(Value::Array(_) | Value::Object(_)) => {
                return Err(Refusal::invalid(format!(
                    "field[{name}] of message[{}] is not a text",
                    self.message
                )));
            }
        };
        let actual = text.chars().count();
        if actual > chars_max {
            return Err(Refusal::invalid(format!(
                "field[{name}] of message[{}] exceeds max length of string. expected was <= {chars_max}, actual was {actual}",
                self.message
            )));
        }
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// A text that has to be there.
    pub(super) fn needed(&mut self, name: &str, chars_max: usize) -> Result<String, Refusal> {
        let text = self.text(name, chars_max)?;
        text.ok_or_else(|| {
            Refusal::invalid(format!(
                "field[{name}] of message[{}] is mandatory, can not be null",
                self.message
            ))
        })
    }

    /// Yes or no; no if it is absent.
    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Refusal> {
        let Some(value) = self.value(name) else { return Ok(false) };
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match text.as_str() {
            "true" => Ok(true),
            "false" | "" => Ok(false),
            other => Err(Refusal::invalid(format!(
                "valid value for field[{name}] of message[{}] are [true, false], but {} found",
                self.message,
                shown(other)
            ))),
        }
    }

    /// A whole number; `60.0` is one.
    pub(super) fn number(&mut self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.fields.remove(name).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let whole = text.strip_suffix(".0").unwrap_or(&text).parse();
        whole.map(Some).map_err(|_| {
            Refusal::invalid(format!(
                "field[{name}] of message[{}] is not a whole number: [{}]",
                self.message,
                shown(&text)
            ))
        })
    }

    /// A list of texts, empty ones left out. Absent, `null` and `[]` are the same.
    pub(super) fn texts(&mut self, name: &str) -> Result<Vec<String>, Refusal> {
        let Some(value) = self.value(name) else { return Ok(Vec::new()) };
        let texts: Vec<String> = serde_json::from_value(value).map_err(|_| {
            Refusal::invalid(format!(
                "field[{name}] of message[{}] is not a list of texts",
                self.message
            ))
        })?;
        Ok(texts.into_iter().filter(|text| !text.is_empty()).collect())
    }

    /// One parameter as it came.
    pub(super) fn value(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    /// System and user tags, those beside the parameters before those inside.
    pub(super) fn tags(&mut self) -> Result<(Vec<String>, Vec<String>), Refusal> {
        Ok((list(self.system_tags.take(), "systemTags")?, list(self.user_tags.take(), "userTags")?))
    }

    /// What is left.
    pub(super) fn rest(self) -> Map<String, Value> {
        self.fields
    }
}

fn list(tags: Option<Value>, name: &str) -> Result<Vec<String>, Refusal> {
    let Some(tags) = tags else { return Ok(Vec::new()) };
    let tags: Vec<String> = serde_json::from_value(tags)
        .map_err(|_| Refusal::invalid(format!("[{name}] is not a list of texts")))?;
    if tags.len() > TAGS_MAX || tags.iter().any(|tag| tag.len() > TAG_BYTES_MAX) {
        return Err(Refusal::invalid(format!(
            "[{name}]: at most {TAGS_MAX} tags of {TAG_BYTES_MAX} bytes are taken"
        )));
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(value: Value) -> Body {
        let Value::Object(object) = value else { panic!("not an object") };
        Body { object, admission: None }
    }

    #[test]
    fn tags_beside_the_parameters_win_over_those_inside() {
        for (value, expected) in [
            (json!({"params":{"systemTags":["in"]}}), vec!["in"]),
            (json!({"params":{},"systemTags":["out"]}), vec!["out"]),
            (json!({"params":{"systemTags":["in"]},"systemTags":["out"]}), vec!["out"]),
            (json!({"params":{"systemTags":["in"]},"systemTags":[]}), vec!["in"]),
            (json!({"params":{"systemTags":null},"systemTags":null}), vec![]),
        ] {
            let (system, user) = body(value).params("M").unwrap().tags().unwrap();
            assert_eq!(system, expected);
            assert_eq!(user, Vec::<String>::new());
        }
        let long = "x".repeat(TAG_BYTES_MAX + 1);
        for bad in [json!("x"), json!([1]), json!([long]), json!(vec!["x"; TAGS_MAX + 1])] {
            let mut params = body(json!({ "systemTags": bad })).params("M").unwrap();
            assert!(params.tags().is_err());
        }
    }

    #[test]
    fn actions_are_found_in_any_spelling() {
        let actions = [("updateLongJob", "A"), ("cancelLongJob", "B")];
        for (key, at) in [("updateLongJob", 0), ("updatelongjob", 0), ("CANCELLONGJOB", 1)] {
            let found = body(json!({ key: {} })).action(&actions, "/zstack/v1/x").unwrap();
            assert_eq!(found.0, at);
        }
        assert_eq!(
            body(json!({"other":{}})).action(&actions, "/zstack/v1/longjobs/1/actions"),
            Err(Fault::bad_request(
                "the body doesn't contain action mapping to the URL[/v1/longjobs/1/actions]"
            ))
        );
        assert!(body(json!({"updateLongJob":[]})).action(&actions, "").is_err());
    }

    /// What is neither must not pass for a no: the call would succeed without doing what was asked for.
    #[test]
    fn a_flag_is_true_or_false_and_nothing_else() {
        let flag =
            |value: Value| body(json!({"params": {"f": value}})).params("M").unwrap().flag("f");
        for (value, expected) in [
            (json!(true), true),
            (json!("true"), true),
            (json!(false), false),
            (json!("false"), false),
            (json!(""), false),
            (json!(null), false),
        ] {
            assert_eq!(flag(value.clone()), Ok(expected), "{value}");
        }
        for value in [json!("True"), json!("yes"), json!(1), json!(0), json!([true]), json!({})] {
            assert!(flag(value.clone()).is_err(), "{value}");
        }
        assert_eq!(body(json!({"params": {}})).params("M").unwrap().flag("f"), Ok(false));
    }

    #[test]
    fn texts_and_numbers_are_read_leniently() {
        let mut params = body(json!({"params":{
            "a":"x","b":"","c":null,"d":7,"e":[],"f":60.0,"g":"61","h":1.5
        }}))
        .params("M")
        .unwrap();
        assert_eq!(params.text("a", 1), Ok(Some("x".to_owned())));
        assert_eq!(params.text("b", 1), Ok(None));
        assert_eq!(params.text("c", 1), Ok(None));
        assert_eq!(params.text("d", 1), Ok(Some("7".to_owned())));
        assert!(params.text("e", 1).is_err());
        assert_eq!(params.number("f"), Ok(Some(60)));
        assert_eq!(params.number("g"), Ok(Some(61)));
        assert!(params.number("h").is_err());
        assert_eq!(params.number("i"), Ok(None));
        let mut params = body(json!({"params":{"a":["x","","y"],"b":null,"c":"x","d":[1]}}))
            .params("M")
            .unwrap();
        assert_eq!(params.texts("a"), Ok(vec!["x".to_owned(), "y".to_owned()]));
        assert_eq!((params.texts("b"), params.texts("z")), (Ok(vec![]), Ok(vec![])));
        assert!(params.texts("c").is_err() && params.texts("d").is_err());
        assert_eq!(
            params.needed("z", 1),
            Err(Refusal::invalid("field[z] of message[M] is mandatory, can not be null"))
        );
    }
}
