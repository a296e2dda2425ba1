//! Lists of accounts over HTTP, read from real servers on loopback.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use token_exporter::config::{HttpAuthorization, HttpConnection, HttpSettings, OAuth2Settings};
use token_exporter::inventory::SecretSource;
use token_exporter::model::Secret;
use token_exporter::source::{Backoff, Failed, HttpAnswer, HttpSource};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use url::Url;

/// What a server answers to a request; none: it stays silent.
pub(crate) type Handler = dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync;

const PASSWORD: &str = "sim-password of \"two\" words";
pub(crate) const TOKEN: &str = "sim-token";
/// Long enough for every test; nothing waits for it.
pub(crate) const INTERVAL: Duration = Duration::from_secs(300);

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(answer: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self::with(None, Arc::new(answer)).await
    }

    pub(crate) async fn with(tls: Option<TlsAcceptor>, answer: Arc<Handler>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, answer, seen) = (tls.clone(), answer.clone(), seen.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &*answer, &seen).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, &*answer, &seen).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Self { address, requests, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests since the last call, in small letters but for their first line and values.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &Handler,
    seen: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut request = Vec::new();
    loop {
        stream.read_buf(&mut request).await.ok().filter(|read| *read > 0)?;
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            break;
        }
    }
    let request = String::from_utf8(request).unwrap();
    let answer = answer(&request);
    seen.lock().unwrap().push(request);
    let Some(answer) = answer else {
        // Until the client gives up.
        stream.read_to_end(&mut Vec::new()).await.ok()?;
        return None;
    };
    stream.write_all(&answer).await.ok()?;
    stream.shutdown().await.ok()
}

