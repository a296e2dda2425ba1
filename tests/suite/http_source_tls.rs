//! Settings of lists over HTTP, certificates and proxies.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use token_exporter::config::{HttpAuthorization, HttpConnection, HttpSettings, SourceKind, load};
use token_exporter::inventory::SecretSource;
use token_exporter::model::Secret;
use token_exporter::source::{AskedSource, HttpSource, Reply};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use url::Url;

use crate::http_source::{INTERVAL, Server, TOKEN, json, pages, refused, settings, with_token};

/// What is said about a source's settings, and the settings.
fn configured(http: &str) -> Result<HttpSettings, String> {
    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("main.yaml");
    for name in ["secret", "ca.crt", "own.crt", "own.key"] {
        std::fs::write(folder.path().join(name), "sim-secret").unwrap();
    }
    std::fs::write(&main, format!("sources: [{{id: product, http: {{{http}}}}}]\n")).unwrap();
    match load(&[main]) {
        Ok(config) => match &config.sources[0].kind {
            SourceKind::Http(settings) => Ok(settings.clone()),
            other => panic!("{other:?}"),
        },
        Err(problems) => Err(problems.to_string()),
    }
}

#[test]
fn settings_are_those_of_prometheus() {
    let url = "url: 'https://app.example.com/accounts?a=b'";
    let plain = configured(url).unwrap();
    assert_eq!(plain, settings("https://app.example.com/accounts?a=b"));
    let with = |rest: &str| configured(&format!("{url}, {rest}"));
    let found = with("authorization: {credentials_file: secret}").unwrap().authorization;
    let HttpAuthorization::Credentials { scheme, credentials: SecretSource::File(file) } = found else {
        panic!("{found:?}")
    };
    assert!(scheme == "Bearer" && file.is_absolute() && file.ends_with("secret"));
    let found = with("authorization: {type: Token, credentials_command: [cat, secret]}").unwrap();
    assert!(
        matches!(found.authorization, HttpAuthorization::Credentials { scheme, .. } if scheme == "Token")
    );
    let found = with("basic_auth: {username: jane, password: sim-password}").unwrap().authorization;
    assert!(matches!(found, HttpAuthorization::Basic { username, .. } if username == "jane"));
    let tls = "tls_config: {ca_file: ca.crt, cert_file: own.crt, key_file: own.key}, proxy_url: \
               'http://proxy:3128'";
    let oauth2 = format!(
        "oauth2: {{client_id: key, client_secret_file: secret, token_url: 'https://id.example.com/token', \
         scopes: [a, b], {tls}}}"
    );
    let found = with(&format!("{tls}, {oauth2}")).unwrap();
    assert!(found.connection.ca_file.is_some() && found.connection.identity.is_some());
    assert_eq!(found.connection.proxy_url, Url::parse("http://proxy:3128").ok());
    let HttpAuthorization::OAuth2(oauth2) = found.authorization else { panic!() };
    assert_eq!((oauth2.scopes.len(), &oauth2.connection), (2, &found.connection));
    // Plain http and private addresses.
    for address in ["http://127.0.0.1:1/", "http://localhost/", "https://10.0.0.1/"] {
        assert!(configured(&format!("url: '{address}'")).is_ok(), "{address}");
    }

    for (rest, expected) in [
        ("authorization: {}", "authorization: names no secret: expected one of credentials_file"),
        ("authorization: {credentials_file: secret, credentials: sim-a}", "only one of credentials_file"),
        ("authorization: {type: Basic, credentials: sim-a}", "basic_auth with username and password"),
        ("authorization: {type: 'a b', credentials: sim-a}", "is no type of credentials"),
        ("basic_auth: {password: sim-a}", "username is missing"),
        ("basic_auth: {username: 'a:b', password: sim-a}", "holds a colon"),
        ("basic_auth: {username: a}", "names no secret: expected one of password_file"),
        ("basic_auth: {username: a, password: b}, authorization: {credentials: sim-a}", "only one of author"),
        (
            "oauth2: {client_id: a, token_url: 'https://id.example.com'}",
            "names no secret: expected one of client",
        ),
        ("oauth2: {client_id: a, client_secret: sim-b, token_url: 'http://id.example.com'}", "not encrypted"),
        ("tls_config: {cert_file: own.crt}", "cert_file and key_file belong together"),
        ("tls_config: {insecure_skip_verify: true}", "unknown key"),
        ("tls_config: {ca_file: .}", "is not a file"),
        ("proxy_url: 'http://sim-user:sim-password@proxy'", "holds a user name or password"),
        ("follow_redirects: true", "unknown key"),
    ] {
        let problems = with(rest).unwrap_err();
        assert!(problems.contains(expected), "{rest}: {problems}");
        assert!(!problems.contains("sim-"), "{rest}: {problems}");
    }
    for (http, expected) in [
        ("authorization: {credentials: sim-a}", "url is missing"),
        ("url: 'http://app.example.com/'", "not encrypted"),
        ("url: 'http://10.0.0.1/'", "not encrypted"),
        ("url: 'https://sim-user:sim-password@app.example.com/'", "holds a user name or password"),
        ("url: 'http://localhost/', proxy_url: 'http://proxy:3128'", "a proxy can only be used for https"),
    ] {
        let problems = configured(http).unwrap_err();
        assert!(problems.contains(expected) && !problems.contains("sim-"), "{http}: {problems}");
    }
}

