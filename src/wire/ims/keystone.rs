//! As much of Keystone v3 as the clients of IMS log in with: its version, and tokens by password.

use serde::{Deserialize, Serialize};

/// The one domain that is shown; which one a client names does not matter.
pub const DOMAIN: &str = "default";

/// `POST /v3/auth/tokens`. What is not read is passed over: Keystone's own requests hold much more.
#[derive(Deserialize)]
pub struct AuthRequest {
    /// The envelope.
    pub auth: Auth,
}

/// Who logs in, and for what.
#[derive(Deserialize)]
pub struct Auth {
    /// Who.
    pub identity: Identity,
    /// For which project; the user's own if it names none. An object, or the word `unscoped`.
    #[serde(default)]
    pub scope: serde_json::Value,
}

/// How a user is identified.
#[derive(Deserialize)]
pub struct Identity {
    /// `password` has to be among them.
    pub methods: Vec<String>,
    /// The user with the password.
    #[serde(default)]
    pub password: Option<PasswordMethod>,
}

/// The method `password`.
#[derive(Deserialize)]
pub struct PasswordMethod {
    /// Who.
    pub user: User,
}

/// A user by name or by id.
#[derive(Deserialize)]
pub struct User {
    /// The account's name.
    #[serde(default)]
    pub name: Option<String>,
    /// The account's uuid.
    #[serde(default)]
    pub id: Option<String>,
    /// The plain password.
    pub password: String,
}

/// A project by name or by id.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Project {
    /// The account's name.
    #[serde(default)]
    pub name: Option<String>,
    /// The account's uuid.
    #[serde(default)]
    pub id: Option<String>,
}

/// The answer with a token, which itself stands in the header `X-Subject-Token`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenBody {
    /// What it is good for.
    pub token: Token,
}

/// What a token is good for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// How it was got.
    pub methods: Vec<String>,
    /// When it was issued.
    pub issued_at: String,
    /// When it ends.
    pub expires_at: String,
    /// Whose it is.
    pub user: Owned,
    /// The project, which is the account.
    pub project: Owned,
    /// What it may do.
    pub roles: Vec<Role>,
    /// Where the services are.
    pub catalog: Vec<Service>,
}

/// Something with an id and a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// Something in a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// [`DOMAIN`].
    pub domain: Named,
}

/// What a token may do.
pub type Role = Named;

/// A service of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its id.
    pub id: String,
    /// What it is, for clients.
    #[serde(rename = "type")]
    pub service_type: String,
    /// What it is, for people.
    pub name: String,
    /// Where it is.
    pub endpoints: Vec<Endpoint>,
}

/// Where a service is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its id.
    pub id: String,
    /// `public`.
    pub interface: String,
    /// [`DOMAIN`]: there is one region.
    pub region: String,
    /// As `region`.
    pub region_id: String,
    /// Its base URL.
    pub url: String,
}

/// The times and the owner of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// Account uuid.
    pub id: String,
    /// Account name.
    pub name: String,
    /// When it was issued.
    pub issued_at: String,
    /// When it ends.
    pub expires_at: String,
}

impl Token {
    /// A token of an account for itself; the services are below `base`, which ends without a slash. otcextensions takes the URL of
    /// `image`, and appends `/v1` to it for the jobs.
    pub fn of(issued: Issued, base: &str) -> Self {
        let owned = Owned {
            id: issued.id,
            name: issued.name,
            domain: Named { id: DOMAIN.to_owned(), name: DOMAIN.to_owned() },
        };
        let service = |service_type: &str, name: &str, url: String| Service {
            id: service_type.to_owned(),
            service_type: service_type.to_owned(),
            name: name.to_owned(),
            endpoints: vec![Endpoint {
                id: format!("{service_type}-public"),
                interface: "public".to_owned(),
                region: DOMAIN.to_owned(),
                region_id: DOMAIN.to_owned(),
                url,
            }],
        };
        Self {
            methods: vec!["password".to_owned()],
            issued_at: issued.issued_at,
            expires_at: issued.expires_at,
            user: owned.clone(),
            project: owned,
            roles: vec![Named { id: "owner".to_owned(), name: "owner".to_owned() }],
            catalog: vec![
                service("identity", "keystone", format!("{base}/v3")),
                service("image", "longshore", base.to_owned()),
                service("imsv1", "longshore", format!("{base}/v1")),
                service("ims", "longshore", base.to_owned()),
            ],
        }
    }
}

/// `GET /v3`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VersionBody {
    version: Version,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Version {
    id: &'static str,
    status: &'static str,
    updated: &'static str,
    links: [Link; 1],
    #[serde(rename = "media-types")]
    media_types: [MediaType; 1],
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Link {
    rel: &'static str,
    href: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct MediaType {
    base: &'static str,
    #[serde(rename = "type")]
    media_type: &'static str,
}

/// The version of Keystone that the requests here are of.
pub fn version(base: &str) -> VersionBody {
    VersionBody {
        version: Version {
            id: "v3.14",
            status: "stable",
            updated: "2020-04-07T00:00:00Z",
            links: [Link { rel: "self", href: format!("{base}/v3/") }],
            media_types: [MediaType {
                base: "application/json",
                media_type: "application/vnd.openstack.identity-v3+json",
            }],
        },
    }
}

/// How Keystone says no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeystoneError {
    /// What is wrong.
    pub error: KeystoneFault,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeystoneFault {
    /// The HTTP status again.
    pub code: u16,
    /// Its name.
    pub title: String,
    /// In words.
    pub message: String,
}
