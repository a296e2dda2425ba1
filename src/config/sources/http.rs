//! A source's part `http`. Its keys have the names of Prometheus' HTTP client configuration.

use std::path::PathBuf;

use url::Url;

use crate::config::field::{Field, Mapping};
use crate::config::keys;
use crate::config::secrets::{file_name, secret_source};
use crate::config::validator::Rows;
use crate::inventory::SecretSource;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    pub url: Url,
    pub authorization: HttpAuthorization,
    pub connection: HttpConnection,
}

/// What the header `Authorization` holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpAuthorization {
    None,
    Credentials { scheme: String, credentials: SecretSource },
    Basic { username: String, password: SecretSource },
    OAuth2(Box<OAuth2Settings>),
}

/// Client credentials (RFC 6749, section 4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth2Settings {
    pub client_id: String,
    pub client_secret: SecretSource,
    pub token_url: Url,
    pub scopes: Vec<String>,
    pub connection: HttpConnection,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpConnection {
    /// The only authorities to trust; without it, those of the system.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    pub proxy_url: Option<Url>,
}

pub(super) fn http(field: &Field<'_>) -> Option<HttpSettings> {
    http_at(field, |url, _| url.endpoint())
}

/// An exporter to be asked: as a source, but without encryption if nothing is secret.
pub(in crate::config) fn exporter(field: &Field<'_>) -> Option<HttpSettings> {
    http_at(field, |url, mapping| {
        let address = if mapping.has_any(keys::HTTP_AUTHORIZATION) {
            url.endpoint()
        } else {
            url.url("http://localhost:10219")
        };
        address.filter(|address| address.query().is_none() && address.fragment().is_none()).or_else(|| {
            let holds = |c| url.scalar("a text").is_some_and(|text| text.contains(c));
            if holds('?') || holds('#') {
                url.problem("holds a ? or #; expected the address of an exporter, without /api");
            }
            None
        })
    })
}

fn http_at(
    field: &Field<'_>,
    address: impl Fn(&Field<'_>, &Mapping<'_>) -> Option<Url>,
) -> Option<HttpSettings> {
    let mapping = field.mapping(keys::HTTP)?;
    let url = mapping.required("url").and_then(|f| address(&f, &mapping));
    let connection = connection(&mapping, url.as_ref());
    let authorization = authorization(&mapping)?;
    Some(HttpSettings { url: url?, authorization, connection })
}

fn authorization(mapping: &Mapping<'_>) -> Option<HttpAuthorization> {
    let mut given = keys::HTTP_AUTHORIZATION.iter().filter_map(|key| mapping.get(key));
    let first = given.next();
    for further in given {
        further.problem(format!("only one of {} may be given", keys::HTTP_AUTHORIZATION.join(", ")));
    }
    let Some(_) = first else { return Some(HttpAuthorization::None) };
    if let Some(field) = mapping.get("oauth2") {
        return oauth2(&field).map(|settings| HttpAuthorization::OAuth2(Box::new(settings)));
    }
    if let Some(field) = mapping.get("basic_auth") {
        let mapping = field.mapping(keys::BASIC_AUTH)?;
        let username = mapping.required("username").and_then(|f| match f.text()? {
            name if name.contains(':') => f.reject("holds a colon, which ends a user name"),
            name => Some(name.to_owned()),
        });
        let password = required_secret(&mapping, keys::PASSWORD);
        return Some(HttpAuthorization::Basic { username: username?, password: password? });
    }
    let field = mapping.get("authorization")?;
    let mapping = field.mapping(keys::AUTHORIZATION)?;
    let scheme = mapping.get("type").map_or(Some("Bearer"), |f| scheme(&f));
    let credentials = required_secret(&mapping, keys::CREDENTIALS);
    Some(HttpAuthorization::Credentials { scheme: scheme?.to_owned(), credentials: credentials? })
}

fn scheme<'a>(field: &Field<'a>) -> Option<&'a str> {
    let text = field.text()?;
    if text.eq_ignore_ascii_case("basic") {
        return field.reject("basic_auth with username and password does this");
    }
    if !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return field.reject("is no type of credentials; expected one word like Bearer");
    }
    Some(text)
}

fn oauth2(field: &Field<'_>) -> Option<OAuth2Settings> {
    let mapping = field.mapping(keys::OAUTH2)?;
    let client_id = mapping.required("client_id").and_then(|f| f.text());
    let client_secret = required_secret(&mapping, keys::CLIENT_SECRET);
    let token_url = mapping.required("token_url").and_then(|f| f.endpoint());
    let mut scopes = Vec::new();
    mapping.each("scopes", |item| scopes.extend(item.text().map(str::to_owned)));
    let connection = connection(&mapping, token_url.as_ref());
    Some(OAuth2Settings {
        client_id: client_id?.to_owned(),
        client_secret: client_secret?,
        token_url: token_url?,
        scopes,
        connection,
    })
}

fn required_secret(mapping: &Mapping<'_>, keys: &[&str]) -> Option<SecretSource> {
    if !mapping.has_any(keys) {
        mapping.field.problem(format!("names no secret: expected one of {}", keys.join(", ")));
    }
    secret_source(mapping, keys, Rows::Written)
}

fn connection(mapping: &Mapping<'_>, url: Option<&Url>) -> HttpConnection {
    let proxy_url = mapping.get("proxy_url").and_then(|f| match f.url("http://proxy:3128") {
        // The proxy would see the credentials, and this machine is not the one that it reaches.
        Some(_) if url.is_some_and(|url| url.scheme() == "http") => {
            f.reject("a proxy can only be used for https")
        }
        url => url,
    });
    let (ca_file, identity) = tls_files(mapping);
    HttpConnection { ca_file, identity, proxy_url }
}

type ClientIdentity = (PathBuf, PathBuf);

/// The authorities to trust, and the client's certificate and its key.
pub(in crate::config) fn tls_files(mapping: &Mapping<'_>) -> (Option<PathBuf>, Option<ClientIdentity>) {
    let tls = mapping.get("tls_config");
    let Some(tls) = tls.as_ref().and_then(|f| f.mapping(&[keys::TLS_CONFIG])) else { return (None, None) };
    let ca_file = tls.get("ca_file").and_then(|f| file_name(&f));
    let [certificate, key] = ["cert_file", "key_file"].map(|name| tls.get(name));
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => file_name(&certificate).zip(file_name(&key)),
        (None, None) => None,
        (Some(alone), None) | (None, Some(alone)) => alone.reject("cert_file and key_file belong together"),
    };
    (ca_file, identity)
}
