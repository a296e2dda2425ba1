//! The real binary with accounts, token files and state: shared by the fault tests.
//!
//! The code is blocking, because a test that kills the process must know exactly which answers were
//! complete before that.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use token_exporter::network::NetworkId;
use token_exporter::simulator::fixture_token;

/// An upper limit, even on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(90);

/// A directory with a configuration, token files and state. The networks keep running while
/// exporters are restarted.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    /// The network's id of the first account.
    first: usize,
    /// How often each token was written.
    written: Vec<i64>,
    /// The last exported values, by account.
    seen: BTreeMap<String, Facts>,
}

/// An answer's values for one account.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd)]
pub(crate) struct Facts {
    /// How often its token had been written when it was probed, derived from its expiry time.
    pub(crate) written: i64,
    pub(crate) last_probe: i64,
    pub(crate) last_conclusive: i64,
    pub(crate) since: i64,
    pub(crate) verdict: Option<String>,
}

/// The tokens' results, in turn; each is conclusive after one probe.
const CASES: [(&str, &str); 3] =
    [("valid", "ok"), ("suspended", "account_suspended"), ("locked", "account_locked")];

impl World {
    /// Creates accounts at X with a token file each, and with so many labels that a scrape does not
    /// fit into a socket's buffer.
    pub(crate) fn new(networks: SocketAddr, first: usize, accounts: usize, labels: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut world = Self { folder, first, written: vec![0; accounts], seen: BTreeMap::new() };
        let labels: String = (0..labels).map(|i| format!("l{i}: \"{}\", ", "x".repeat(1000))).collect();
        let labels = format!("&labels {{{labels}}}");
        let mut yaml = format!(
            "global: {{probe_interval: 1s, probe_timeout: 30s}}\napps:\n  - {{id: app, network: x, client_id: key, base_url: \"http://{networks}/x\"}}\naccounts:\n"
        );
        for account in 0..accounts {
            let id = world.id(account);
            yaml += &format!(
                "  - {{id: account-{account}, network: x, token_file: tokens/{account}, external_id: \
                 \"{id}\", labels: {}}}\n",
                if account == 0 { &labels } else { "*labels" }
            );
        }
        std::fs::create_dir(world.path("tokens")).expect("a folder");
        std::fs::write(world.path("config.yaml"), yaml).expect("written");
        for account in 0..accounts {
            world.write_token(account);
        }
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The network's id of an account.
    fn id(&self, account: usize) -> String {
        format!("{}", 1_000_000 + self.first + account)
    }

    /// Writes the next token of an account. Both its result and its expiry time identify it.
    pub(crate) fn write_token(&mut self, account: usize) {
        self.written[account] += 1;
        let count = self.written[account];
        let (case, _) = CASES[usize::try_from(count).expect("small") % CASES.len()];
        let network = NetworkId::from_name("x").expect("a network");
        let token = fixture_token(network, case, &self.id(account));
        let text = format!(
            "{{\"access_token\": \"{token}\", \"expires_at\": {}, \"scope\": \"tweet.read users.read \
             tweet.write\"}}",
            END + count
        );
        let new = self.path("tokens/new");
        std::fs::write(&new, text).expect("written");
        std::fs::set_permissions(&new, PermissionsExt::from_mode(0o600)).expect("set");
        std::fs::rename(new, self.path(&format!("tokens/{account}"))).expect("put in place");
    }

    /// Checks an answer against all earlier ones and stores it. Returns its number of accounts.
    pub(crate) fn check(&mut self, answer: &str) -> usize {
        let facts = facts(answer);
        for (account, now) in &facts {
            let before = self.seen.get(account).cloned().unwrap_or_default();
            let text = format!("{account}\nshown before: {before:?}\nshown now:    {now:?}");
            assert!(now.written >= before.written, "a clock went back: {text}");
            assert!(
                now.last_probe >= before.last_probe && now.last_conclusive >= before.last_conclusive,
                "a probe was forgotten: {text}"
            );
            assert!(now.since >= before.since, "a state change went back: {text}");
            if now.written == before.written {
                assert_eq!(
                    (&now.verdict, now.since),
                    (&before.verdict, before.since),
                    "nothing new, and yet another verdict: {text}"
                );
            }
            let (_, reason) = CASES[usize::try_from(now.written).expect("a count") % CASES.len()];
            assert_eq!(
                now.verdict.as_deref(),
                Some(reason),
                "a verdict of another moment than its clock: {text}"
            );
        }
        let count = facts.len();
        self.seen.extend(facts);
        count
    }

    /// Checks that a scrape has everything that was ever exported.
    pub(crate) fn check_scrape(&mut self, answer: &str) -> usize {
        let facts = facts(answer);
        for account in self.seen.keys() {
            assert!(facts.contains_key(account), "{account} was shown and is forgotten");
        }
        self.check(answer)
    }

    /// The time of the last conclusive probe of each exported account.
    pub(crate) fn conclusive(&self) -> Vec<i64> {
        self.seen.values().map(|facts| facts.last_conclusive).collect()
    }

    /// Storage was removed on purpose: no state is expected.
    pub(crate) fn forget(&mut self) {
        self.seen.clear();
    }
}

/// The expiry time of the first token, minus one.
const END: i64 = 2_050_000_000;

/// The accounts for which an answer has verdict, expiry time and timestamps.
fn facts(answer: &str) -> BTreeMap<String, Facts> {
    let mut facts: BTreeMap<String, Facts> = BTreeMap::new();
    for line in answer.lines() {
        let Some((name, rest)) = line.split_once("{account=\"") else { continue };
        let Some((account, rest)) = rest.split_once('"') else { continue };
        let value = rest.rsplit(' ').next().and_then(|v| v.parse::<i64>().ok());
        let fact = facts.entry(account.to_owned()).or_default();
        match (name, value) {
            ("connection_valid", Some(_)) => {
                fact.verdict = rest
                    .split_once("reason=\"")
                    .and_then(|(_, r)| r.split_once('"'))
                    .map(|(r, _)| r.to_owned());
            }
            ("connection_state_change_timestamp_seconds", Some(at)) => fact.since = at,
            ("connection_last_probe_timestamp_seconds", Some(at)) => fact.last_probe = at,
            ("connection_last_conclusive_probe_timestamp_seconds", Some(at)) => fact.last_conclusive = at,
            ("token_clock_expiry_timestamp_seconds", Some(at)) => fact.written = at - END,
            _ => {}
        }
    }
    facts.retain(|_, fact| fact.verdict.is_some());
    facts
}

/// A running binary.
pub(crate) struct Exporter {
    child: Arc<Mutex<Child>>,
    pub(crate) pid: u32,
    log: Arc<Mutex<String>>,
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.kill();
        let _ = lock(&self.child).wait();
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Exporter {
    /// Starts the binary with the configuration and the state in a folder.
    pub(crate) fn start(folder: &Path, change: impl FnOnce(&mut Command)) -> Self {
        Self::start_through(&["env"], folder, change)
    }

    /// The same, started through another command.
    pub(crate) fn start_through(through: &[&str], folder: &Path, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(through[0]);
        command
            .args(&through[1..])
            .arg(env!("CARGO_BIN_EXE_token_exporter"))
            .args(["--web.listen-address", "127.0.0.1:0", "--config.file"])
            .arg(folder.join("config.yaml"))
            .arg("--storage.path")
            .arg(folder.join("data"))
            .args(["--config.auto-reload-interval", "1s"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().expect("the binary");
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, into) =
            (BufReader::new(child.stderr.take().expect("its standard error")).lines(), log.clone());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *lock(&into) += &(line + "\n");
            }
        });
        let pid = child.id();
        Self { child: Arc::new(Mutex::new(child)), pid, log }
    }

