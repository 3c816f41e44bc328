//! The one table of routes. Whatever is mounted stands in it with its method, its path and who may call it, so that
//! [`super::routes`] lists everything that the service answers and nothing else (`tests/tidy` sees to it that nobody mounts beside it).
//!
//! From the table follow, for every path alike: OPTIONS is answered with 204 and `Allow`, any other method that is not in the
//! table with 405 and `Allow`, in the words of the dialect.

use std::{future::Future, time::Duration};

use actix_web::{
    FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder,
    http::{
        Method,
        header::{ALLOW, HeaderMap},
    },
    middleware::from_fn,
    web,
};
use futures::StreamExt;

use super::{
    App,
    body::{Broken, drain_rest},
    cors::{allow_all, allow_origins, allow_uploads},
};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Everybody.
    Open,
    /// Whoever has a session; an object of another account is *not found*.
    Session,
    /// Whoever has the upload URL, which holds a secret.
    Capability,
    /// Callers on this machine, unless the operator opened it.
    Loopback,
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with `{names}` for its variable segments.
    pub path: String,
    /// Who may call it.
    pub access: Access,
}

/// How a dialect says that a path does not take a method. The answer gets its `Allow` here.
pub(super) type RefuseMethod = fn(&HttpRequest, &str) -> HttpResponse;
/// How a dialect says that there is no such path.
pub(super) type UnknownPath = fn(&HttpRequest) -> HttpResponse;
/// What OPTIONS tells besides the methods.
pub(super) type Abilities = fn(&App, &mut HeaderMap);

/// Which browsers may call a path, by the page that they show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Browsers {
    /// Those with a page of this service.
    Own,
    /// Those of the configured origins as well.
    Listed,
    /// All: who calls shows a secret that no browser adds by itself.
    All,
}

/// A refused body is read away this far, so that the client comes to read the answer; then the connection is closed.
const REST_BYTES_MAX: u64 = 4 << 20;
const REST_WAIT: Duration = Duration::from_secs(2);

/// The routes of one dialect.
pub(super) struct Table {
    mount: Mount,
    refuse: RefuseMethod,
    places: Vec<Place>,
}

enum Mount {
    /// Each path on its own.
    Flat,
    /// All paths below a prefix that belongs to this dialect alone; browsers of the configured origins may call it.
    Below { prefix: &'static str, unknown: UnknownPath },
}

/// A path and what it takes.
pub(super) struct Place {
    path: String,
    endpoints: Vec<Endpoint>,
    abilities: Option<Abilities>,
    browsers: Browsers,
}

/// One method of a path, with its handler.
pub(super) struct Endpoint {
    method: Method,
    access: Access,
    route: actix_web::Route,
}

/// A method of which the handler is not named yet. Sessions may call it unless it says otherwise.
pub(super) struct Verb {
    method: Method,
    access: Access,
}

pub(super) const fn get() -> Verb {
    Verb::new(Method::GET)
}

pub(super) const fn head() -> Verb {
    Verb::new(Method::HEAD)
}

pub(super) const fn post() -> Verb {
    Verb::new(Method::POST)
}

pub(super) const fn put() -> Verb {
    Verb::new(Method::PUT)
}

pub(super) const fn patch() -> Verb {
    Verb::new(Method::PATCH)
}

pub(super) const fn delete() -> Verb {
    Verb::new(Method::DELETE)
}

impl Verb {
    const fn new(method: Method) -> Self {
        Self { method, access: Access::Session }
    }

    /// Everybody may call it.
    pub(super) fn open(self) -> Self {
        self.by(Access::Open)
    }

    /// Somebody else than a session may call it.
    pub(super) fn by(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// Names the handler.
    pub(super) fn to<F, Args>(self, handler: F) -> Endpoint
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let route = web::method(self.method.clone()).to(handler);
        Endpoint { method: self.method, access: self.access, route }
    }
}

/// A path with the methods that it takes.
pub(super) fn at<const N: usize>(path: &str, endpoints: [Endpoint; N]) -> Place {
    Place {
        path: path.to_owned(),
        endpoints: endpoints.into(),
        abilities: None,
        browsers: Browsers::Own,
    }
}

impl Table {
    /// Of paths that stand anywhere.
    pub(super) const fn flat(refuse: RefuseMethod) -> Self {
        Self { mount: Mount::Flat, refuse, places: Vec::new() }
    }

    /// Of all paths below a prefix, which are taken with a slash at the end as well.
    pub(super) const fn below(
        prefix: &'static str,
        refuse: RefuseMethod,
        unknown: UnknownPath,
    ) -> Self {
        Self { mount: Mount::Below { prefix, unknown }, refuse, places: Vec::new() }
    }

    /// Adds a path. Where several patterns fit a request, the first one has it.
    pub(super) fn service(mut self, place: Place) -> Self {
        self.places.push(place);
        self
    }

    /// The rows of this table.
    pub(super) fn rows(&self) -> impl Iterator<Item = Route> {
        let prefix = match self.mount {
            Mount::Flat => "",
            Mount::Below { prefix, .. } => prefix,
        };
        self.places.iter().flat_map(move |place| {
            place.endpoints.iter().map(move |endpoint| Route {
                method: endpoint.method.clone(),
                path: format!("{prefix}{}", place.path),
                access: endpoint.access,
            })
        })
    }

