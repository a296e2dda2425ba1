//! The file of `--web.config.file`, in the format of Prometheus' exporter-toolkit, read with the
//! tools of the configuration.
//!
//! Says what stands there and where it is wrong. Whether certificates and keys are good and fit
//! each other is for [`web`](crate::server) to say; what it finds goes into the same list of
//! problems.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::{CipherSuite, NamedGroup};

use super::problem::{At, Findings, Problem, Problems, Warning, WarningKind, nearest, shown};
use super::read::{Cursor, Fields, readable_by_all, relative_to};
use super::yaml;
use crate::model::Secret;

/// What a file says, as far as it could be read.
#[derive(Debug)]
pub struct WebFile {
    /// The certificates and what is asked of clients; none: no TLS.
    pub tls: Option<Tls>,
    /// Whether HTTP/2 is offered, with TLS.
    pub http2: bool,
    /// Set on every answer.
    pub headers: HeaderMap,
    /// Names and the bcrypt hashes of their passwords.
    pub users: HashMap<String, Secret>,
    /// How many requests are answered.
    pub rate_limit: Option<WebRateLimit>,
    /// What works but deserves a look.
    pub warnings: Vec<Warning>,
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

/// One request in each interval on average, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebRateLimit {
    /// The time in which one more request is allowed.
    pub interval: Duration,
    /// How many may come at once.
    pub burst: u32,
}

/// The section `tls_server_config`.
#[derive(Debug)]
pub struct Tls {
    /// The server's certificate, and those that lead to its authority.
    pub certificate: Option<Placed<Pem>>,
    /// The key of the certificate.
    pub key: Option<Placed<Pem>>,
    /// The authorities of clients' certificates.
    pub client_ca: Option<Placed<Pem>>,
    /// What is asked of clients.
    pub client_auth: ClientAuth,
    /// Names of which a client's certificate must hold one, if any are listed.
    pub allowed_sans: Vec<String>,
    /// The lowest version.
    pub min_version: TlsVersion,
    /// The highest version.
    pub max_version: TlsVersion,
    /// The cipher suites of TLS 1.2, in order; none: all.
    pub cipher_suites: Option<Vec<CipherSuite>>,
    /// Whether the order of the list goes before the client's.
    pub prefer_server_order: bool,
    /// The curves; none: all.
    pub curves: Option<Vec<NamedGroup>>,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    file: PathBuf,
    at: At,
    path: String,
}

impl<T> Placed<T> {
    fn new(value: T, cursor: &Cursor<'_>) -> Self {
        Self { value, file: cursor.file.to_owned(), at: cursor.at, path: cursor.trail.to_string() }
    }

    /// Something that is wrong with it.
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        Problem {
            file: self.file.clone(),
            at: Some(self.at),
            path: self.path.clone(),
            message: message.into(),
        }
    }
}

/// Where certificates or keys come from.
#[derive(Clone, Debug)]
pub enum Pem {
    /// A file.
    File(PathBuf),
    /// The web configuration itself.
    Inline(Secret),
}

/// What is asked of clients, by the names of Go's crypto/tls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// No certificate.
    No,
    /// Any certificate, or none.
    Request,
    /// Any certificate.
    RequireAny,
    /// A certificate of a known authority, or none.
    VerifyIfGiven,
    /// A certificate of a known authority.
    RequireAndVerify,
}

impl ClientAuth {
    /// Whether certificates are checked against authorities.
    pub fn verifies(self) -> bool {
        matches!(self, Self::VerifyIfGiven | Self::RequireAndVerify)
    }

    /// Whether there is no connection without a certificate.
    pub fn requires(self) -> bool {
        matches!(self, Self::RequireAny | Self::RequireAndVerify)
    }
}

/// Versions that are safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

const ROOT_KEYS: &[&str] = &["tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"];
const TLS_KEYS: &[&str] = &[
    "cert",
    "key",
    "client_ca",
    "cert_file",
    "key_file",
    "client_auth_type",
    "client_ca_file",
    "client_allowed_sans",
    "min_version",
    "max_version",
    "cipher_suites",
    "prefer_server_cipher_suites",
    "curve_preferences",
];
const HTTP_KEYS: &[&str] = &["http2", "headers"];
const RATE_KEYS: &[&str] = &["interval", "burst"];

/// Headers that may be set, and the values that some are held to.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

/// Names of the format and what they stand for; none where it is not offered here.
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

