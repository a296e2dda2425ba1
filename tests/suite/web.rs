//! The web configuration: its checks, and its effects on real connections.
//!
//! Certificates are generated for each test.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use rustls::client::ResolvesClientCert;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{
    CipherSuite, ClientConfig, NamedGroup, ProtocolVersion, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};
use token_exporter::server::{self, AccessControl, Endpoint, Limits, ServerContext};
use token_exporter::state::{Store, View};
use token_exporter::telemetry::{Metrics, Watchdog};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::prometheus::{Prometheus, eventually, start_demo};

/// An upper limit; a passing test never waits for it.
const SOON: Duration = Duration::from_secs(60);

/// A CA, and a directory with its certificate and the server's certificate and key.
struct Pki {
    folder: tempfile::TempDir,
    ca: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
struct Identity {
    certificate: String,
    key: String,
}

impl Pki {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "test authority");
        let ca = params.self_signed(&key).expect("a certificate");
        let pki =
            Self { folder: tempfile::tempdir().expect("a folder"), ca, issuer: Issuer::new(params, key) };
        pki.write("ca.crt", &pki.ca.pem());
        pki.serve_as("localhost");
        pki
    }

    fn issue(&self, names: Vec<SanType>, usage: ExtendedKeyUsagePurpose) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Identity { certificate, key: key.serialize_pem() }
    }

    /// Writes a new server certificate and key.
    fn serve_as(&self, name: &str) {
        let names = vec![dns(name), SanType::IpAddress([127, 0, 0, 1].into())];
        let server = self.issue(names, ExtendedKeyUsagePurpose::ServerAuth);
        self.write("server.crt", &server.certificate);
        self.write("server.key", &server.key);
    }

    fn client(&self, names: Vec<SanType>) -> Identity {
        self.issue(names, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    fn access(&self, web: &str) -> Arc<AccessControl> {
        self.write("web.yml", web);
        Arc::new(
            AccessControl::new(Some(&self.path("web.yml"))).unwrap_or_else(|problems| panic!("{problems}")),
        )
    }

    /// The problems of a web configuration in this directory.
    fn problems(&self, web: &str) -> String {
        self.write("web.yml", web);
        let problems =
            AccessControl::new(Some(&self.path("web.yml"))).err().map(|problems| problems.to_string());
        problems.unwrap_or_default().replace(&format!("{}/", self.folder.path().display()), "")
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.der().clone()).expect("a root");
        roots
    }

    /// A client that trusts this CA and sends this certificate, if any.
    fn tls(&self, identity: Option<&Identity>) -> ClientConfig {
        self.tls_with(ring::default_provider(), rustls::ALL_VERSIONS, identity)
    }

    fn tls_with(
        &self,
        provider: CryptoProvider,
        versions: &[&'static SupportedProtocolVersion],
        identity: Option<&Identity>,
    ) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .expect("versions");
        let builder = builder.with_root_certificates(self.roots());
        match identity {
            Some(Identity { certificate, key }) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")];
                builder
                    .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM"))
                    .expect("a key")
            }
            None => builder.with_no_client_auth(),
        }
    }
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("a name"))
}

/// The part of a web configuration that every TLS server has.
const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

/// A hash that is fast to check, even in a debug build.
fn hash(password: &str, cost: u32) -> String {
    bcrypt::hash(password, cost).expect("a hash")
}

/// Starts only the HTTP server, without a daemon.
struct Site {
    address: SocketAddr,
    health: SocketAddr,
    second: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Site {
    async fn start(access: Arc<AccessControl>) -> Self {
        Self::start_with(access, Limits::default(), 0).await
    }

    /// The same with limits, and with a number of accounts to make answers long.
    async fn start_with(access: Arc<AccessControl>, limits: Limits, accounts: usize) -> Self {
        Self::start_for(access, limits, accounts, 1).await
    }

    /// The same with a maximum number of scrapes.
    async fn start_for(
        access: Arc<AccessControl>,
        limits: Limits,
        accounts: usize,
        max_requests: usize,
    ) -> Self {
        let settings = server::WebSettings {
            telemetry_path: "/metrics".to_owned(),
            route_prefix: String::new(),
            external_url: None,
            enable_lifecycle: false,
            max_requests,
            events_apart: false,
        };
        let store = Arc::new(Store::default());
        if accounts > 0 {
            let file = tempfile::NamedTempFile::new().expect("a file");
            let accounts: String = (0..accounts)
                .map(|i| format!("  - {{id: account-{i}, network: mastodon, token: sim-{i}}}\n"))
                .collect();
            std::fs::write(file.path(), format!("accounts:\n{accounts}")).expect("written");
            let config = token_exporter::config::load(&[file.path().to_owned()]).expect("a configuration");
            store.replace_inventory(Arc::new(config.inventory(|_| true)));
        }
        let view = View::new(watch::channel(store.snapshot()).1);
        let mut context =
            ServerContext::new(view, Metrics::new().expect("metrics"), settings, mpsc::channel(1).0);
        context.access = access;
        context.limits = limits;
        let context = Arc::new(context);
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Vec::new();
        let mut listen = async |door| {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
            let address = listener.local_addr().expect("an address");
            tasks.push(tokio::spawn(server::serve(
                listener,
                door,
                context.clone(),
                stopped.clone(),
                SOON,
                Watchdog::default().part("server"),
            )));
            address
        };
        let (address, health, second) =
            (listen(Endpoint::Main).await, listen(Endpoint::Health).await, listen(Endpoint::Main).await);
        Self { address, health, second, stop, tasks }
    }

    /// The status and body of an answer over plain HTTP.
    async fn get(&self, path: &str, login: Option<(&str, &str)>) -> (u16, String) {
        let request = crate::prometheus::http_client().get(format!("http://{}{path}", self.address));
        let request = match login {
            Some((name, password)) => request.basic_auth(name, Some(password)),
            None => request,
        };
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    }

    async fn end(self) {
        self.stop.send(true).expect("it listens");
        for task in self.tasks {
            tokio::time::timeout(SOON, task).await.expect("it stops").expect("no panic");
        }
    }
}

/// The negotiated TLS parameters, and the answer.
struct Session {
    version: ProtocolVersion,
    suite: CipherSuite,
    group: Option<NamedGroup>,
    alpn: Option<Vec<u8>>,
    certificate: CertificateDer<'static>,
    answer: String,
}

async fn connect(address: SocketAddr, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// Connects, requests `/-/healthy` and reads the answer. In TLS 1.3, a refusal shows only there.
async fn session(address: SocketAddr, config: ClientConfig) -> std::io::Result<Session> {
    let mut stream = connect(address, config).await?;
    stream.write_all(b"GET /-/healthy HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let tls = stream.get_ref().1;
    Ok(Session {
        version: tls.protocol_version().expect("a version"),
        suite: tls.negotiated_cipher_suite().expect("a suite").suite(),
        group: tls.negotiated_key_exchange_group().map(|group| group.name()),
        alpn: tls.alpn_protocol().map(<[u8]>::to_vec),
        certificate: tls.peer_certificates().expect("certificates")[0].clone().into_owned(),
        answer,
    })
}

/// Sends raw bytes, and reads until the server closes the connection.
async fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request).await.expect("sent");
    until_closed(&mut stream).await
}

/// Reads until the server closes the connection.
async fn until_closed(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    // An aborted connection is closed as well.
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut bytes)).await.expect("the server closes");
    String::from_utf8_lossy(&bytes).into_owned()
}

const HASH: &str = "$2y$04$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

/// Whether promtool accepts the file; none if it is too old for a key in the file.
fn promtool_accepts(pki: &Pki) -> Option<bool> {
    let output = Command::new("promtool").args(["check", "web-config"]).arg(pki.path("web.yml")).output();
    let output = output.expect("promtool, from the package prometheus (tests/run installs it)");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let newer = ["rate_limit", "client_allowed_sans", "cert", "key", "client_ca"];
    let older = newer.iter().any(|key| said.contains(&format!("field {key} not found")));
    (!older).then_some(output.status.success())
}

