//! The file of `--web.config.file`, in the format of Prometheus' exporter-toolkit.
//!
//! Whether certificates and keys are valid and fit each other is for the server to check, which adds
//! what it finds to the same list of problems.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::{CipherSuite, NamedGroup};

use super::field::{Field, Mapping, relative_to};
use super::findings::{Findings, Problem, Problems};
use super::load::read_text;
use super::quoting::{nearest, shown};
use super::secrets::warn_if_readable_by_all;
use super::yaml::{self, Value};
use crate::model::Secret;

/// What a file says, as far as it could be read.
#[derive(Debug)]
pub struct WebFile {
    /// None: connections are not encrypted.
    pub tls: Option<Tls>,
    pub http2: bool,
    pub headers: HeaderMap,
    /// The bcrypt hashes of passwords, by user name.
    pub users: HashMap<String, Secret>,
    pub rate_limit: Option<WebRateLimit>,
    pub warnings: Vec<Problem>,
}

impl Default for WebFile {
    fn default() -> Self {
        Self {
            tls: None,
            http2: true,
            headers: HeaderMap::new(),
            users: HashMap::new(),
            rate_limit: None,
            warnings: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebRateLimit {
    pub interval: Duration,
    pub burst: u32,
}

#[derive(Debug)]
pub struct Tls {
    pub certificate: Option<Placed<Pem>>,
    pub key: Option<Placed<Pem>>,
    pub client_ca: Option<Placed<Pem>>,
    pub client_auth: ClientAuth,
    /// Subject alternative names of which a client's certificate must have one. Empty: any.
    pub allowed_sans: Vec<String>,
    pub min_version: TlsVersion,
    pub max_version: TlsVersion,
    /// The cipher suites of TLS 1.2, in order; none: all.
    pub cipher_suites: Option<Vec<CipherSuite>>,
    /// Whether the order of `cipher_suites` takes precedence over the client's.
    pub prefer_server_order: bool,
    pub curves: Option<Vec<NamedGroup>>,
}

#[derive(Clone, Debug)]
pub struct Placed<T> {
    pub value: T,
    /// A problem with an empty message.
    place: Problem,
}

impl<T> Placed<T> {
    fn new(value: T, field: &Field<'_>) -> Self {
        Self { value, place: field.finding("") }
    }

    pub fn problem(&self, message: impl Into<String>) -> Problem {
        Problem { message: message.into(), ..self.place.clone() }
    }
}

#[derive(Clone, Debug)]
pub enum Pem {
    File(PathBuf),
    Inline(Secret),
}

/// What is required of client certificates, as in Go's crypto/tls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    No,
    Request,
    RequireAny,
    VerifyIfGiven,
    RequireAndVerify,
}

impl ClientAuth {
    pub fn verifies(self) -> bool {
        matches!(self, Self::VerifyIfGiven | Self::RequireAndVerify)
    }

    pub fn requires(self) -> bool {
        matches!(self, Self::RequireAny | Self::RequireAndVerify)
    }
}

/// The versions of TLS that are considered secure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    V12,
    V13,
}

const ROOT_KEYS: &[&str] = &["tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"];
const PEM_KEYS: &[&str] = &["cert", "key", "client_ca", "cert_file", "key_file", "client_ca_file"];
const CLIENT_KEYS: &[&str] = &["client_auth_type", "client_allowed_sans"];
const VERSION_KEYS: &[&str] = &["min_version", "max_version"];
const CIPHER_KEYS: &[&str] = &["cipher_suites", "prefer_server_cipher_suites", "curve_preferences"];
const TLS_KEYS: &[&[&str]] = &[PEM_KEYS, CLIENT_KEYS, VERSION_KEYS, CIPHER_KEYS];
const HTTP_KEYS: &[&str] = &["http2", "headers"];
const RATE_KEYS: &[&str] = &["interval", "burst"];

/// Every key of a web configuration but the names of headers and users.
pub fn web_keys() -> impl Iterator<Item = &'static str> {
    [ROOT_KEYS, HTTP_KEYS, RATE_KEYS].into_iter().chain(TLS_KEYS.iter().copied()).flatten().copied()
}

/// Headers that may be set, and their allowed values; empty: any value.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