/// Those without forward secrecy or with CBC are Go's, but not offered.
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

/// RFC 9113 wants one of these of every server that offers HTTP/2 with TLS 1.2.
const HTTP2_NEEDS: [CipherSuite; 2] = [
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
];

/// A check of a password at a higher cost takes longer than anybody waits.
const MAX_COST: u32 = 18;

/// Reads a web configuration: what it says as far as it could be read, and everything that is wrong
/// with it.
pub fn read(path: &Path) -> (WebFile, Problems) {
    let mut out = Findings::default();
    let mut file = WebFile::default();
    match super::read_text(path) {
        Err((at, message)) => out.problem(path, at, String::new(), message),
        Ok(text) => match yaml::parse(&text, &[], &mut |_| {}) {
            Ok(root) => document(&Cursor::root(path, &root), &mut file, &mut out),
            // Only a file that holds nothing is wrong at no place; to the format, that is a file like any
            // other.
            Err(fault) if fault.at.is_none() => {}
            Err(fault) => out.problem(path, fault.at, String::new(), fault.message),
        },
    }
    match out.into_result(&[path.to_owned()], true) {
        Ok(warnings) => (WebFile { warnings, ..file }, Problems::default()),
        Err(problems) => (file, problems),
    }
}

fn document(root: &Cursor<'_>, file: &mut WebFile, out: &mut Findings) {
    let Some(fields) = root.fields(&[ROOT_KEYS], out) else { return };
    if let Some(section) = fields.get("http_server_config") {
        http(&section, file, out);
    }
    if let Some(section) = fields.get("tls_server_config") {
        file.tls = tls(&section, file.http2, out);
    }
    if let Some(section) = fields.get("basic_auth_users") {
        users(&section, file, out);
    }
    if let Some(section) = fields.get("rate_limit") {
        file.rate_limit = rate_limit(&section, out);
    }
}

fn http(section: &Cursor<'_>, file: &mut WebFile, out: &mut Findings) {
    let Some(fields) = section.fields(&[HTTP_KEYS], out) else { return };
    if let Some(http2) = fields.get("http2") {
        file.http2 = http2.boolean(out).unwrap_or(true);
    }
    let Some(headers) = fields.get("headers") else { return };
    let Some(fields) = headers.fields(&[&HEADERS.map(|(name, _)| name)], out) else { return };
    for (name, values) in HEADERS {
        // A blank one is as good as none.
        let Some(value) = given(&fields, name) else { continue };
        let Some(text) = value.scalar(out, "a text") else { continue };
        if !values.is_empty() && !values.contains(&text) {
            value.problem(out, format!("{} is not allowed; expected {}", shown(text), values.join(" or ")));
        } else if let (Ok(name), Ok(text)) = (HeaderName::try_from(name), HeaderValue::from_str(text)) {
            file.headers.insert(name, text);
        } else {
            value.problem(out, "holds characters that a header cannot");
        }
    }
}