pub(crate) fn reply(status: u16, headers: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

const JSON: &str = "content-type: application/json; charset=utf-8";

pub(crate) fn json(body: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    Some(reply(200, &[JSON], body))
}

pub(crate) fn settings(url: &str) -> HttpSettings {
    HttpSettings {
        url: Url::parse(url).unwrap(),
        authorization: HttpAuthorization::None,
        connection: HttpConnection::default(),
    }
}

pub(crate) fn with_token(url: &str) -> HttpSettings {
    let credentials = SecretSource::Inline(Secret::new(TOKEN));
    let authorization = HttpAuthorization::Credentials { scheme: "Bearer".to_owned(), credentials };
    HttpSettings { authorization, ..settings(url) }
}

fn with_oauth2(server: &Server, path: &str, token: &str) -> HttpSettings {
    let oauth2 = OAuth2Settings {
        client_id: "i d".to_owned(),
        client_secret: SecretSource::Inline(Secret::new("sim-s:+")),
        token_url: Url::parse(&server.url(token)).unwrap(),
        scopes: vec!["read".to_owned(), "list".to_owned()],
        connection: HttpConnection::default(),
    };
    let authorization = HttpAuthorization::OAuth2(Box::new(oauth2));
    HttpSettings { authorization, ..settings(&server.url(path)) }
}

fn source(url: &str) -> HttpSource {
    HttpSource::new(settings(url), INTERVAL)
}

pub(crate) async fn pages(source: &mut HttpSource) -> Vec<String> {
    match source.read().await {
        Ok(HttpAnswer::Listed(listing)) => listing.pages.iter().map(|page| page.to_string()).collect(),
        Ok(HttpAnswer::Unchanged) => panic!("unchanged"),
        Err(failed) => panic!("{failed}"),
    }
}

/// The error, in which no secret may be.
pub(crate) async fn refused(source: &mut HttpSource) -> Failed {
    let Err(failed) = source.read().await else { panic!("accepted") };
    let shown = format!("{failed} {failed:?}");
    assert!(!shown.contains("sim-"), "{shown}");
    failed
}

/// The error of a source whose server always answers this.
async fn refused_answer(answer: Vec<u8>) -> Failed {
    let server = Server::start(move |_| Some(answer.clone())).await;
    refused(&mut HttpSource::new(with_token(&server.url("/?key=sim-in-the-query")), INTERVAL)).await
}

#[tokio::test]
async fn one_answer_and_what_is_asked() {
    for body in [
        r#"{"version": 1, "accounts": [{"id": "a"}], "credentials": [], "next": null}"#,
        r#"{"credentials": [], "next": ""}"#,
        r#"{"accounts": []}"#,
        r#" [{"id": "a"}]"#,
        "[]",
    ] {
        let server = Server::start(move |_| json(body)).await;
        let mut source = HttpSource::new(with_token(&server.url("/accounts?of=acme")), INTERVAL);
        assert_eq!(pages(&mut source).await, [body]);
        let requests = server.requests();
        let [request] = &requests[..] else { panic!("{requests:?}") };
        assert!(request.starts_with("GET /accounts?of=acme HTTP/1.1\r\n"), "{request}");
        for line in [
            "authorization: Bearer sim-token",
            "accept: application/json",
            "x-prometheus-refresh-interval-seconds: 300",
        ] {
            assert!(request.lines().any(|l| l == line), "{line}: {request}");
        }
        assert!(request.contains("user-agent: token_exporter/"), "{request}");
    }
}

#[tokio::test]
async fn pages_follow_each_other() {
    let server = Server::start(|request| {
        let (start, _) = request.split_once(" HTTP/1.1").unwrap();
        let host = request.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        match start {
            "GET /list" => json(r#"{"accounts": [], "next": "?page=2"}"#),
            "GET /list?page=2" => json(format!(r#"{{"accounts": [], "next": "http://{host}/more/3#x"}}"#)),
            "GET /more/3" => json(r#"{"accounts": [], "next": "/list/4"}"#),
            "GET /list/4" => json("[4]"),
            _ => Some(reply(404, &[], "")),
        }
    })
    .await;
    let found = pages(&mut HttpSource::new(with_token(&server.url("/list")), INTERVAL)).await;
    assert_eq!((found.len(), found[3].as_str()), (4, "[4]"));
    assert!(server.requests().iter().all(|request| request.contains("authorization: Bearer sim-token")));

    // No half list.
    let server = Server::start(|request| {
        let first = request.starts_with("GET /list ");
        if first { json(r#"{"accounts": [], "next": "2"}"#) } else { json(r#"{"accounts": [{"id": "#) }
    })
    .await;
    let failed = refused(&mut source(&server.url("/list"))).await;
    assert!(failed.to_string().starts_with("page 2: the JSON is damaged or not complete"), "{failed}");
    assert_eq!(failed.retry, Some(Duration::ZERO));
}

#[tokio::test]
async fn pages_stay_at_their_host_and_come_to_an_end() {
    let other = Server::start(|_| json("[]")).await;
    let address = other.address;
    for (next, expected) in [
        (format!("http://{address}/"), "next leads to another host"),
        (format!("//{address}/"), "next leads to another host"),
        ("https://evil.example/".to_owned(), "next leads to another host"),
        ("file:///etc/passwd".to_owned(), "next leads to another host"),
        ("http://[".to_owned(), "next is not a URL"),
        ("/list".to_owned(), "next leads back to an earlier page"),
        ("#again".to_owned(), "next leads back to an earlier page"),
    ] {
        let body = format!(r#"{{"accounts": [], "next": "{next}"}}"#);
        let failed = {
            let server = Server::start(move |_| json(&body)).await;
            refused(&mut HttpSource::new(with_token(&server.url("/list")), INTERVAL)).await
        };
        assert!(failed.to_string().contains(expected), "{next}: {failed}");
        assert_eq!(failed.retry, None, "{next}");
    }
    assert!(other.requests().is_empty());
    // Another host by its user name.
    let server = Server::start(|request| {
        let host = request.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        json(format!(r#"{{"accounts": [], "next": "http://sim-user:sim-pass@{host}/2"}}"#))
    })
    .await;
    let failed = refused(&mut source(&server.url("/"))).await;
    assert!(failed.to_string().contains("next leads to another host"), "{failed}");
    // Longer ways back, and no end at all.
    let server = Server::start(|request| {
        let back = request.starts_with("GET /b ");
        json(if back { r#"{"accounts": [], "next": "/a"}"# } else { r#"{"accounts": [], "next": "/b"}"# })
    })
    .await;
    let failed = refused(&mut source(&server.url("/a"))).await;
    assert_eq!(failed.to_string(), "page 2: next leads back to an earlier page");
}

#[tokio::test]
async fn an_unchanged_list_is_not_sent_again() {
    let tag = Arc::new(Mutex::new("\"one\"".to_owned()));
    let current = tag.clone();
    let server = Server::start(move |request| {
        let tag = current.lock().unwrap().clone();
        let header = format!("etag: {tag}");
        if request.contains(&format!("if-none-match: {tag}\r\n")) {
            return Some(reply(304, &[&header], ""));
        }
        Some(reply(200, &[&header, JSON], "[]"))
    })
    .await;
    let mut source = source(&server.url("/"));
    let mut unchanged = async || matches!(source.read().await, Ok(HttpAnswer::Unchanged));
    assert!(!unchanged().await && !unchanged().await, "it was not accepted");
    assert!(!server.requests().iter().any(|request| request.contains("if-none-match")));
    source.accepted();
    let mut read = async |accept: bool| {
        let answer = source.read().await.unwrap();
        if accept {
            source.accepted();
        }
        matches!(answer, HttpAnswer::Unchanged)
    };
    assert!(read(false).await && read(true).await && read(true).await);
    *tag.lock().unwrap() = "W/\"two\"".to_owned();
    assert!(!read(false).await && !read(false).await, "refused lists are read again");
    assert!(!read(true).await);
    assert!(read(false).await);

    // With several pages, the first tells nothing about the others.
    let server = Server::start(|request| {
        let next = if request.starts_with("GET /2") { "" } else { "/2" };
        Some(reply(200, &["etag: \"one\"", JSON], format!(r#"{{"accounts": [], "next": "{next}"}}"#)))
    })
    .await;
    let mut source = self::source(&server.url("/"));
    for _ in 0..2 {
        assert_eq!(pages(&mut source).await.len(), 2);
        source.accepted();
    }
    assert!(!server.requests().iter().any(|request| request.contains("if-none-match")));

    // A server that answers so to a request without a tag.
    let failed = refused_answer(reply(304, &[], "")).await;
    assert!(failed.to_string().starts_with("HTTP 304 Not Modified"), "{failed}");
}

#[tokio::test]
async fn what_is_no_list_is_an_error() {
    let lasting = None;
    let temporary = Some(Duration::ZERO);
    let other = "content-type: text/html";
    let kind = "the answer has another Content-Type than application/json";
    for (answer, expected, retry) in [
        (reply(401, &[JSON], r#"{"echo": "sim-token"}"#), "HTTP 401 Unauthorized", lasting),
        (reply(403, &[], ""), "HTTP 403 Forbidden", lasting),
        (reply(404, &[JSON], "[]"), "HTTP 404 Not Found", lasting),
        (reply(204, &[], ""), "HTTP 204 No Content", lasting),
        (reply(500, &[JSON], "[]"), "HTTP 500 Internal Server Error", temporary),
        (reply(503, &["retry-after: 7"], ""), "HTTP 503 Service Unavailable", Some(Duration::from_secs(7))),
        (reply(429, &["retry-after: 120"], ""), "HTTP 429 Too Many Requests", Some(Duration::from_secs(120))),
        (reply(429, &["retry-after: Mon, 01 Jan 2001 00:00:00 GMT"], ""), "HTTP 429", temporary),
        (reply(200, &[other], "[]"), kind, lasting),
        (reply(200, &[], "[]"), kind, lasting),
        (reply(200, &[JSON], ""), "the JSON is damaged", temporary),
        (reply(200, &[JSON], "<html>"), "the JSON is damaged", temporary),
        (reply(200, &[JSON], "[] []"), "the JSON is damaged", temporary),
        (reply(200, &[JSON], r#"[{"token": "sim-torn"#), "the JSON is damaged", temporary),
        (reply(200, &[JSON], b"[\"\xff\"]"), "not UTF-8", temporary),
        (reply(200, &[JSON], "{}"), "neither accounts nor credentials", lasting),
        (reply(200, &[JSON], "\"sim-text\""), "expected {\"accounts\"", lasting),
        (reply(200, &[JSON], r#"{"accounts": "sim-text"}"#), "line 1, column 23", lasting),
        (reply(200, &[JSON], r#"{"accounts": [], "sim-key": 1}"#), "expected {\"accounts\"", lasting),
        (reply(200, &[JSON], r#"{"accounts": [], "accounts": []}"#), "expected {\"accounts\"", lasting),
        (reply(200, &[JSON], r#"{"accounts": [], "version": 2}"#), "version is not 1", lasting),
    ] {
        let shown = String::from_utf8_lossy(&answer).into_owned();
        let failed = refused_answer(answer).await;
        assert!(failed.to_string().contains(expected), "{shown}: {failed}");
        assert_eq!(failed.retry, retry, "{shown}: {failed}");
    }
    // Cut in the middle of a body, which is JSON up to there.
    let cut = format!("HTTP/1.1 200 OK\r\n{JSON}\r\ncontent-length: 100\r\n\r\n[]");
    assert_eq!(refused_answer(cut.into_bytes()).await.retry, temporary);
    let cut = format!("HTTP/1.1 200 OK\r\n{JSON}\r\ntransfer-encoding: chunked\r\n\r\n2\r\n[]\r\n");
    assert_eq!(refused_answer(cut.into_bytes()).await.retry, temporary);
    assert_eq!(refused_answer(b"SSH-2.0-OpenSSH\r\n".to_vec()).await.retry, temporary);
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let failed = refused(&mut source(&format!("http://{gone}/"))).await;
    assert!(failed.to_string().contains("refused") && failed.retry == temporary, "{failed}");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let other = Server::start(|_| json("[]")).await;
    let location = format!("location: {}", other.url("/?sim-secret"));
    for status in [301, 302, 307, 308] {
        let failed = refused_answer(reply(status, &[&location], "")).await;
        assert!(failed.to_string().ends_with("redirects are not followed"), "{failed}");
        assert_eq!(failed.retry, None);
    }
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn a_slow_answer_ends_in_time() {
    // Silent from the beginning, and in the middle of a later page.
    let pages = |request: &str| {
        let first = request.starts_with("GET /pages ");
        if first { json(r#"{"accounts": [], "next": "/2"}"#) } else { None }
    };
    let server = Server::start(pages).await;
    for path in ["/", "/pages"] {
        let mut source = HttpSource::new(with_token(&server.url(path)), Duration::from_millis(300));
        let failed = refused(&mut source).await;
        assert!(failed.to_string().starts_with("no complete answer within"), "{failed}");
        assert_eq!(failed.retry, Some(Duration::ZERO));
    }
}

#[tokio::test]
async fn an_answer_has_a_largest_size() {
    let failed = refused_answer(reply(200, &[JSON], vec![b' '; (64 << 20) + 1])).await;
    assert_eq!(failed.to_string(), format!("the answer has more than {} bytes", 64 << 20));
    assert_eq!(failed.retry, None);
    // What counts is the size after decompression.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&[b' '; 1 << 17]).unwrap();
    let bomb = reply(200, &[JSON, "content-encoding: gzip"], bomb.finish().unwrap());
    let server = Server::start(move |_| Some(bomb.clone())).await;
    let failed = refused(&mut HttpSource::new(with_oauth2(&server, "/", "/token"), INTERVAL)).await;
    assert_eq!(failed.to_string(), "token_url: the answer has more than 65536 bytes");
    // Compression itself is welcome.
    let mut small = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    small.write_all(b"[1]").unwrap();
    let small = reply(200, &[JSON, "content-encoding: gzip"], small.finish().unwrap());
    let server = Server::start(move |_| Some(small.clone())).await;
    assert_eq!(pages(&mut source(&server.url("/"))).await, ["[1]"]);
}

#[tokio::test]
async fn credentials_are_read_again_for_each_refresh() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let server = Server::start(|request| {
        // jane: with the password.
        let right = "authorization: Basic amFuZTpzaW0tcGFzc3dvcmQgb2YgInR3byIgd29yZHM=\r\n";
        if request.contains(right) { json("[]") } else { Some(reply(401, &[], "")) }
    })
    .await;
    let password = SecretSource::File(file.clone());
    let authorization = HttpAuthorization::Basic { username: "jane".to_owned(), password };
    let mut source = HttpSource::new(HttpSettings { authorization, ..settings(&server.url("/")) }, INTERVAL);
    let failed = refused(&mut source).await;
    assert!(failed.to_string().ends_with("password: the file does not exist"), "{failed}");
    for (content, expected) in [
        ("", "empty"),
        ("sim-wrong", "HTTP 401 Unauthorized"),
        ("sim-two\nlines", "more than one line, or control characters"),
    ] {
        std::fs::write(&file, content).unwrap();
        let failed = refused(&mut source).await;
        assert!(failed.to_string().contains(expected), "{content}: {failed}");
        assert_eq!(failed.retry, None, "{content}");
    }
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    assert_eq!(pages(&mut source).await, ["[]"]);
    // What no header can hold.
    let mut settings = with_token(&server.url("/"));
    settings.authorization = HttpAuthorization::Credentials {
        scheme: "Bearer".to_owned(),
        credentials: SecretSource::Inline(Secret::new("sim-\u{7f}")),
    };
    assert_eq!(refused(&mut HttpSource::new(settings, INTERVAL)).await.retry, None);
}

#[tokio::test]
async fn client_credentials_of_oauth2() {
    let lifetime = Arc::new(Mutex::new(3600));
    let (seconds, issued) = (lifetime.clone(), Arc::new(Mutex::new(0)));
    let server = Server::start(move |request| {
        let mut issued = issued.lock().unwrap();
        if request.starts_with("POST /token ") {
            let right =
                ["authorization: Basic aSUyMGQ6c2ltLXMlM0ElMkI=\r\n", "grant_type=client_credentials"];
            assert!(right.iter().all(|part| request.contains(part)), "{request}");
            assert!(request.ends_with("&scope=read+list"), "{request}");
            *issued += 1;
            let life = *seconds.lock().unwrap();
            return json(format!(r#"{{"access_token": "sim-{issued}", "expires_in": {life}}}"#));
        }
        let right = format!("authorization: Bearer sim-{issued}\r\n");
        // The third token is revoked once it has been used.
        if !request.contains(&right) || (request.starts_with("GET /revoked") && *issued == 1) {
            return Some(reply(401, &[], ""));
        }
        json("[]")
    })
    .await;
    let asked = || server.requests().iter().filter(|request| request.starts_with("POST /token")).count();
    // Revoked: another attempt fetches another token.
    let mut source = HttpSource::new(with_oauth2(&server, "/revoked", "/token"), INTERVAL);
    let failed = refused(&mut source).await;
    assert_eq!((failed.to_string().as_str(), failed.retry), ("HTTP 401 Unauthorized", Some(Duration::ZERO)));
    for _ in 0..3 {
        assert_eq!(pages(&mut source).await, ["[]"]);
    }
    assert_eq!(asked(), 2, "a token is used for its lifetime");
    // Those that end soon are not kept.
    *lifetime.lock().unwrap() = 60;
    let mut source = HttpSource::new(with_oauth2(&server, "/", "/token"), INTERVAL);
    for _ in 0..2 {
        assert_eq!(pages(&mut source).await, ["[]"]);
    }
    assert_eq!(asked(), 2);

    for (answer, expected) in [
        (reply(401, &[JSON], r#"{"error": "sim-secret"}"#), "token_url: HTTP 401 Unauthorized"),
        (reply(200, &[JSON], r#"{"error": "sim-secret"}"#), "token_url: the answer has no access_token"),
        (reply(302, &["location: /"], ""), "token_url: HTTP 302 Found; redirects are not followed"),
    ] {
        let server = Server::start(move |_| Some(answer.clone())).await;
        let settings = with_oauth2(&server, "/", "/token");
        assert_eq!(refused(&mut HttpSource::new(settings, INTERVAL)).await.to_string(), expected);
    }
}

/// The example of docs/sources/http.md.
#[tokio::test]
async fn the_example_of_a_server_serves_a_list() {
    struct Process(std::process::Child);
    impl Drop for Process {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("accounts.json");
    let write = |count: u32| {
        let account = |i| serde_json::json!({"id": format!("a-{i}"), "network": "x", "token": "sim-a"});
        let accounts: Vec<_> = (0..count).map(account).collect();
        std::fs::write(&file, serde_json::to_string(&accounts).unwrap()).unwrap();
    };
    write(2);
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/accounts_server.py");
    let mut server = std::process::Command::new("python3")
        .args([example, file.to_str().unwrap(), "0"])
        .env("ACCOUNTS_TOKEN", TOKEN)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("python3 (tests/run installs it)");
    let mut url = String::new();
    let mut said = std::io::BufReader::new(server.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut said, &mut url).unwrap();
    let _server = Process(server);

    let failed = refused(&mut source(url.trim())).await;
    assert_eq!(failed.to_string(), "HTTP 401 Unauthorized");
    let mut source = HttpSource::new(with_token(url.trim()), INTERVAL);
    for count in [2, 2500, 0] {
        write(count);
        let pages = pages(&mut source).await;
        let pages: Vec<serde_json::Value> = pages.iter().map(|p| serde_json::from_str(p).unwrap()).collect();
        assert!(crate::source_schema::accepted(&pages).into_iter().all(|accepted| accepted), "{pages:?}");
        let accounts = pages.iter().flat_map(|page| page["accounts"].as_array().unwrap());
        let expected = (0..count).map(|i| format!("a-{i}"));
        assert!(accounts.map(|account| account["id"].as_str().unwrap().to_owned()).eq(expected));
        source.accepted();
        let unchanged = matches!(source.read().await, Ok(HttpAnswer::Unchanged));
        assert_eq!(unchanged, pages.len() == 1, "{count}");
    }
}

#[test]
fn attempts_of_a_refresh_end_before_the_next() {
    let temporary = Failed::temporary("down");
    for (interval, first) in [(1, 1), (10, 1), (60, 1), (300, 5), (3600, 60), (86_400, 60)] {
        let interval = Duration::from_secs(interval);
        let (mut backoff, mut elapsed, mut delays) = (Backoff::new(interval), Duration::ZERO, Vec::new());
        while let Some(delay) = backoff.next(&temporary, elapsed) {
            elapsed += delay;
            delays.push(delay);
        }
        assert!(elapsed < interval && delays.len() < 15, "{delays:?}");
        for (i, delay) in (0..).zip(&delays) {
            let most = Duration::from_secs(first) * 2_u32.pow(i);
            assert!(*delay <= most && *delay >= most.mul_f64(0.75), "{delays:?}");
        }
        assert_eq!(delays.is_empty(), interval == Duration::from_secs(1) && elapsed.is_zero());
    }
    // Retry-After counts if it is longer, and ends the attempts if it is too long.
    let asked = |seconds| Failed { retry: Some(Duration::from_secs(seconds)), ..temporary.clone() };
    let mut backoff = Backoff::new(INTERVAL);
    assert_eq!(backoff.next(&asked(100), Duration::ZERO), Some(Duration::from_secs(100)));
    assert_eq!(backoff.next(&asked(200), Duration::from_secs(100)), None);
    assert_eq!(backoff.next(&Failed::lasting("wrong password"), Duration::ZERO), None);
}