/// Names of the format and what they stand for; none if this program does not offer it.
type Names<T> = [(&'static str, Option<T>)];

const CLIENT_AUTH: &Names<ClientAuth> = &[
    ("NoClientCert", Some(ClientAuth::No)),
    ("RequestClientCert", Some(ClientAuth::Request)),
    ("RequireAnyClientCert", Some(ClientAuth::RequireAny)),
    // The toolkit's earlier name for the same.
    ("RequireClientCert", Some(ClientAuth::RequireAny)),
    ("VerifyClientCertIfGiven", Some(ClientAuth::VerifyIfGiven)),
    ("RequireAndVerifyClientCert", Some(ClientAuth::RequireAndVerify)),
];

const VERSIONS: &Names<TlsVersion> =
    &[("TLS10", None), ("TLS11", None), ("TLS12", Some(TlsVersion::V12)), ("TLS13", Some(TlsVersion::V13))];

const CURVES: &Names<NamedGroup> = &[
    ("X25519", Some(NamedGroup::X25519)),
    ("CurveP256", Some(NamedGroup::secp256r1)),
    ("CurveP384", Some(NamedGroup::secp384r1)),
    ("CurveP521", None),
];

/// Go has those without forward secrecy and those with CBC; they are not offered here.
const CIPHER_SUITES: &Names<CipherSuite> = &[
    ("TLS_AES_128_GCM_SHA256", Some(CipherSuite::TLS13_AES_128_GCM_SHA256)),
    ("TLS_AES_256_GCM_SHA384", Some(CipherSuite::TLS13_AES_256_GCM_SHA384)),
    ("TLS_CHACHA20_POLY1305_SHA256", Some(CipherSuite::TLS13_CHACHA20_POLY1305_SHA256)),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384)),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Some(CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", Some(CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384)),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        Some(CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", None),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", None),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", None),
    ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", None),
    ("TLS_RSA_WITH_AES_128_CBC_SHA", None),
    ("TLS_RSA_WITH_AES_256_CBC_SHA", None),
    ("TLS_RSA_WITH_AES_128_GCM_SHA256", None),
    ("TLS_RSA_WITH_AES_256_GCM_SHA384", None),
];

/// RFC 9113 requires one of these of servers that offer HTTP/2 over TLS 1.2.
const HTTP2_NEEDS: [CipherSuite; 2] = [
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
];

/// Maximum bcrypt cost. Checking a password at a higher cost takes minutes.
const MAX_COST: u32 = 18;

/// Reads a web configuration: what could be read of it, and all its problems.
pub fn read_web_file(path: &Path) -> (WebFile, Problems) {
    let findings = Findings::default();
    let mut file = WebFile::default();
    match read_text(path) {
        Err((at, message)) => findings.problem(Problem::of_file(path, at, message)),
        Ok(text) => match yaml::parse(&text, &[], &mut |_| {}) {
            Ok(root) => document(&Field::root(path, &root, &findings), &mut file),
            // The format allows an empty file.
            Err(e) if e.at.is_none() => {}
            Err(e) => findings.problem(Problem::of_file(path, e.at, e.message)),
        },
    }
    let (mut problems, _) = findings.into_problems(&[path.to_owned()], true);
    let warnings = std::mem::take(&mut problems.warnings);
    (WebFile { warnings, ..file }, problems)
}

fn document(root: &Field<'_>, file: &mut WebFile) {
    let Some(mapping) = root.mapping(&[ROOT_KEYS]) else { return };
    if let Some(section) = mapping.get("http_server_config") {
        http(&section, file);
    }
    if let Some(section) = mapping.get("tls_server_config") {
        file.tls = tls(&section, file.http2);
    }
    if let Some(section) = mapping.get("basic_auth_users") {
        users(&section, file);
    }
    if let Some(section) = mapping.get("rate_limit") {
        file.rate_limit = rate_limit(&section);
    }
}

fn http(section: &Field<'_>, file: &mut WebFile) {
    let Some(mapping) = section.mapping(&[HTTP_KEYS]) else { return };
    if let Some(http2) = mapping.get("http2") {
        file.http2 = http2.boolean().unwrap_or(true);
    }
    let Some(headers) = mapping.get("headers") else { return };
    let Some(mapping) = headers.mapping(&[&HEADERS.map(|(name, _)| name)]) else { return };
    for (name, values) in HEADERS {
        let Some(value) = given(&mapping, name) else { continue };
        let Some(text) = value.scalar("a text") else { continue };
        if !values.is_empty() && !values.contains(&text) {
            value.problem(format!("{} is not allowed; expected {}", shown(text), values.join(" or ")));
        } else if let (Ok(name), Ok(text)) = (HeaderName::try_from(name), HeaderValue::from_str(text)) {
            file.headers.insert(name, text);
        } else {
            value.problem("holds characters that a header cannot");
        }
    }
}