    /// Mounts every row.
    pub(super) fn mount(self, config: &mut web::ServiceConfig) {
        match self.mount {
            Mount::Flat => {
                for place in self.places {
                    let (resource, browsers) = (web::resource(place.path.as_str()), place.browsers);
                    let resource = place.fill(resource, self.refuse);
                    match browsers {
                        Browsers::Own => config.service(resource),
                        Browsers::Listed => config.service(resource.wrap(from_fn(allow_uploads))),
                        Browsers::All => config.service(resource.wrap(from_fn(allow_all))),
                    };
                }
            }
            Mount::Below { prefix, unknown } => {
                let unknown = move |request: HttpRequest, body: web::Payload| {
                    refused(unknown(&request), body)
                };
                let mut scope = web::scope(prefix).default_service(web::to(unknown));
                for place in self.places {
                    let resource = web::resource([place.path.clone(), format!("{}/", place.path)]);
                    scope = scope.service(place.fill(resource, self.refuse));
                }
                config.service(scope.wrap(from_fn(allow_origins)));
            }
        }
    }
}

impl Place {
    /// OPTIONS tells more than the methods.
    pub(super) fn offering(self, abilities: Abilities) -> Self {
        Self { abilities: Some(abilities), ..self }
    }

    /// Says which browsers may call it. Below a prefix the prefix says so.
    pub(super) fn for_browsers(self, browsers: Browsers) -> Self {
        Self { browsers, ..self }
    }

    /// The methods that the path takes, as `Allow` lists them.
    fn allow(&self) -> String {
        let own = self.endpoints.iter().map(|endpoint| &endpoint.method);
        let options = [Method::OPTIONS];
        let all = own.clone().chain(options.iter().filter(|_| own.clone().all(|m| m != "OPTIONS")));
        all.map(Method::as_str).collect::<Vec<_>>().join(", ")
    }

    fn fill(self, resource: Resource, refuse: RefuseMethod) -> Resource {
        let allow = self.allow();
        let resource = self
            .endpoints
            .into_iter()
            .fold(resource, |resource, endpoint| resource.route(endpoint.route));
        let told = allow.clone();
        resource
            // After the table's own: the first route that fits is taken.
            .route(web::method(Method::OPTIONS).to(move |request: HttpRequest| {
                let mut answer = HttpResponse::NoContent();
                let mut answer = answer.insert_header((ALLOW, told.as_str())).finish();
                let app = request.app_data::<web::Data<App>>();
                if let Some((abilities, app)) = self.abilities.zip(app) {
                    abilities(app, answer.headers_mut());
                }
                std::future::ready(answer)
            }))
            .default_service(web::to(move |request: HttpRequest, body: web::Payload| {
                let mut answer = refuse(&request, &allow);
                if let Ok(allow) = allow.parse() {
                    answer.headers_mut().insert(ALLOW, allow);
                }
                refused(answer, body)
            }))
    }
}

/// The answer, once what is left of a small body has been read away.
fn refused(answer: HttpResponse, body: web::Payload) -> impl Future<Output = HttpResponse> {
    let mut rest = body.map(|bytes| bytes.map_err(|error| error.as_body_error()));
    async move {
        drain_rest(&mut rest, REST_BYTES_MAX, REST_WAIT).await;
        answer
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{App, http::StatusCode, test as http_test};

    use super::*;

    async fn ok() -> HttpResponse {
        HttpResponse::Ok().finish()
    }

    fn table() -> Table {
        let refuse = |_: &HttpRequest, allow: &str| {
            HttpResponse::MethodNotAllowed().body(format!("use {allow}"))
        };
        Table::below("/p", refuse, |_| HttpResponse::NotFound().body("nothing"))
            .service(at("/a", [get().to(ok), put().open().to(ok)]))
            .service(at("/a/{b}", [delete().by(Access::Capability).to(ok)]))
    }

    #[test]
    fn the_list_is_what_the_table_says() {
        let row = |method, path: &str, access| Route { method, path: path.to_owned(), access };
        let rows: Vec<_> = table().rows().collect();
        assert_eq!(
            rows,
            [
                row(Method::GET, "/p/a", Access::Session),
                row(Method::PUT, "/p/a", Access::Open),
                row(Method::DELETE, "/p/a/{b}", Access::Capability),
            ]
        );
    }

    #[actix_web::test]
    async fn what_is_mounted_is_what_the_table_says() {
        let app = http_test::init_service(App::new().configure(|c| table().mount(c))).await;
        for (method, path, status, allow) in [
            ("GET", "/p/a", 200, None),
            ("PUT", "/p/a/", 200, None),
            ("DELETE", "/p/a/x", 200, None),
            ("OPTIONS", "/p/a", 204, Some("GET, PUT, OPTIONS")),
            ("OPTIONS", "/p/a/x", 204, Some("DELETE, OPTIONS")),
            ("POST", "/p/a", 405, Some("GET, PUT, OPTIONS")),
            ("INVENTED", "/p/a/x/", 405, Some("DELETE, OPTIONS")),
            ("GET", "/p/b", 404, None),
            ("OPTIONS", "/p/b", 404, None),
            ("GET", "/q", 404, None),
        ] {
            let request = http_test::TestRequest::with_uri(path);
            let request = request.method(Method::from_bytes(method.as_bytes()).unwrap());
            let answer = http_test::call_service(&app, request.to_request()).await;
            let told = answer.headers().get(ALLOW).map(|value| value.to_str().unwrap());
            assert_eq!((answer.status().as_u16(), told), (status, allow), "{method} {path}");
            if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
                let body = http_test::read_body(answer).await;
                assert_eq!(body, format!("use {}", allow.unwrap()));
            }
        }
    }
}