fn tls(section: &Cursor<'_>, http2: bool, out: &mut Findings) -> Option<Tls> {
    let fields = section.fields(&[TLS_KEYS], out)?;
    if TLS_KEYS.iter().all(|key| given(&fields, key).is_none()) {
        return None;
    }
    for [file, inline] in [["cert_file", "cert"], ["key_file", "key"]] {
        if given(&fields, file).is_none() && given(&fields, inline).is_none() {
            section.problem(out, format!("one of {file} and {inline} is missing"));
        }
    }
    let certificate = pem(&fields, "cert_file", "cert", out);
    let key = pem(&fields, "key_file", "key", out);
    if let Some(Placed { value: Pem::File(path), .. }) = &key
        && std::fs::metadata(path).is_ok_and(|metadata| readable_by_all(&metadata))
        && let Some(cursor) = fields.get("key_file")
    {
        cursor.warning(
            out,
            WarningKind::ReadableByAll,
            "everybody on this machine may read this file (chmod 600)",
        );
    }
    if let (Some(Placed { value: Pem::Inline(_), .. }), Some(cursor)) = (&key, fields.get("key")) {
        cursor.warning(
            out,
            WarningKind::InlineSecret,
            "a secret stands in the configuration; key_file keeps it apart",
        );
    }
    let client_ca = pem(&fields, "client_ca_file", "client_ca", out);
    let client_auth = client_auth(section, &fields, client_ca.as_ref(), out);
    let mut allowed_sans = Vec::new();
    if let Some(names) = fields.get("client_allowed_sans") {
        for item in names.items(out) {
            allowed_sans.extend(item.scalar(out, "a name").map(str::to_owned));
        }
        // To the toolkit, an empty list shuts everybody out; as "everybody may come in" it must not be
        // read.
        if matches!(&names.node.value, yaml::Value::List(items) if items.is_empty()) {
            names.problem(out, "is empty, so that no certificate would do; leave it out to allow all");
        }
    }

    let min_version = one_of(&fields, "min_version", VERSIONS, TlsVersion::V12, out);
    let max_version = one_of(&fields, "max_version", VERSIONS, TlsVersion::V13, out);
    if min_version > max_version && max_version.is_some() {
        section.problem(out, "min_version is above max_version");
    }
    let cipher_suites = list(&fields, "cipher_suites", CIPHER_SUITES, out);
    if let (Some(cursor), Some(suites), Some(TlsVersion::V12)) =
        (fields.get("cipher_suites"), &cipher_suites, min_version)
    {
        if !suites.iter().any(is_of_tls12) {
            cursor.problem(
                out,
                "names no cipher suite of TLS 1.2 (those of TLS 1.3 are always on): add one, or set \
                 min_version to TLS13",
            );
        } else if http2 && !suites.iter().any(|suite| HTTP2_NEEDS.contains(suite)) {
            let needs = "HTTP/2 needs TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 or \
                         TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
            cursor.problem(
                out,
                format!("{needs}: add one, set min_version to TLS13, or http_server_config.http2 to false"),
            );
        }
    }
    let curves = list(&fields, "curve_preferences", CURVES, out);
    let prefer_server_order =
        fields.get("prefer_server_cipher_suites").is_none_or(|value| value.boolean(out).unwrap_or(true));
    Some(Tls {
        certificate,
        key,
        client_ca,
        client_auth: client_auth.unwrap_or(ClientAuth::No),
        allowed_sans,
        min_version: min_version.unwrap_or(TlsVersion::V12),
        max_version: max_version.unwrap_or(TlsVersion::V13),
        cipher_suites,
        prefer_server_order,
        curves,
    })
}

/// What is asked of clients, and whether what stands beside it makes sense.
fn client_auth(
    section: &Cursor<'_>,
    fields: &Fields<'_>,
    ca: Option<&Placed<Pem>>,
    out: &mut Findings,
) -> Option<ClientAuth> {
    let auth = one_of(fields, "client_auth_type", CLIENT_AUTH, ClientAuth::No, out)?;
    for key in ["client_ca_file", "client_ca", "client_allowed_sans"] {
        if let Some(cursor) = given(fields, key).filter(|_| auth == ClientAuth::No) {
            cursor.problem(
                out,
                "has no effect: client_auth_type asks for no certificates (RequireAndVerifyClientCert does)",
            );
        }
    }
    if auth.verifies() && ca.is_none() {
        section.problem(
            out,
            "client_ca_file or client_ca is missing: it says whose certificates client_auth_type accepts",
        );
    }
    if matches!(auth, ClientAuth::Request | ClientAuth::RequireAny)
        && let Some(cursor) = given(fields, "client_auth_type")
    {
        let message =
            "accepts certificates that anybody can make; RequireAndVerifyClientCert tells who a client is";
        cursor.warning(out, WarningKind::Forgeable, message);
    }
    Some(auth)
}

fn is_of_tls12(suite: &CipherSuite) -> bool {
    // Those of TLS 1.3 are numbered 0x13xx.
    u16::from(*suite) >> 8 != 0x13
}

/// The value of a key; none where it is absent or blank, which templates write for "none".
fn given<'a>(fields: &'a Fields<'a>, key: &'a str) -> Option<Cursor<'a>> {
    fields
        .get(key)
        .filter(|cursor| !matches!(&cursor.node.value, yaml::Value::Scalar(text) if text.is_empty()))
}

/// A value by its name; none where it is wrong.
fn one_of<T: Copy>(
    fields: &Fields<'_>,
    key: &str,
    names: &Names<T>,
    default: T,
    out: &mut Findings,
) -> Option<T> {
    match given(fields, key) {
        Some(cursor) => look_up(&cursor, names, out),
        None => Some(default),
    }
}

/// Values by their names; none where no list stands, or an empty one.
fn list<T: Copy>(fields: &Fields<'_>, key: &str, names: &Names<T>, out: &mut Findings) -> Option<Vec<T>> {
    let mut values = Vec::new();
    let mut any = false;
    fields.each(key, out, |item, out| {
        any = true;
        values.extend(look_up(item, names, out));
    });
    any.then_some(values)
}