fn tls(section: &Field<'_>, http2: bool) -> Option<Tls> {
    let mapping = section.mapping(TLS_KEYS)?;
    if TLS_KEYS.iter().copied().flatten().all(|key| given(&mapping, key).is_none()) {
        return None;
    }
    for [file, inline] in [["cert_file", "cert"], ["key_file", "key"]] {
        if given(&mapping, file).is_none() && given(&mapping, inline).is_none() {
            section.problem(format!("one of {file} and {inline} is missing"));
        }
    }
    let certificate = pem(&mapping, "cert_file", "cert");
    let key = pem(&mapping, "key_file", "key");
    if let Some(Placed { value: Pem::File(path), .. }) = &key
        && let (Ok(metadata), Some(field)) = (std::fs::metadata(path), mapping.get("key_file"))
    {
        warn_if_readable_by_all(&field, &metadata);
    }
    if let (Some(Placed { value: Pem::Inline(_), .. }), Some(field)) = (&key, mapping.get("key")) {
        field.warning("the secret is in the configuration itself; key_file keeps it apart");
    }
    let client_ca = pem(&mapping, "client_ca_file", "client_ca");
    let client_auth = client_auth(section, &mapping, client_ca.as_ref());
    let min_version = one_of(&mapping, "min_version", VERSIONS, TlsVersion::V12);
    let max_version = one_of(&mapping, "max_version", VERSIONS, TlsVersion::V13);
    if min_version > max_version && max_version.is_some() {
        section.problem("min_version is above max_version");
    }
    let cipher_suites = list(&mapping, "cipher_suites", CIPHER_SUITES);
    if let (Some(field), Some(suites), Some(TlsVersion::V12)) =
        (mapping.get("cipher_suites"), &cipher_suites, min_version)
    {
        check_tls12_suites(&field, suites, http2);
    }
    let curves = list(&mapping, "curve_preferences", CURVES);
    let prefer_server_order =
        mapping.get("prefer_server_cipher_suites").is_none_or(|value| value.boolean().unwrap_or(true));
    Some(Tls {
        certificate,
        key,
        client_ca,
        client_auth: client_auth.unwrap_or(ClientAuth::No),
        allowed_sans: allowed_sans(&mapping),
        min_version: min_version.unwrap_or(TlsVersion::V12),
        max_version: max_version.unwrap_or(TlsVersion::V13),
        cipher_suites,
        prefer_server_order,
        curves,
    })
}

fn allowed_sans(mapping: &Mapping<'_>) -> Vec<String> {
    let mut allowed = Vec::new();
    if let Some(names) = mapping.get("client_allowed_sans") {
        for item in names.items() {
            allowed.extend(item.scalar("a name").map(str::to_owned));
        }
        // To the toolkit, an empty list refuses every certificate.
        if matches!(&names.node.value, Value::List(items) if items.is_empty()) {
            names.problem("is empty, so that no certificate would do; leave it out to allow all");
        }
    }
    allowed
}

/// Reports cipher suites with which no connection over TLS 1.2, or over HTTP/2, is possible.
fn check_tls12_suites(field: &Field<'_>, suites: &[CipherSuite], http2: bool) {
    // The numbers of those of TLS 1.3 are 0x13xx.
    if !suites.iter().any(|suite| u16::from(*suite) >> 8 != 0x13) {
        let message = "names no cipher suite of TLS 1.2 (those of TLS 1.3 are always on): add one, or set \
                       min_version to TLS13";
        field.problem(message);
    } else if http2 && !suites.iter().any(|suite| HTTP2_NEEDS.contains(suite)) {
        let message = "HTTP/2 needs TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 or \
                       TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: add one, set min_version to TLS13, or \
                       http_server_config.http2 to false";
        field.problem(message);
    }
}

fn client_auth(section: &Field<'_>, mapping: &Mapping<'_>, ca: Option<&Placed<Pem>>) -> Option<ClientAuth> {
    let auth = one_of(mapping, "client_auth_type", CLIENT_AUTH, ClientAuth::No)?;
    for key in ["client_ca_file", "client_ca", "client_allowed_sans"] {
        if let Some(field) = given(mapping, key).filter(|_| auth == ClientAuth::No) {
            let message =
                "has no effect: client_auth_type asks for no certificates (RequireAndVerifyClientCert does)";
            field.problem(message);
        }
    }
    if auth.verifies() && ca.is_none() {
        let message =
            "client_ca_file or client_ca is missing: it says whose certificates client_auth_type accepts";
        section.problem(message);
    }
    if matches!(auth, ClientAuth::Request | ClientAuth::RequireAny)
        && let Some(field) = given(mapping, "client_auth_type")
    {
        let message =
            "accepts certificates that anybody can make; RequireAndVerifyClientCert tells who a client is";
        field.warning(message);
    }
    Some(auth)
}