/// A list that was not accepted, the accepted one again, and once more the other.
#[tokio::test]
async fn a_list_that_was_not_accepted_is_never_unchanged() {
    let body = Arc::new(Mutex::new("[1]"));
    let served = body.clone();
    let server = Server::start(move |_| json(*served.lock().unwrap())).await;
    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("main.yaml");
    let text = format!("sources: [{{id: product, http: {{url: '{}'}}}}]\n", server.url("/"));
    std::fs::write(&main, text).unwrap();
    let mut source = AskedSource::new(&load(&[main]).unwrap().sources[0]).unwrap();
    for (list, accept, unchanged) in [
        ("[1]", true, false),
        ("[2]", false, false),
        ("[1]", true, true),
        ("[2]", true, false),
        ("[2]", true, true),
    ] {
        *body.lock().unwrap() = list;
        let reply = source.ask().await.unwrap();
        assert_eq!(matches!(reply, Reply::Unchanged), unchanged, "{list}");
        if accept {
            source.accepted();
        }
    }
}

/// A certificate for 127.0.0.1 and its key in a folder, which is its own authority.
fn certificate(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
    std::fs::write(&certificate, own.cert.pem()).unwrap();
    std::fs::write(&key, own.signing_key.serialize_pem()).unwrap();
    (certificate, key)
}

/// A server with a certificate, and which clients it accepts if not all.
fn acceptor((certificate, key): &(PathBuf, PathBuf), clients: Option<&Path>) -> TlsAcceptor {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let chain = |path: &Path| Secret::new(std::fs::read_to_string(path).unwrap()).certificates().unwrap();
    let builder = match clients {
        None => ServerConfig::builder().with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            roots.add(chain(path).remove(0)).unwrap();
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
            ServerConfig::builder().with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    TlsAcceptor::from(Arc::new(builder.with_single_cert(chain(certificate), key).unwrap()))
}

fn https(server: &Server, connection: HttpConnection) -> HttpSource {
    let url = format!("https://{}/", server.address);
    HttpSource::new(HttpSettings { connection, ..with_token(&url) }, INTERVAL)
}

#[tokio::test]
async fn certificates_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let served = certificate(folder.path(), "server");
    let server = Server::with(Some(acceptor(&served, None)), Arc::new(|_: &str| json("[]"))).await;
    let trusting =
        |path: &Path| HttpConnection { ca_file: Some(path.to_owned()), ..HttpConnection::default() };
    // Those of the system do not know it, and another authority neither.
    let (other, _) = certificate(folder.path(), "other");
    for connection in [HttpConnection::default(), trusting(&other)] {
        let failed = refused(&mut https(&server, connection)).await;
        assert!(failed.to_string().to_lowercase().contains("certificate"), "{failed}");
    }
    assert!(server.requests().is_empty());
    // The file is read for each refresh.
    let mut source = https(&server, trusting(&folder.path().join("ca.crt")));
    let failed = refused(&mut source).await;
    assert!(failed.to_string().ends_with("ca.crt: the file does not exist"), "{failed}");
    std::fs::write(folder.path().join("ca.crt"), "sim-nothing").unwrap();
    let failed = refused(&mut source).await;
    assert_eq!(failed.to_string(), "ca_file holds no certificate, or a damaged one");
    std::fs::copy(&served.0, folder.path().join("ca.crt")).unwrap();
    assert_eq!(pages(&mut source).await, ["[]"]);
    // A server without TLS.
    let plain = Server::start(|_| json("[]")).await;
    assert!(refused(&mut https(&plain, trusting(&served.0))).await.retry.is_some());
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let served = certificate(folder.path(), "server");
    let client = certificate(folder.path(), "client");
    let tls = acceptor(&served, Some(&client.0));
    let server = Server::with(Some(tls), Arc::new(|_: &str| json("[]"))).await;
    let connection = |identity| HttpConnection { ca_file: Some(served.0.clone()), identity, proxy_url: None };
    assert_eq!(pages(&mut https(&server, connection(Some(client.clone())))).await, ["[]"]);
    refused(&mut https(&server, connection(None))).await;
    refused(&mut https(&server, connection(Some(served.clone())))).await;
    for (identity, expected) in [
        ((client.0.clone(), served.1.clone()), "TLS or proxy: "),
        ((client.0.clone(), client.0.clone()), "cert_file holds no certificate, or key_file no key"),
        ((client.0.clone(), folder.path().join("none")), "none: the file does not exist"),
    ] {
        let failed = refused(&mut https(&server, connection(Some(identity)))).await;
        assert!(failed.to_string().contains(expected) && failed.retry.is_none(), "{failed}");
    }
}

#[tokio::test]
async fn a_proxy_sees_no_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let served = certificate(folder.path(), "server");
    let server = Server::with(Some(acceptor(&served, None)), Arc::new(|_: &str| json("[]"))).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy_url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let proxy = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            client.read_buf(&mut request).await.unwrap();
        }
        let request = String::from_utf8(request).unwrap();
        let target = request.split(' ').nth(1).unwrap();
        let mut target = TcpStream::connect(target).await.unwrap();
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut client, &mut target).await;
        request
    });
    let connection =
        HttpConnection { ca_file: Some(served.0), identity: None, proxy_url: Some(proxy_url.clone()) };
    assert_eq!(pages(&mut https(&server, connection.clone())).await, ["[]"]);
    let request = proxy.await.unwrap();
    assert!(request.starts_with(&format!("CONNECT {} ", server.address)), "{request}");
    assert!(!request.contains(TOKEN), "{request}");
    // The proxy has ended.
    assert!(refused(&mut https(&server, connection)).await.retry.is_some());
}