    /// Its standard error so far.
    pub(crate) fn log(&self) -> String {
        lock(&self.log).clone()
    }

    /// Waits until it listens and returns its address.
    pub(crate) fn listens(&self) -> Option<String> {
        let log = lock(&self.log);
        let (_, rest) = log.split_once("message=listening address=")?;
        rest.split_once('\n').map(|(address, _)| address.trim().to_owned())
    }

    /// A whole answer in OpenMetrics, or none.
    pub(crate) fn ask(&self, path: &str) -> Option<String> {
        let answer = self.get(path)?;
        // The last line shows that the answer is complete.
        answer.ends_with("# EOF\n").then_some(answer)
    }

    /// An answer with its headers, or none.
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        request(&self.listens()?, "GET", path)
    }

    pub(crate) fn kill(&self) {
        // It may have exited.
        let _ = lock(&self.child).kill();
    }

    /// Kills it from another thread after a delay.
    pub(crate) fn kill_after(&self, wait: Duration) -> std::thread::JoinHandle<()> {
        let child = self.child.clone();
        std::thread::spawn(move || {
            std::thread::sleep(wait);
            let _ = lock(&child).kill();
        })
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent =
            Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid)]).status().expect("a shell");
        assert!(sent.success(), "{name}: it has ended: {}", self.log());
    }

    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        lock(&self.child).try_wait().expect("a child")
    }

    /// Waits for its exit status.
    pub(crate) fn end(&self) -> ExitStatus {
        self.wait_for("it ends", || self.ended())
    }

    /// Waits until a value is available.
    pub(crate) fn wait_for<T>(&self, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = found() {
                return found;
            }
            assert!(start.elapsed() < LONG, "not within {LONG:?}: {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// An answer with its headers, or none if the connection broke.
pub(crate) fn request(address: &str, method: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(LONG)).ok()?;
    // HTTP/1.0: no chunks, the answer ends with the connection.
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nhost: test\r\naccept: \
         application/openmetrics-text;version=1.0.0\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