/// The value of a key; none if it is absent or blank, as templates write it.
fn given<'m>(mapping: &'m Mapping<'m>, key: &str) -> Option<Field<'m>> {
    let blank = |field: &Field<'_>| matches!(&field.node.value, Value::Scalar(text) if text.is_empty());
    mapping.get(key).filter(|field| !blank(field))
}

fn one_of<T: Copy>(mapping: &Mapping<'_>, key: &str, names: &Names<T>, default: T) -> Option<T> {
    match given(mapping, key) {
        Some(field) => look_up(&field, names),
        None => Some(default),
    }
}

/// The values that a list names; none if the list is absent or empty.
fn list<T: Copy>(mapping: &Mapping<'_>, key: &str, names: &Names<T>) -> Option<Vec<T>> {
    let mut values = Vec::new();
    let mut any = false;
    mapping.each(key, |item| {
        any = true;
        values.extend(look_up(item, names));
    });
    any.then_some(values)
}

fn look_up<T: Copy>(field: &Field<'_>, names: &Names<T>) -> Option<T> {
    let text = field.scalar("a name")?;
    let offered: Vec<&str> =
        names.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| *name).collect();
    let list = offered.join(", ");
    let wrong = match names.iter().find(|(name, _)| *name == text) {
        Some((_, Some(value))) => return Some(*value),
        Some((name, None)) => {
            format!("{name} is not offered by this program's TLS library; offered are {list}")
        }
        None => match nearest(text, offered) {
            Some(near) => format!("{} is not known (did you mean {near}?)", shown(text)),
            None => format!("{} is not known; expected one of {list}", shown(text)),
        },
    };
    field.reject(wrong)
}

fn pem(mapping: &Mapping<'_>, file: &str, inline: &str) -> Option<Placed<Pem>> {
    match (given(mapping, file), given(mapping, inline)) {
        (Some(_), Some(field)) => field.reject(format!("only one of {file} and {inline} may be given")),
        (Some(field), None) => {
            let path = relative_to(field.file, field.scalar("the name of a file")?);
            Some(Placed::new(Pem::File(path), &field))
        }
        (None, Some(field)) => {
            let pem = Secret::new(field.scalar("a text in PEM form")?);
            Some(Placed::new(Pem::Inline(pem), &field))
        }
        (None, None) => None,
    }
}

fn users(section: &Field<'_>, file: &mut WebFile) {
    // `mapping` would limit the number of users.
    let Some(mapping) = section.as_mapping() else {
        section.problem("expected a mapping of names to bcrypt hashes");
        return;
    };
    for (name, value) in mapping.all() {
        let Some(hash) = value.scalar("a bcrypt hash").map(Secret::new) else { continue };
        if name.contains(':') {
            value.problem("the name holds a colon, with which HTTP's basic authentication ends names");
        }
        match hash.bcrypt_cost() {
            Some(cost) if cost > MAX_COST => {
                let message = format!(
                    "has a cost of {cost}; expected at most {MAX_COST}, above which a check takes minutes"
                );
                value.problem(message);
            }
            Some(_) => {}
            None => {
                value.problem("is not a bcrypt hash; this makes one: htpasswd -nBC 10 '' | tr -d ':'");
            }
        }
        if file.users.insert(name.to_owned(), hash).is_some() {
            value.problem("duplicate user name");
        }
    }
}

fn rate_limit(section: &Field<'_>) -> Option<WebRateLimit> {
    let mapping = section.mapping(&[RATE_KEYS])?;
    let interval = match mapping.get("interval") {
        Some(field) => {
            let text = field.scalar("a duration (100ms, 1s, 1m)")?;
            let wrong = "is not a duration; expected one like 100ms, 1s or 1m30s, or 0 for no limit";
            go_duration(text).or_else(|| field.reject(format!("{} {wrong}", shown(text))))?
        }
        None => Duration::ZERO,
    };
    let burst = mapping.get("burst").map_or(Some(0), |field| field.number(0, 1_000_000))?;
    if interval.is_zero() {
        return None;
    }
    if burst == 0 {
        mapping.field.problem("with a burst of 0 every request would be refused; expected at least 1");
    }
    Some(WebRateLimit { interval, burst: u32::try_from(burst).unwrap_or(u32::MAX) })
}

/// Reads a duration as Go does: `1s`, `1.5s`, `1h30m`, `250us`, and `0`. None for anything else,
/// and below 0.
fn go_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 8] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("μs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let (unit, after) =
            after.split_at(after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len()));
        let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total =
            total.checked_add(Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}