fn look_up<T: Copy>(cursor: &Cursor<'_>, names: &Names<T>, out: &mut Findings) -> Option<T> {
    let text = cursor.scalar(out, "a name")?;
    let offered: Vec<&str> =
        names.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| *name).collect();
    let list = offered.join(", ");
    match names.iter().find(|(name, _)| *name == text) {
        Some((_, Some(value))) => return Some(*value),
        Some((name, None)) => cursor
            .problem(out, format!("{name} is not offered by this program's TLS library; offered are {list}")),
        None => match nearest(text, offered.iter().copied()) {
            Some(near) => cursor.problem(out, format!("{} is not known (did you mean {near}?)", shown(text))),
            None => cursor.problem(out, format!("{} is not known; expected one of {list}", shown(text))),
        },
    }
    None
}

/// Certificates or a key, from a file or from the web configuration itself.
fn pem(fields: &Fields<'_>, file: &str, inline: &str, out: &mut Findings) -> Option<Placed<Pem>> {
    match (given(fields, file), given(fields, inline)) {
        (Some(_), Some(cursor)) => {
            cursor.problem(out, format!("only one of {file} and {inline} may be given"));
            None
        }
        (Some(cursor), None) => {
            let path = relative_to(cursor.file, cursor.scalar(out, "the name of a file")?);
            Some(Placed::new(Pem::File(path), &cursor))
        }
        (None, Some(cursor)) => {
            Some(Placed::new(Pem::Inline(Secret::new(cursor.scalar(out, "a text in PEM form")?)), &cursor))
        }
        (None, None) => None,
    }
}

fn users(section: &Cursor<'_>, file: &mut WebFile, out: &mut Findings) {
    // Not `fields`: its limit on the number of keys is too low for users.
    let Some(fields) = section.entries() else {
        section.problem(out, "expected a mapping of names to bcrypt hashes");
        return;
    };
    for (name, value) in fields.all() {
        let Some(hash) = value.scalar(out, "a bcrypt hash").map(Secret::new) else { continue };
        if name.text.contains(':') {
            value.problem(out, "the name holds a colon, with which HTTP's basic authentication ends names");
        }
        match hash.bcrypt_cost() {
            Some(cost) if cost > MAX_COST => value.problem(
                out,
                format!(
                    "has a cost of {cost}; expected at most {MAX_COST}, above which a check takes minutes"
                ),
            ),
            Some(_) => {}
            None => {
                value.problem(out, "is not a bcrypt hash; this makes one: htpasswd -nBC 10 '' | tr -d ':'")
            }
        }
        if file.users.insert(name.text.clone().into_owned(), hash).is_some() {
            value.problem(out, "this name stands here for the second time");
        }
    }
}

fn rate_limit(section: &Cursor<'_>, out: &mut Findings) -> Option<WebRateLimit> {
    let fields = section.fields(&[RATE_KEYS], out)?;
    let interval = match fields.get("interval") {
        Some(cursor) => {
            let text = cursor.scalar(out, "a duration (100ms, 1s, 1m)")?;
            let interval = go_duration(text);
            if interval.is_none() {
                cursor.problem(
                    out,
                    format!(
                        "{} is not a duration; expected one like 100ms, 1s or 1m30s, or 0 for no limit",
                        shown(text)
                    ),
                );
            }
            interval?
        }
        None => Duration::ZERO,
    };
    let burst = fields.get("burst").map_or(Some(0), |cursor| cursor.number(out, 0, 1_000_000))?;
    if interval.is_zero() {
        return None;
    }
    if burst == 0 {
        fields.problem(out, "with a burst of 0 every request would be refused; expected at least 1");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_follow_go() {
        for (text, millis) in [
            ("0", 0),
            ("1s", 1000),
            ("1.5s", 1500),
            ("1h30m", 5_400_000),
            ("250us", 0),
            ("1m1m", 120_000),
            (".5s", 500),
            ("0s", 0),
        ] {
            assert_eq!(go_duration(text).map(|d| d.as_millis()), Some(millis), "{text}");
        }
        for text in ["", "1", "-1s", "1d", "s", "1..5s", "1 s", "1e3s", "+1s", "99999999999999999999h"] {
            assert_eq!(go_duration(text), None, "{text:?}");
        }
    }
}