#[test]
fn what_is_wrong_is_told_at_its_place() {
    let pki = Pki::new();
    pki.write("other.key", &KeyPair::generate().expect("a key").serialize_pem());
    pki.write("empty.pem", "");
    let tls = |more: &str| format!("{TLS}  {more}\n");
    // Each with its message, and whether promtool also refuses it: this program is stricter if a
    // file would not have the intended effect.
    let cases: Vec<(String, &str, bool)> = vec![
        (
            "tls_server_confg: {}".into(),
            "web.yml:1:1: tls_server_confg: unknown key (did you mean \"tls_server_config\"?)",
            true,
        ),
        (
            tls("cert_filse: x"),
            "web.yml:4:3: tls_server_config.cert_filse: unknown key (did you mean \"cert_file\"?)",
            true,
        ),
        (
            "a: [".into(),
            "web.yml:2:1: is not YAML: while parsing a node, did not find expected node content",
            true,
        ),
        (
            "tls_server_config: {key_file: server.key}".into(),
            "web.yml:1:20: tls_server_config: one of cert_file and cert is missing",
            true,
        ),
        (
            "tls_server_config: {cert_file: server.crt, key_file: \"\"}".into(),
            "web.yml:1:20: tls_server_config: one of key_file and key is missing",
            true,
        ),
        (
            "tls_server_config: {min_version: TLS12}".into(),
            "web.yml:1:20: tls_server_config: one of cert_file and cert is missing\nweb.yml:1:20: \
             tls_server_config: one of key_file and key is missing",
            false,
        ),
        (
            tls("cert: x"),
            "web.yml:4:9: tls_server_config.cert: only one of cert_file and cert may be given",
            false,
        ),
        (
            "tls_server_config: {cert_file: no.crt, key_file: no.key}".into(),
            "web.yml:1:32: tls_server_config.cert_file: the file does not exist\nweb.yml:1:50: \
             tls_server_config.key_file: the file does not exist",
            true,
        ),
        (
            "tls_server_config: {cert_file: server.key, key_file: server.crt}".into(),
            "web.yml:1:32: tls_server_config.cert_file: holds no certificate in PEM form\nweb.yml:1:54: \
             tls_server_config.key_file: holds no private key in PEM form (PKCS#8, PKCS#1 or SEC1, not \
             encrypted)",
            true,
        ),
        (
            "tls_server_config: {cert_file: server.crt, key_file: other.key}".into(),
            "web.yml:1:54: tls_server_config.key_file: is not the key of the certificate",
            true,
        ),
        (
            tls("client_auth_type: Sometimes"),
            "web.yml:4:21: tls_server_config.client_auth_type: \"Sometimes\" is not known; expected one of \
             NoClientCert, RequestClientCert, RequireAnyClientCert, RequireClientCert, \
             VerifyClientCertIfGiven, RequireAndVerifyClientCert",
            true,
        ),
        (
            tls("client_ca_file: ca.crt"),
            "web.yml:4:19: tls_server_config.client_ca_file: has no effect: client_auth_type asks for no \
             certificates (RequireAndVerifyClientCert does)",
            true,
        ),
        (
            tls("client_allowed_sans: [a]"),
            "web.yml:4:24: tls_server_config.client_allowed_sans: has no effect: client_auth_type asks for \
             no certificates (RequireAndVerifyClientCert does)",
            false,
        ),
        (
            tls("client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n  \
                 client_allowed_sans: []"),
            "web.yml:6:24: tls_server_config.client_allowed_sans: is empty, so that no certificate would \
             do; leave it out to allow all",
            false,
        ),
        (
            tls("client_auth_type: RequireAndVerifyClientCert"),
            "web.yml:2:3: tls_server_config: client_ca_file or client_ca is missing: it says whose \
             certificates client_auth_type accepts",
            false,
        ),
        (
            tls("client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: empty.pem"),
            "web.yml:5:19: tls_server_config.client_ca_file: holds no certificate in PEM form",
            false,
        ),
        (
            tls("min_version: TLS111"),
            "web.yml:4:16: tls_server_config.min_version: \"TLS111\" is not known (did you mean TLS12?)",
            true,
        ),
        (
            tls("min_version: TLS10"),
            "web.yml:4:16: tls_server_config.min_version: TLS10 is not offered by this program's TLS \
             library; offered are TLS12, TLS13",
            false,
        ),
        (
            tls("min_version: TLS13\n  max_version: TLS12"),
            "web.yml:2:3: tls_server_config: min_version is above max_version",
            false,
        ),
        (
            tls("cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]"),
            "web.yml:4:58: tls_server_config.cipher_suites[1]: TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA is not \
             offered by this program's TLS library; offered are TLS_AES_128_GCM_SHA256, \
             TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, \
             TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, \
             TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, \
             TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            false,
        ),
        (
            tls("cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]"),
            "web.yml:4:18: tls_server_config.cipher_suites: HTTP/2 needs \
             TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 or TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: add one, set \
             min_version to TLS13, or http_server_config.http2 to false",
            false,
        ),
        (
            tls("cipher_suites: [TLS_AES_128_GCM_SHA256]"),
            "web.yml:4:18: tls_server_config.cipher_suites: names no cipher suite of TLS 1.2 (those of TLS \
             1.3 are always on): add one, or set min_version to TLS13",
            false,
        ),
        (
            tls("curve_preferences: [CurveP521]"),
            "web.yml:4:23: tls_server_config.curve_preferences[0]: CurveP521 is not offered by this \
             program's TLS library; offered are X25519, CurveP256, CurveP384",
            false,
        ),
        (
            tls("prefer_server_cipher_suites: often"),
            "web.yml:4:32: tls_server_config.prefer_server_cipher_suites: expected true or false",
            true,
        ),
        (
            "http_server_config: {headers: {Content-Type: x}}".into(),
            "web.yml:1:32: http_server_config.headers.Content-Type: unknown key; known are \
             Content-Security-Policy, Strict-Transport-Security, X-Content-Type-Options, X-Frame-Options, \
             X-XSS-Protection",
            true,
        ),
        (
            "http_server_config: {headers: {X-Frame-Options: foo}}".into(),
            "web.yml:1:49: http_server_config.headers.X-Frame-Options: \"foo\" is not allowed; expected \
             deny or sameorigin",
            true,
        ),
        (
            "http_server_config: {headers: {X-XSS-Protection: \"a\\nb: c\"}}".into(),
            "web.yml:1:50: http_server_config.headers.X-XSS-Protection: holds characters that a header \
             cannot",
            false,
        ),
        (
            "basic_auth_users: {john: doe}".into(),
            "web.yml:1:26: basic_auth_users.john: is not a bcrypt hash; this makes one: htpasswd -nBC 10 '' \
             | tr -d ':'",
            true,
        ),
        (
            format!("basic_auth_users: {{\"jo:hn\": {HASH}}}"),
            "web.yml:1:29: basic_auth_users.(not shown): the name holds a colon, with which HTTP's basic \
             authentication ends names",
            false,
        ),
        (
            format!("basic_auth_users: {{john: {}}}", HASH.replace("$04$", "$31$")),
            "web.yml:1:26: basic_auth_users.john: has a cost of 31; expected at most 18, above which a \
             check takes minutes",
            false,
        ),
        (
            format!("basic_auth_users:\n  john: {HASH}\n  john: {HASH}"),
            "web.yml:3:9: basic_auth_users.john: duplicate user name",
            true,
        ),
        (
            "basic_auth_users: [john]".into(),
            "web.yml:1:19: basic_auth_users: expected a mapping of names to bcrypt hashes",
            true,
        ),
        (
            "rate_limit: {interval: 1d, burst: 1}".into(),
            "web.yml:1:24: rate_limit.interval: \"1d\" is not a duration; expected one like 100ms, 1s or \
             1m30s, or 0 for no limit",
            true,
        ),
        (
            "rate_limit: {interval: 1s, burst: many}".into(),
            "web.yml:1:35: rate_limit.burst: \"many\" is not a whole number from 0 to 1000000",
            true,
        ),
        (
            "rate_limit: {interval: 1s}".into(),
            "web.yml:1:13: rate_limit: with a burst of 0 every request would be refused; expected at least 1",
            false,
        ),
        // All problems are reported together, across sections, files and kinds.
        (
            format!(
                "{}basic_auth_users: {{john: sim-password-of-john}}\nrate_limt: {{}}\n",
                tls("min_version: TLS9\n  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: \
                     no.crt")
            ),
            "web.yml:4:16: tls_server_config.min_version: \"TLS9\" is not known; expected one of TLS12, \
             TLS13\nweb.yml:6:19: tls_server_config.client_ca_file: the file does not exist\nweb.yml:7:26: \
             basic_auth_users.john: is not a bcrypt hash; this makes one: htpasswd -nBC 10 '' | tr -d \
             ':'\nweb.yml:8:1: rate_limt: unknown key (did you mean \"rate_limit\"?)",
            true,
        ),
    ];
    let mut failures = Vec::new();
    for (web, told, promtool) in cases {
        let found = pki.problems(&web);
        if found != told {
            failures.push(format!("{web}\n--- expected\n{told}\n--- found\n{found}"));
        }
        if promtool_accepts(&pki) == Some(promtool) {
            failures.push(format!(
                "{web}\n--- promtool is said to {} this",
                if promtool { "refuse" } else { "accept" }
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    assert_eq!(
        AccessControl::new(Some(Path::new("no-such-file.yml"))).err().map(|p| p.to_string()).as_deref(),
        Some("no-such-file.yml: does not exist")
    );
}

#[test]
fn what_the_format_allows_is_accepted() {
    let pki = Pki::new();
    let inline =
        |name: &str| std::fs::read_to_string(pki.path(name)).expect("readable").replace('\n', "\n    ");
    for web in [
        String::new(),
        "# nothing yet\n".to_owned(),
        "tls_server_config:\nbasic_auth_users:\nhttp_server_config: {}\nrate_limit: {}\n".to_owned(),
        TLS.to_owned(),
        format!(
            "tls_server_config:\n  cert: |\n    {}\n  key: |\n    {}\n",
            inline("server.crt"),
            inline("server.key")
        ),
        format!(
            "{TLS}  client_ca_file: \"\"\n  client_auth_type: \"\"\n  cipher_suites: []\n  \
             curve_preferences: []\n"
        ),
        format!(
            "{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca: |\n    {}\n  \
             client_allowed_sans: [a, b]\n",
            inline("ca.crt")
        ),
        format!(
            "{TLS}  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\nhttp_server_config: {{http2: \
             false}}\n"
        ),
        "rate_limit: {interval: 0, burst: 0}\n".to_owned(),
        "rate_limit: {interval: 1.5s, burst: 3}\n".to_owned(),
        "http_server_config: {headers: {X-Frame-Options: sameorigin, X-XSS-Protection: 1, \
         Content-Security-Policy: \"\"}}\n"
            .to_owned(),
        // More users than the limit of keys in a mapping of the exporter's configuration.
        (0..300).fold("basic_auth_users:\n".to_owned(), |text, i| text + &format!("  user-{i}: {HASH}\n")),
    ] {
        assert_eq!(pki.problems(&web), "", "{web}");
        assert_ne!(promtool_accepts(&pki), Some(false), "{web}");
    }
}

#[test]
fn secrets_that_lie_open_are_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let pki = Pki::new();
    let warnings =
        |web: &str| -> Vec<String> { pki.access(web).warnings().iter().map(|w| w.message.clone()).collect() };
    let mode = |mode: u32| {
        std::fs::set_permissions(pki.path("server.key"), std::fs::Permissions::from_mode(mode)).expect("set")
    };
    mode(0o600);
    assert_eq!(warnings(TLS), Vec::<String>::new());
    mode(0o644);
    assert_eq!(warnings(TLS), ["everybody on this machine may read this file (chmod 600)"]);
    let key = std::fs::read_to_string(pki.path("server.key")).expect("readable").replace('\n', "\n    ");
    let inline = format!(
        "tls_server_config:\n  cert_file: server.crt\n  key: |\n    {key}\n  client_auth_type: \
         RequireAnyClientCert\n"
    );
    assert_eq!(
        warnings(&inline),
        [
            "the secret is in the configuration itself; key_file keeps it apart",
            "accepts certificates that anybody can make; RequireAndVerifyClientCert tells who a client is"
        ]
    );
}

#[test]
fn the_guides_examples_are_right() {
    let pki = Pki::new();
    let guide = std::fs::read_to_string("docs/web-config.md").expect("the guide");
    // Each YAML block is a whole file.
    let examples: Vec<&str> =
        guide.split("```yaml\n").skip(1).map(|rest| &rest[..rest.find("```").expect("an end")]).collect();
    let mut accepted = 0;
    for example in &examples {
        assert_eq!(pki.problems(example), "", "{example}");
        let promtool = promtool_accepts(&pki);
        assert_ne!(promtool, Some(false), "{example}");
        accepted += usize::from(promtool == Some(true));
    }
    assert!(accepted >= 2, "promtool of any age knows the first two");
    let shown: Vec<&str> =
        examples.iter().flat_map(|e| e.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))).collect();
    let mut checked = 0;
    for key in token_exporter::config::web_keys() {
        checked += 1;
        assert!(shown.contains(&key), "the guide does not show {key}");
    }
    assert!(checked > 15, "{checked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_cipher_suites_and_curves_are_those_of_the_file() {
    use rustls::version::{TLS12, TLS13};
    let pki = Pki::new();
    let client = |change: fn(&mut CryptoProvider), versions: &[&'static SupportedProtocolVersion]| {
        let mut provider = ring::default_provider();
        change(&mut provider);
        pki.tls_with(provider, versions, None)
    };
    let only_suite = |suite: CipherSuite| {
        let mut provider = ring::default_provider();
        provider.cipher_suites.retain(|s| s.suite() == suite);
        pki.tls_with(provider, &[&TLS12], None)
    };
    let all = |_: &mut CryptoProvider| {};

    let site = Site::start(pki.access(TLS)).await;
    let default = session(site.address, client(all, rustls::ALL_VERSIONS)).await.expect("a session");
    assert_eq!(default.version, ProtocolVersion::TLSv1_3);
    assert!(default.answer.starts_with("HTTP/1.1 200"), "{}", default.answer);
    let older = session(site.address, client(all, &[&TLS12])).await.expect("a session");
    assert_eq!(older.version, ProtocolVersion::TLSv1_2);
    // The start of a TLS 1.1 ClientHello: the answer is an alert, not a handshake.
    let hello =
        [&[22, 3, 1, 0, 47, 1, 0, 0, 43, 3, 2][..], &[7; 32], &[0, 0, 2, 0xc0, 0x13, 1, 0, 0, 0]].concat();
    let alert = raw(site.address, &hello).await;
    assert_eq!(alert.as_bytes().first(), Some(&21), "an alert: {alert:?}");
    site.end().await;

    let site = Site::start(pki.access(&format!("{TLS}  min_version: TLS13\n"))).await;
    assert!(session(site.address, client(all, &[&TLS12])).await.is_err());
    assert!(session(site.address, client(all, &[&TLS13])).await.is_ok());
    site.end().await;

    let two = "  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, \
               TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256]\n";
    let chacha_first = |provider: &mut CryptoProvider| {
        provider
            .cipher_suites
            .sort_by_key(|s| s.suite() != CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256);
    };
    let site = Site::start(pki.access(&format!("{TLS}{two}"))).await;
    assert!(session(site.address, client(all, &[&TLS13])).await.is_err());
    assert!(
        session(site.address, only_suite(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384))
            .await
            .is_err(),
        "not listed"
    );
    let listed = CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;
    assert_eq!(session(site.address, only_suite(listed)).await.expect("a session").suite, listed);
    let ours = session(site.address, client(chacha_first, &[&TLS12])).await.expect("a session");
    assert_eq!(
        ours.suite,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "the list's order goes first"
    );
    site.end().await;
    let site = Site::start(pki.access(&format!("{TLS}{two}  prefer_server_cipher_suites: false\n"))).await;
    assert_eq!(
        session(site.address, client(chacha_first, &[&TLS12])).await.expect("a session").suite,
        listed,
        "the client's does"
    );
    site.end().await;

    let site = Site::start(pki.access(&format!("{TLS}  curve_preferences: [CurveP384, CurveP256]\n"))).await;
    let agreed = session(site.address, client(all, &[&TLS13])).await.expect("a session").group;
    assert!(matches!(agreed, Some(NamedGroup::secp256r1 | NamedGroup::secp384r1)), "{agreed:?}");
    let x25519 =
        |provider: &mut CryptoProvider| provider.kx_groups.retain(|group| group.name() == NamedGroup::X25519);
    assert!(session(site.address, client(x25519, &[&TLS13])).await.is_err(), "not listed");
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_offered_with_tls_unless_switched_off() {
    let pki = Pki::new();
    let offering = |protocols: &[&[u8]]| {
        let mut config = pki.tls(None);
        config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
        config
    };
    let get = async |site: &Site| {
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(offering(&[b"h2", b"http/1.1"]))
            .build()
            .expect("a client");
        client.get(format!("https://{}/-/healthy", site.address)).send().await.expect("an answer")
    };
    let site = Site::start(pki.access(TLS)).await;
    let answer = get(&site).await;
    assert_eq!((answer.version(), answer.status().as_u16()), (reqwest::Version::HTTP_2, 200));
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    assert_eq!(
        session(site.address, offering(&[b"http/1.1"])).await.expect("a session").alpn.as_deref(),
        Some(&b"http/1.1"[..])
    );
    site.end().await;
    let site = Site::start(pki.access(&format!("{TLS}http_server_config: {{http2: false}}\n"))).await;
    assert_eq!(get(&site).await.version(), reqwest::Version::HTTP_11);
    site.end().await;
    // Without TLS there is no HTTP/2, whatever the client sends first.
    let site = Site::start(pki.access("")).await;
    assert!(
        !raw(site.address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.contains("200")
    );
    site.end().await;
}

/// A client that sends a certificate without having its key.
#[derive(Debug)]
struct Impostor(Arc<CertifiedKey>);

impl ResolvesClientCert for Impostor {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn client_certificates_are_asked_for_as_the_file_says() {
    let (pki, elsewhere) = (Pki::new(), Pki::new());
    let (known, stranger) = (pki.client(vec![dns("known")]), elsewhere.client(vec![dns("known")]));
    let chain = vec![CertificateDer::from_pem_slice(known.certificate.as_bytes()).expect("PEM")];
    let key = PrivateKeyDer::from_pem_slice(stranger.key.as_bytes()).expect("PEM");
    let signer = ring::sign::any_supported_type(&key).expect("a key");
    let pretence: Arc<dyn ResolvesClientCert> =
        Arc::new(Impostor(Arc::new(CertifiedKey::new(chain, signer))));
    let ca = "  client_ca_file: ca.crt\n";
    // Which clients are accepted: without a certificate, with one of the CA, with one of another
    // CA, with one without its key.
    for (auth, ca, [none, good, other, without_key]) in [
        ("NoClientCert", "", [true, true, true, true]),
        ("RequestClientCert", "", [true, true, true, false]),
        ("RequestClientCert", ca, [true, true, true, false]),
        ("RequireAnyClientCert", "", [false, true, true, false]),
        ("RequireClientCert", "", [false, true, true, false]),
        ("VerifyClientCertIfGiven", ca, [true, true, false, false]),
        ("RequireAndVerifyClientCert", ca, [false, true, false, false]),
    ] {
        let site = Site::start(pki.access(&format!("{TLS}  client_auth_type: {auth}\n{ca}"))).await;
        for versions in [[&rustls::version::TLS12], [&rustls::version::TLS13]] {
            let tls =
                |identity: Option<&Identity>| pki.tls_with(ring::default_provider(), &versions, identity);
            let found = [
                session(site.address, tls(None)).await.is_ok_and(|s| s.answer.contains(" 200 ")),
                session(site.address, tls(Some(&known))).await.is_ok_and(|s| s.answer.contains(" 200 ")),
                // The server's hints tell clients which certificates are useful; this client
                // ignores them.
                session(site.address, tls(Some(&stranger))).await.is_ok_and(|s| s.answer.contains(" 200 ")),
            ];
            assert_eq!(found, [none, good, other], "{auth} {versions:?}");
            let mut impostor = tls(None);
            impostor.client_auth_cert_resolver = pretence.clone();
            let let_in = session(site.address, impostor).await.is_ok_and(|s| s.answer.contains(" 200 "));
            assert_eq!(let_in, without_key, "{auth} {versions:?}: a certificate without its key");
        }
        site.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn client_certificates_must_hold_an_allowed_name() {
    let pki = Pki::new();
    let verify = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n";
    let sans = "  client_allowed_sans: [prometheus.example.com, ops@example.com, 192.0.2.7, \
                \"2001:db8::1\", spiffe://example.com/prometheus]\n";
    let site = Site::start(pki.access(&format!("{TLS}{verify}{sans}"))).await;
    let mail = |name: &str| SanType::Rfc822Name(name.try_into().expect("a name"));
    let uri = |name: &str| SanType::URI(name.try_into().expect("a name"));
    let ip = |ip: &str| SanType::IpAddress(ip.parse().expect("an address"));
    for (names, allowed) in [
        (vec![dns("prometheus.example.com")], true),
        (vec![mail("ops@example.com")], true),
        (vec![ip("192.0.2.7")], true),
        (vec![ip("2001:db8::1")], true),
        (vec![uri("spiffe://example.com/prometheus")], true),
        (vec![dns("other.example.com"), ip("192.0.2.7")], true),
        (vec![dns("other.example.com")], false),
        // Exact matches only, without wildcards on either side.
        (vec![dns("*.example.com")], false),
        (vec![dns("a.prometheus.example.com")], false),
        (vec![ip("192.0.2.8")], false),
        (vec![uri("spiffe://example.com/prometheus/x")], false),
        (vec![], false),
    ] {
        let answer = session(site.address, pki.tls(Some(&pki.client(names.clone())))).await;
        assert_eq!(answer.is_ok_and(|s| s.answer.contains(" 200 ")), allowed, "{names:?}");
    }
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_passwords_are_asked_for_everywhere_but_at_the_health_address() {
    let pki = Pki::new();
    let site = Site::start(pki.access(&format!(
        "basic_auth_users: {{alice: \"{}\", bob: \"{}\"}}\n",
        hash("wonder", 4),
        hash("büro:1", 5)
    )))
    .await;
    for (login, status) in [
        (Some(("alice", "wonder")), 200),
        (Some(("alice", "wonder")), 200),
        (Some(("alice", "wonders")), 401),
        (Some(("alice", "")), 401),
        (Some(("bob", "büro:1")), 200),
        (Some(("bob", "wonder")), 401),
        (Some(("eve", "wonder")), 401),
        (Some(("", "")), 401),
        (Some(("alice", "a\0b")), 401),
        (Some(("alice", &"x".repeat(10_000))), 401),
        (None, 401),
    ] {
        assert_eq!(site.get("/-/healthy", login).await.0, status, "{login:?}");
    }
    for path in
        ["/", "/metrics", "/probe", "/-/ready", "/-/reload", "/nowhere", "/%2e%2e/metrics", "//metrics"]
    {
        assert_eq!(site.get(path, None).await, (401, "Unauthorized.\n".to_owned()), "{path}");
    }
    let client = crate::prometheus::http_client();
    for header in ["Bearer x", "Basic", "Basic !!!", "Basic YWxpY2U=", "basic  ", "Basic /////w=="] {
        let answer = client
            .get(format!("http://{}/metrics", site.address))
            .header("authorization", header)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 401, "{header}");
        assert_eq!(answer.headers()["www-authenticate"], "Basic realm=\"token_exporter\", charset=\"UTF-8\"");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    }
    // The scheme is case-insensitive.
    let answer = client
        .get(format!("http://{}/metrics", site.address))
        .header("authorization", "bASIC YWxpY2U6d29uZGVy")
        .send()
        .await;
    assert_eq!(answer.expect("an answer").status(), 200);
    let answer = client.get(format!("http://{}/-/healthy", site.health)).send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "health on its own listener needs none");
    assert_eq!(
        client.get(format!("http://{}/metrics", site.health)).send().await.expect("an answer").status(),
        404
    );
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remembered_password_opens_no_other_door() {
    let pki = Pki::new();
    let secret = hash("wonder", 4);
    let site = Site::start(pki.access(&format!("basic_auth_users: {{alice: \"{secret}\"}}\n"))).await;
    // A cache confusion that the toolkit once had (CVE-2022-46146), both ways.
    assert_eq!(site.get("/", Some((&format!("alice{secret}"), "wonder"))).await.0, 401);
    assert_eq!(site.get("/", Some(("alice", &format!("{secret}wonder")))).await.0, 401);
    assert_eq!(site.get("/", Some(("alice", "wonder"))).await.0, 200);
    assert_eq!(site.get("/", Some(("alic", "ewonder"))).await.0, 401);
    assert_eq!(site.get("/", Some(("bob", "wonder"))).await.0, 401);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_costs_the_same_for_everybody() {
    let pki = Pki::new();
    let users = format!("basic_auth_users: {{cheap: \"{}\", dear: \"{}\"}}\n", hash("a", 5), hash("b", 9));
    let site = Site::start(pki.access(&users)).await;
    let mut least = [f64::MAX; 3];
    // The minimum of several alternating measurements removes the noise of a busy machine.
    for _ in 0..8 {
        for (least, name) in least.iter_mut().zip(["cheap", "dear", "nobody"]) {
            let start = std::time::Instant::now();
            assert_eq!(site.get("/", Some((name, "wrong"))).await.0, 401);
            *least = least.min(start.elapsed().as_secs_f64());
        }
    }
    let [cheap, dear, nobody] = least;
    // Without equalisation, the first would take a sixteenth of the second.
    for (name, other) in [("cheap", cheap), ("nobody", nobody)] {
        assert!((0.5..2.0).contains(&(other / dear)), "{name}: {least:?}");
    }
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_from_one_address_does_not_keep_others_out() {
    const GUESSES: usize = 60;
    let pki = Pki::new();
    let site =
        Site::start(pki.access(&format!("basic_auth_users: {{alice: \"{}\"}}\n", hash("wonder", 8)))).await;
    let url = format!("http://{}/-/healthy", site.address);
    let client = |from: &str| {
        let _ = ring::default_provider().install_default();
        reqwest::Client::builder()
            .no_proxy()
            .local_address(from.parse::<std::net::IpAddr>().expect("an address"))
            .build()
            .expect("a client")
    };
    let done = Arc::new(Mutex::new(0));
    let guesser = client("127.0.0.1");
    let guesses: Vec<_> = (0..GUESSES)
        .map(|i| {
            let (request, done) =
                (guesser.get(&url).basic_auth("alice", Some(format!("guess-{i}"))), done.clone());
            tokio::spawn(async move {
                let status = request.send().await.expect("an answer").status().as_u16();
                *done.lock().expect("unpoisoned") += 1;
                status
            })
        })
        .collect();
    eventually("the guessing is under way", SOON, async || {
        (*done.lock().expect("unpoisoned") > 0).then_some(())
    })
    .await;
    let answer =
        client("127.0.0.2").get(&url).basic_auth("alice", Some("wonder")).send().await.expect("an answer");
    let guessed = *done.lock().expect("unpoisoned");
    assert_eq!(answer.status(), 200);
    assert!(guessed < GUESSES - 10, "it waited for {guessed} of {GUESSES} guesses");
    // A known password does not wait, from any address.
    assert_eq!(
        client("127.0.0.1")
            .get(&url)
            .basic_auth("alice", Some("wonder"))
            .send()
            .await
            .expect("an answer")
            .status(),
        200
    );
    for guess in guesses {
        let status = guess.await.expect("no panic");
        assert!(matches!(status, 401 | 503), "{status}");
    }
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_limit_and_headers_of_the_file_hold() {
    let pki = Pki::new();
    let headers = "http_server_config: {headers: {X-Frame-Options: deny, Strict-Transport-Security: \
                   max-age=60, Content-Security-Policy: \"default-src 'self'\"}}\n";
    let site = Site::start(pki.access(&format!("{headers}rate_limit: {{interval: 1h, burst: 2}}\n"))).await;
    let client = crate::prometheus::http_client();
    for status in [200, 200, 429, 429] {
        let answer =
            client.get(format!("http://{}/-/healthy", site.address)).send().await.expect("an answer");
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["x-frame-options"], "deny");
        assert_eq!(answer.headers()["strict-transport-security"], "max-age=60");
        assert_eq!(answer.headers()["content-security-policy"], "default-src 'self'");
        assert_eq!(answer.headers()["referrer-policy"], "no-referrer", "ours stay where the file names none");
        assert_eq!(answer.headers().contains_key("retry-after"), status == 429);
    }
    assert_eq!(
        client.get(format!("http://{}/-/healthy", site.health)).send().await.expect("an answer").status(),
        200
    );
    // Other changes do not reset the limit; a change of the limit does.
    pki.write(
        "web.yml",
        "rate_limit: {interval: 1h, burst: 2}\n# touched\nhttp_server_config: {headers: {X-XSS-Protection: \
         1}}\n",
    );
    let reloaded = async || {
        let answer =
            client.get(format!("http://{}/-/healthy", site.address)).send().await.expect("an answer");
        answer.headers().contains_key("x-xss-protection").then_some(answer.status().as_u16())
    };
    assert_eq!(eventually("the headers are the new ones", SOON, reloaded).await, 429);
    pki.write("web.yml", "rate_limit: {interval: 0, burst: 0}\n");
    eventually("there is no limit", SOON, async || {
        (site.get("/-/healthy", None).await.0 == 200).then_some(())
    })
    .await;
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_files_hold_at_the_next_connection_and_broken_ones_do_not() {
    let pki = Pki::new();
    let web = |hash: &str| format!("{TLS}basic_auth_users: {{alice: \"{hash}\"}}\n");
    let site = Site::start(pki.access(&web(&hash("first", 4)))).await;
    let shown = async || session(site.address, pki.tls(None)).await.expect("a session").certificate;
    let page = async |password: &str| {
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(pki.tls(None))
            .build()
            .expect("a client");
        let url = format!("https://{}/", site.address);
        client.get(url).basic_auth("alice", Some(password)).send().await.expect("an answer")
    };
    let status = async |password: &str| page(password).await.status().as_u16();
    let shows_failure = async |password: &str| {
        let text = page(password).await.text().await.expect("a page");
        text.contains("The configuration could not be reloaded") && text.contains("web.yml")
    };
    let first = shown().await;
    assert_eq!((shown().await == first, status("first").await), (true, 200));

    pki.serve_as("renewed");
    let second = eventually("the new certificate is shown", SOON, async || {
        Some(shown().await).filter(|c| *c != first)
    })
    .await;
    assert_eq!(status("first").await, 200);
    pki.write("web.yml", &web(&hash("second", 4)));
    eventually("the new password holds", SOON, async || (status("second").await == 200).then_some(())).await;
    assert_eq!(status("first").await, 401, "and the old one no longer");

    // Broken files, and those that would remove protection, change nothing. A good file afterwards
    // proves that changes are read.
    let mut password = "second".to_owned();
    for (i, broken) in [
        "tls_server_config: [",
        "",
        TLS,
        &web("no hash"),
        "basic_auth_users: {}",
        &web(&hash("x", 4)).replace(TLS, ""),
    ]
    .iter()
    .enumerate()
    {
        pki.write("web.yml", broken);
        eventually("the page says so", SOON, async || shows_failure(&password).await.then_some(())).await;
        assert_eq!(
            (status(&password).await, status("x").await, status("").await),
            (200, 401, 401),
            "{broken:?}"
        );
        assert_eq!(shown().await, second, "{broken:?}");
        password = format!("after-{i}");
        pki.write("web.yml", &web(&hash(&password, 4)));
        eventually("the sound file holds", SOON, async || (status(&password).await == 200).then_some(()))
            .await;
        assert!(!shows_failure(&password).await);
    }
    // A key that does not match yet, as between the two steps of a renewal.
    let fitting = std::fs::read_to_string(pki.path("server.key")).expect("readable");
    pki.write("server.key", &KeyPair::generate().expect("a key").serialize_pem());
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(shown().await, second);
    pki.serve_as("last");
    eventually("the last certificate is shown", SOON, async || (shown().await != second).then_some(())).await;
    assert_ne!(std::fs::read_to_string(pki.path("server.key")).expect("readable"), fitting);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_at_a_tls_address_is_told_so() {
    let pki = Pki::new();
    let site = Site::start(pki.access(TLS)).await;
    let answer = raw(site.address, b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.0 400 Bad Request\r\n")
            && answer.ends_with("Client sent an HTTP request to an HTTPS server.\n"),
        "{answer}"
    );
    site.end().await;
}

/// Short limits for tests.
fn short() -> Limits {
    let short = Duration::from_secs(1);
    Limits { head: short, stall: short, ..Limits::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_dawdles_is_cut_off() {
    let pki = Pki::new();
    let plain = Site::start_with(pki.access(""), short(), 0).await;
    let tls = Site::start_with(pki.access(TLS), short(), 0).await;
    let hurried =
        Site::start_with(pki.access(TLS), Limits { handshake: short().head, ..Limits::default() }, 0).await;
    // Clients that send nothing, half of the headers, no TLS, half of a handshake, or half of the
    // headers at the health address.
    let cut = tokio::join!(
        raw(plain.address, b""),
        raw(plain.address, b"GET / HTTP/1.1\r\nhost:"),
        raw(hurried.address, b""),
        raw(hurried.address, &[22, 3, 1, 2, 0, 1]),
        raw(plain.health, b"GET /-/h"),
    );
    let nothing = String::new;
    assert_eq!(cut, (nothing(), nothing(), nothing(), nothing(), nothing()));
    // Sends byte by byte.
    let (mut reading, mut writing) =
        TcpStream::connect(plain.address).await.expect("a connection").into_split();
    let drops = tokio::spawn(async move {
        let request = b"GET / HTTP/1.1\r\nx: ".iter().chain(std::iter::repeat(&b'a'));
        for byte in request {
            if writing.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert_eq!(until_closed(&mut reading).await, "");
    drops.await.expect("it ends");
    // Nothing after the TLS handshake; nothing after the start of HTTP/2.
    assert_eq!(until_closed(&mut connect(tls.address, pki.tls(None)).await.expect("TLS")).await, "");
    let mut config = pki.tls(None);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let mut silent = connect(tls.address, config).await.expect("TLS");
    silent.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("sent");
    until_closed(&mut silent).await;
    for site in [plain, tls, hurried] {
        site.end().await;
    }
}

/// Reads one answer with its body from a connection that stays open.
async fn one_answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        let count =
            tokio::time::timeout(SOON, stream.read(&mut buffer)).await.expect("an answer").expect("readable");
        assert!(count > 0, "closed after {text:?}");
        text += &String::from_utf8_lossy(&buffer[..count]);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|l| l.strip_prefix("content-length: "))
            .expect("a length")
            .parse()
            .expect("a number");
        if body.len() >= length {
            return text;
        }
    }
}

const HEALTHY: &[u8] = b"GET /-/healthy HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_outlives_the_time_between_scrapes_but_not_for_ever() {
    let pki = Pki::new();
    let limits = Limits { idle: Duration::from_secs(5), ..short() };
    let site = Site::start_with(pki.access(""), limits, 0).await;
    let mut stream = TcpStream::connect(site.address).await.expect("a connection");
    for _ in 0..2 {
        stream.write_all(HEALTHY).await.expect("sent");
        assert!(one_answer(&mut stream).await.starts_with("HTTP/1.1 200"));
        // Longer than the limit for headers, and shorter than the limit for idle connections.
        tokio::time::sleep(limits.head * 2).await;
    }
    assert_eq!(until_closed(&mut stream).await, "", "closed when it was idle for too long");
    // Unfinished headers of a second request have the same limit as those of the first.
    let endless =
        Site::start_with(pki.access(""), Limits { idle: Duration::from_secs(3600), ..short() }, 0).await;
    let mut stream = TcpStream::connect(endless.address).await.expect("a connection");
    stream.write_all(HEALTHY).await.expect("sent");
    one_answer(&mut stream).await;
    stream.write_all(b"GET / HT").await.expect("sent");
    assert_eq!(until_closed(&mut stream).await, "");
    site.end().await;
    endless.end().await;
}

/// A connection from one of the addresses of loopback, with small buffers, so that what the client does
/// not read is not sent.
async fn opened(address: SocketAddr, from: &str, request: &[u8]) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("set");
    socket.bind(SocketAddr::new(from.parse().expect("an address"), 0)).expect("bound");
    let mut stream = socket.connect(address).await.expect("a connection");
    stream.write_all(request).await.expect("sent");
    stream
}

/// The same, when an answer begins.
async fn begun(address: SocketAddr, from: &str, request: &[u8]) -> TcpStream {
    let stream = opened(address, from, request).await;
    tokio::time::timeout(SOON, stream.readable()).await.expect("an answer").expect("readable");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_wait_for_their_client_give_way_to_new_ones() {
    let pki = Pki::new();
    let answered = async |address: SocketAddr, from: &str| {
        let mut stream = opened(address, from, HEALTHY).await;
        assert!(one_answer(&mut stream).await.contains(" 200 "));
        stream
    };
    // Of each address, of each listener, and of all together: the oldest is closed.
    let limits = Limits { of_peer: 2, of_listener: 3, total: 4, ..Limits::default() };
    let site = Site::start_with(pki.access(""), limits, 0).await;
    let mut first = answered(site.address, "127.0.0.1").await;
    let mut other = answered(site.address, "127.0.0.2").await;
    let mut second = answered(site.address, "127.0.0.1").await;
    let mut third = answered(site.address, "127.0.0.1").await;
    assert_eq!(until_closed(&mut first).await, "", "the third of its address");
    let mut fourth = answered(site.address, "127.0.0.3").await;
    assert_eq!(until_closed(&mut other).await, "", "the fourth of the listener");
    let mut fifth = answered(site.second, "127.0.0.4").await;
    let mut sixth = answered(site.second, "127.0.0.5").await;
    assert_eq!(until_closed(&mut second).await, "", "the fifth of all");
    // The health address has a limit of its own.
    answered(site.health, "127.0.0.1").await;
    for stream in [&mut third, &mut fourth, &mut fifth, &mut sixth] {
        stream.write_all(HEALTHY).await.expect("sent");
        assert!(one_answer(stream).await.contains(" 200 "), "the others go on");
    }
    site.end().await;

    // Clients that do not read pages, or send nothing, keep no scrape out.
    let limits = Limits { of_listener: 4, ..Limits::default() };
    let site = Site::start_with(pki.access(""), limits, 1000).await;
    let mut slow = Vec::new();
    for request in [&b"GET /?per_page=500 HTTP/1.1\r\nhost: x\r\n\r\n"[..], b"", b"GET / HT"] {
        for _ in 0..4 {
            slow.push(opened(site.address, "127.0.0.1", request).await);
        }
        assert_eq!(site.get("/metrics", None).await.0, 200);
    }
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_hold_no_scrape_for_ever() {
    const ACCOUNTS: usize = 20_000;
    let pki = Pki::new();
    let scrape = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";
    let free = async |site: &Site| {
        eventually("the scrape's place is free again", SOON, async || {
            (site.get("/metrics", None).await.0 == 200).then_some(())
        })
        .await
    };
    let never = Duration::from_secs(3600);
    // Reads nothing. Only one concurrent scrape is allowed, and this one occupies it until it is
    // cut off.
    let site = Site::start_with(pki.access(""), Limits { slow: never, ..short() }, ACCOUNTS).await;
    let _stream = begun(site.address, "127.0.0.1", scrape).await;
    assert_eq!(site.get("/metrics", None).await.0, 503);
    free(&site).await;
    site.end().await;

    // Reads very slowly.
    let limits = Limits { answer: Duration::from_secs(6), stall: never, slow: never, ..Limits::default() };
    let site = Site::start_with(pki.access(""), limits, ACCOUNTS).await;
    let mut stream = begun(site.address, "127.0.0.1", scrape).await;
    assert_eq!(site.get("/metrics", None).await.0, 503);
    let trickle = tokio::spawn(async move {
        let mut bytes = [0; 512];
        while matches!(stream.read(&mut bytes).await, Ok(count) if count > 0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    free(&site).await;
    trickle.abort();
    site.end().await;

    // Uses HTTP/2, reads everything, but never enlarges the flow-control window.
    let site = Site::start_with(pki.access(TLS), limits, ACCOUNTS).await;
    let mut config = pki.tls(None);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let mut stream = connect(site.address, config).await.expect("TLS");
    stream
        .write_all(&[PREFACE, &headers_frame(1, b"\x82\x87\x44\x08/metrics\x41\x01x")].concat())
        .await
        .expect("sent");
    until_closed(&mut stream).await;
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_lose_their_scrapes_to_others_and_leave_a_reserve() {
    const ACCOUNTS: usize = 20_000;
    let pki = Pki::new();
    let scrape = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";
    let never = Duration::from_secs(3600);
    let unlimited = Limits { stall: never, answer: never, ..Limits::default() };
    // One address gets three of four places, which leaves one to others.
    let site = Site::start_for(pki.access(""), Limits { slow: never, ..unlimited }, ACCOUNTS, 4).await;
    let mut slow = Vec::new();
    for _ in 0..3 {
        slow.push(begun(site.address, "127.0.0.1", scrape).await);
    }
    assert_eq!(site.get("/metrics", None).await.0, 503);
    let mut other = begun(site.address, "127.0.0.2", b"GET /metrics HTTP/1.0\r\n\r\n").await;
    assert!(until_closed(&mut other).await.starts_with("HTTP/1.0 200"));
    drop(slow);
    site.end().await;

    // Without the limits on time: a scrape takes the place of one that waits for its client, which sees
    // that its answer is not complete.
    let site = Site::start_for(pki.access(""), unlimited, ACCOUNTS, 1).await;
    let mut slow = begun(site.address, "127.0.0.1", scrape).await;
    let answer = eventually("the place is free", SOON, async || {
        Some(site.get("/metrics", None).await).filter(|(status, _)| *status == 200)
    });
    assert!(answer.await.1.contains("account-19999"));
    let cut = until_closed(&mut slow).await;
    assert!(cut.starts_with("HTTP/1.1 200") && !cut.ends_with("\r\n0\r\n\r\n"), "{} bytes", cut.len());
    site.end().await;
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A frame with a whole request and these fields in HPACK.
fn headers_frame(stream: u32, fields: &[u8]) -> Vec<u8> {
    let length = u8::try_from(fields.len()).expect("short");
    [&[0, 0, length, 1, 5][..], &stream.to_be_bytes(), fields].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn rapid_resets_end_the_connection() {
    let pki = Pki::new();
    let site = Site::start(pki.access(TLS)).await;
    let mut config = pki.tls(None);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = connect(site.address, config).await.expect("TLS");
    let (mut reading, mut writing) = tokio::io::split(stream);
    // An endless series of requests that are reset at once.
    let attack = tokio::spawn(async move {
        let mut sent = writing.write_all(PREFACE).await;
        for i in 0..100_000_u32 {
            let id = 2 * i + 1;
            let reset = [&[0, 0, 4, 3, 0][..], &id.to_be_bytes(), &[0, 0, 0, 8]].concat();
            sent = writing.write_all(&[headers_frame(id, b"\x82\x87\x84\x41\x01x"), reset].concat()).await;
            if sent.is_err() {
                break;
            }
        }
        sent.is_err()
    });
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(SOON, reading.read_to_end(&mut bytes)).await.expect("the server closes");
    // GOAWAY (7) with ENHANCE_YOUR_CALM (11).
    let told = bytes.windows(17).any(|frame| frame[3] == 7 && frame[13..17] == [0, 0, 0, 11]);
    assert!(told, "{bytes:?}");
    drop(reading);
    assert!(attack.await.expect("no panic"), "the server read it all");
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_requests_get_plain_answers() {
    let pki = Pki::new();
    let site = Site::start(pki.access("")).await;
    let close = "host: x\r\nconnection: close\r\n\r\n";
    for (line, status) in [
        ("GET /-/healthy HTTP/1.1", 200),
        ("GET /-/healthy HTTP/1.0", 200),
        ("HEAD /-/healthy HTTP/1.1", 200),
        ("BREW /-/healthy HTTP/1.1", 405),
        ("TRACE / HTTP/1.1", 405),
        ("CONNECT example.com:443 HTTP/1.1", 405),
        ("OPTIONS * HTTP/1.1", 404),
        ("OPTIONS /metrics HTTP/1.1", 405),
        ("get /-/healthy HTTP/1.1", 405),
        ("GET http://elsewhere.example/-/healthy HTTP/1.1", 200),
        ("GET /../../etc/passwd HTTP/1.1", 404),
        ("GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1", 404),
        ("GET /metrics/../-/healthy HTTP/1.1", 404),
        ("GET //-/healthy HTTP/1.1", 404),
        ("GET /-/healthy%00 HTTP/1.1", 404),
        ("GET /-/healthy\0 HTTP/1.1", 400),
        ("GET  HTTP/1.1", 400),
        ("GET / HTTP/1.1\r\nx y: z", 400),
        ("GET / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2", 400),
        ("GET /-/healthy HTTP/1.1\r\nhost: x", 400),
        ("GET /-/healthy HTTP/1.1\r\nhost: y", 400),
        ("GET /-/healthy HTTP/1.0\r\nhost: y", 400),
        ("nonsense", 400),
    ] {
        let answer = raw(site.address, format!("{line}\r\n{close}").as_bytes()).await;
        assert!(
            answer.starts_with("HTTP/1.") && answer[9..].starts_with(&status.to_string()),
            "{line}: {answer}"
        );
        if line.starts_with("HEAD") {
            assert!(answer.ends_with("\r\n\r\n"), "no body: {answer}");
        }
    }
    for (head, status) in [
        ("GET /-/healthy HTTP/1.1\r\n\r\n", 400),
        ("GET http://x/-/healthy HTTP/1.1\r\n\r\n", 400),
        ("GET /-/healthy HTTP/1.1\r\nhost:\r\n\r\n", 400),
        ("GET /-/healthy HTTP/1.1\r\nhost: a/b\r\n\r\n", 400),
        ("GET /-/healthy HTTP/1.1\r\nhost: a b\r\n\r\n", 400),
        ("GET /-/healthy HTTP/1.1\r\nhost: me@x\r\n\r\n", 400),
        ("GET /-/healthy HTTP/1.1\r\nhost: [::1]:10219\r\nconnection: close\r\n\r\n", 200),
        ("GET /-/healthy HTTP/1.0\r\n\r\n", 200),
    ] {
        for address in [site.address, site.health] {
            let answer = raw(address, head.as_bytes()).await;
            assert!(answer.get(9..).is_some_and(|a| a.starts_with(&status.to_string())), "{head}: {answer}");
        }
    }
    // Headers that are too large, in one piece or in many.
    let larger = format!("GET / HTTP/1.1\r\nx: {}\r\n{close}", "a".repeat(40_000));
    let large = format!("GET / HTTP/1.1\r\nx: {}\r\n{close}", "a".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\n{}{close}", "a: b\r\n".repeat(2000));
    let path = format!("GET /{} HTTP/1.1\r\n{close}", "a".repeat(100_000));
    let heads = [("large", large), ("many", many), ("path", path)];
    for (what, request) in heads.into_iter().chain((0..20).map(|_| ("larger", larger.clone()))) {
        let (mut reading, mut writing) =
            TcpStream::connect(site.address).await.expect("a connection").into_split();
        // The server may close before it has read everything.
        let sent = tokio::spawn(async move { writing.write_all(request.as_bytes()).await.map(|()| writing) });
        let mut head = [0; 12];
        reading.read_exact(&mut head).await.expect("an answer");
        assert!(
            matches!(&head, b"HTTP/1.1 431" | b"HTTP/1.1 414"),
            "{what}: {}",
            String::from_utf8_lossy(&head)
        );
        let _ = sent.await.expect("no panic");
    }
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_body_is_read_and_nothing_can_be_written() {
    const MOST: usize = 64 << 20;
    let pki = Pki::new();
    let site = Site::start(pki.access("")).await;
    for head in ["content-length: 10000000000", "transfer-encoding: chunked"] {
        let (mut reading, mut writing) =
            TcpStream::connect(site.address).await.expect("a connection").into_split();
        writing
            .write_all(format!("POST /metrics HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n").as_bytes())
            .await
            .expect("sent");
        let pump = tokio::spawn(async move {
            let chunk = [&b"10000\r\n"[..], &[b'a'; 0x10000], b"\r\n"].concat();
            let mut sent = 0;
            while sent < MOST && writing.write_all(&chunk).await.is_ok() {
                sent += chunk.len();
            }
            sent
        });
        let answer = until_closed(&mut reading).await;
        assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
        let sent = pump.await.expect("no panic");
        assert!(sent < MOST, "{head}: {sent} bytes were read");
    }
    let client = crate::prometheus::http_client();
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        for path in [
            "/",
            "/metrics",
            "/probe?account=a",
            "/-/healthy",
            "/-/ready",
            "/-/reload",
            "/-/quit",
            "/api/v1/connections",
            "/x",
        ] {
            let answer = client
                .request(method.clone(), format!("http://{}{path}", site.address))
                .send()
                .await
                .expect("an answer");
            assert!(answer.status().is_client_error(), "{method} {path}: {}", answer.status());
        }
    }
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_waits_for_nobody_who_waits() {
    let pki = Pki::new();
    let site = Site::start(pki.access("")).await;
    let mut streams = Vec::new();
    for begun in [&b""[..], b"GET / HT", HEALTHY] {
        let mut stream = TcpStream::connect(site.address).await.expect("a connection");
        stream.write_all(begun).await.expect("sent");
        streams.push(stream);
    }
    one_answer(&mut streams[2]).await;
    let start = std::time::Instant::now();
    site.end().await;
    assert!(
        start.elapsed() < Limits::default().head,
        "it ended before their time was up: {:?}",
        start.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_scrapes_with_tls_certificate_and_password() {
    let pki = Pki::new();
    let client = pki.client(vec![dns("prometheus")]);
    pki.write("client.crt", &client.certificate);
    pki.write("client.key", &client.key);
    let auth = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n  \
                client_allowed_sans: [prometheus]\n";
    pki.write(
        "web.yml",
        &format!("{TLS}{auth}basic_auth_users: {{prometheus: \"{}\"}}\n", hash("sim-password", 4)),
    );
    let web = pki.path("web.yml").display().to_string();
    let (_demo, address, _log) = start_demo(&["--accounts", "3", "--web.config.file", &web]);
    let folder = pki.folder.path().display().to_string();
    let job = |name: &str, password: &str| {
        let tls = format!(
            "ca_file: {folder}/ca.crt, cert_file: {folder}/client.crt, key_file: {folder}/client.key"
        );
        format!(
            "  - job_name: {name}\n    scheme: https\n    tls_config: {{{tls}}}\n    basic_auth: \
             {{username: prometheus, password: {password}}}\n    static_configs: [{{targets: \
             [\"{address}\"]}}]\n"
        )
    };
    let prometheus =
        Prometheus::start_with(&(job("right", "sim-password") + &job("wrong", "sim-other"))).await;
    eventually("it is scraped", SOON, async || {
        let up = async |job: &str| {
            prometheus.query(&format!("up{{job=\"{job}\"}}")).await.first().map(|s| s["value"][1].clone())
        };
        let (right, wrong) = (up("right").await?, up("wrong").await?);
        (right == "1" && wrong == "0").then_some(())
    })
    .await;
    assert_eq!(prometheus.query("connection_info{job=\"right\"}").await.len(), 3);
}

#[test]
fn addresses_that_others_can_reach_are_warned_of() {
    let pki = Pki::new();
    let users = format!("basic_auth_users: {{alice: {HASH}}}\n");
    let verify = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n";
    let given = "  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca.crt\n";
    for (web, risk) in [
        (None, Some("open to other machines")),
        (Some(String::new()), Some("open to other machines")),
        (Some(TLS.to_owned()), Some("open to other machines")),
        (Some(format!("{TLS}{given}")), Some("open to other machines")),
        (Some(users.clone()), Some("passwords come over the network as plain text")),
        (Some(format!("{TLS}{users}")), None),
        (Some(format!("{TLS}{verify}")), None),
    ] {
        let access = web.as_ref().map_or_else(Arc::default, |web| pki.access(web));
        for (address, local) in
            [("127.0.0.1", true), ("::1", true), ("0.0.0.0", false), ("::", false), ("192.0.2.1", false)]
        {
            let found = access.risk(address.parse().expect("an address"));
            let expected = risk.filter(|_| !local);
            assert!(
                found.is_some() == expected.is_some()
                    && found.unwrap_or_default().contains(expected.unwrap_or_default()),
                "{web:?} {address}: {found:?}"
            );
        }
    }
}

#[test]
fn a_wrong_web_configuration_ends_the_start_and_the_check() {
    let pki = Pki::new();
    pki.write("config.yaml", "accounts: [{id: a, network: mastodon, token_env: HOME}]\n");
    let run = |arguments: &[&str]| {
        let config = pki.path("config.yaml").display().to_string();
        let web = pki.path("web.yml").display().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_token_exporter"));
        let output = command
            .args(arguments)
            .args(["--config.file", &config, "--web.config.file", &web])
            .output()
            .expect("the program");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    pki.write("web.yml", "rate_limt: {}\nbasic_auth_users: {jane: sim-password-of-jane}\n");
    for arguments in
        [&["--config.check"][..], &["--web.listen-address", "127.0.0.1:0", "--storage.path", "none"]]
    {
        let (code, said) = run(arguments);
        assert_eq!(code, Some(2), "{said}");
        assert!(
            said.contains("web.yml:1:1: rate_limt: unknown key")
                && said.contains("web.yml:2:26: basic_auth_users.jane: is not a bcrypt hash"),
            "{said}"
        );
        assert!(!said.contains("sim-password"), "{said}");
    }
    pki.write("web.yml", TLS);
    let (code, said) = run(&["--config.check"]);
    assert_eq!(code, Some(0), "{said}");
    // Both files are checked, even if one is wrong.
    pki.write("config.yaml", "accounts: [{id: a, network: mastadon, token_env: HOME}]\n");
    pki.write("web.yml", "rate_limt: {}\n");
    let (code, said) = run(&["--config.check"]);
    assert!(code == Some(2) && said.contains("rate_limt") && said.contains("mastadon"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_shows_no_password_no_hash_and_no_key() {
    let pki = Pki::new();
    let (right, wrong) = ("sim-right-password", "sim-wrong-password");
    let hash = hash(right, 4);
    let web = format!("{TLS}basic_auth_users: {{alice: \"{hash}\"}}\n");
    pki.write("web.yml", &web);
    let (demo, address, log) = start_demo(&[
        "--accounts",
        "1",
        "--log.level",
        "trace",
        "--web.config.file",
        &pki.path("web.yml").display().to_string(),
    ]);
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(pki.tls(None))
        .build()
        .expect("a client");
    let status = async |name: &str, password: &str| {
        let answer =
            client.get(format!("https://{address}/metrics")).basic_auth(name, Some(password)).send().await;
        answer.expect("an answer").status().as_u16()
    };
    assert_eq!(
        (status("alice", right).await, status("alice", wrong).await, status(wrong, right).await),
        (200, 401, 401)
    );
    // A file with errors in every place where a secret can be.
    let key = std::fs::read_to_string(pki.path("server.key")).expect("readable");
    let inline = key.replace('\n', "\\n");
    pki.write(
        "web.yml",
        &format!(
            "tls_server_config: {{cert: \"{inline}\", key: \"x{inline}\", client_auth_type: \
             {wrong}}}\nbasic_auth_users: {{alice: {wrong}, bob: {{{wrong}: x}}}}\n{right}: x\n"
        ),
    );
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(status("alice", right).await, 200);
    pki.write("web.yml", &web.replace("alice", "bob"));
    eventually("the sound file holds", SOON, async || (status("bob", right).await == 200).then_some(()))
        .await;
    drop(demo);
    let log = log.join().expect("the log");
    assert!(
        log.contains("web configuration not reloaded") && log.contains("web configuration reloaded"),
        "{log}"
    );
    let middle = key.lines().nth(1).expect("a line of the key");
    for secret in [right, wrong, &hash[7..], "c2ltL", middle] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}
