//! Deployment: the systemd unit, the image, and the licences of its dependencies.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_token_exporter");

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(project(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// A tool's output; none, with a message, if it is not installed.
pub(crate) fn tool(command: &mut Command) -> Option<Output> {
    match command.output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // Bypasses the capture of the test's output, so that the message is visible.
            let _ =
                writeln!(std::io::stderr(), "skipped: {} is not installed", command.get_program().display());
            None
        }
        Err(error) => panic!("{}: {error}", command.get_program().display()),
    }
}

/// The unit with this build's program instead of the installed one.
fn unit() -> (tempfile::TempDir, PathBuf) {
    let text = read("deploy/systemd/token_exporter.service");
    let installed = "ExecStart=/usr/local/bin/token_exporter ";
    assert!(text.contains(installed));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token_exporter.service");
    std::fs::write(&path, text.replace(installed, &format!("ExecStart={PROGRAM} "))).expect("written");
    (folder, path)
}

#[test]
fn systemd_takes_the_unit_without_a_word() {
    let (_folder, path) = unit();
    let Some(output) = tool(Command::new("systemd-analyze").arg("verify").arg(&path)) else { return };
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The unit of digests, whose timer starts it.
#[test]
fn the_timer_sends_digests_every_hour() {
    let service = read("deploy/systemd/token_exporter-digest.service");
    let timer = read("deploy/systemd/token_exporter-digest.timer");
    let line = |text: &str, key: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        found.trim_start_matches('=').to_owned()
    };
    assert_eq!(line(&service, "Type"), "oneshot");
    assert_eq!(line(&timer, "OnCalendar"), "hourly");
    // Units that share a state directory must share a user, which dynamic users do not.
    let directory = line(&service, "StateDirectory");
    assert_ne!(directory, line(&read("deploy/systemd/token_exporter.service"), "StateDirectory"));
    let command = line(&service, "ExecStart");
    assert!(command.ends_with(&format!("--storage.path=%S/{directory}")), "{command}");
    let folder = tempfile::tempdir().expect("a folder");
    let installed = "ExecStart=/usr/local/bin/token_exporter ";
    assert!(service.contains(installed));
    let service = service.replace(installed, &format!("ExecStart={PROGRAM} "));
    let files = [("token_exporter-digest.service", service), ("token_exporter-digest.timer", timer)];
    let paths = files.map(|(name, text)| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    });
    let Some(output) = tool(Command::new("systemd-analyze").arg("verify").args(&paths)) else { return };
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let security = ["security", "--offline=true", "--no-pager"];
    let Some(output) = tool(Command::new("systemd-analyze").args(security).arg(&paths[0])) else { return };
    let text = String::from_utf8_lossy(&output.stdout);
    let level =
        text.lines().find_map(|line| line.split_once(".service: ")?.1.split(' ').next()?.parse::<f64>().ok());
    assert!(level.is_some_and(|level| level <= 1.5), "{level:?}: {text}");
}

#[test]
fn the_unit_leaves_little_to_attack() {
    let (_folder, path) = unit();
    let Some(output) =
        tool(Command::new("systemd-analyze").args(["security", "--offline=true", "--no-pager"]).arg(&path))
    else {
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let level =
        text.lines().find_map(|line| line.split_once(".service: ")?.1.split(' ').next()?.parse::<f64>().ok());
    // Of 10; the rest is network access, which the program needs.
    assert!(level.is_some_and(|level| level <= 1.5), "{level:?}: {text}");
}

/// The flags in the unit and the image exist.
#[test]
fn what_is_installed_is_called_with_flags_that_exist() {
    let unit = read("deploy/systemd/token_exporter.service");
    let image = read("deploy/Dockerfile");
    let flags: BTreeSet<&str> = [&unit, &image]
        .into_iter()
        .flat_map(|text| text.lines())
        .filter(|line| line.starts_with("ExecStart=") || line.starts_with("CMD "))
        .flat_map(|line| {
            line.split(|c: char| c.is_whitespace() || c == '"')
                .filter_map(|word| word.split_once('=').map(|(flag, _)| flag))
        })
        .filter(|flag| flag.starts_with("--"))
        .collect();
    assert!(flags.len() >= 2, "{flags:?}");
    let help = Command::new(PROGRAM).args(["serve", "--help"]).output().expect("the program");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for flag in flags {
        assert!(help.contains(flag), "{flag} is no flag of the program");
    }
    let digest = read("deploy/systemd/token_exporter-digest.service");
    let help = Command::new(PROGRAM).args(["digest", "--help"]).output().expect("the program");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let command = digest.lines().find(|line| line.starts_with("ExecStart=")).expect("a command");
    let flags: Vec<&str> = command.split([' ', '=']).filter(|word| word.starts_with("--")).collect();
    assert_eq!(flags.len(), 3, "{flags:?}");
    for flag in flags {
        assert!(help.contains(flag), "{flag} is no flag of digest");
    }
}

/// All files under a directory, as one text.
fn all_of(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries
        .map(
            |path| {
                if path.is_dir() { all_of(&path) } else { std::fs::read_to_string(path).unwrap_or_default() }
            },
        )
        .collect()
}

#[test]
fn the_operators_guide_speaks_of_what_is_there() {
    let guide = read("docs/operations.md");
    let words: BTreeSet<&str> = guide
        .split(|c: char| !c.is_ascii_alphanumeric() && !"_-.".contains(c))
        .map(|w| w.trim_end_matches('.'))
        .collect();
    let help = Command::new(PROGRAM).args(["serve", "--help"]).output().expect("the program");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let ours = ["--config.", "--web.", "--health.", "--storage.", "--log.", "--shard", "--total-shards"];
    let flags: Vec<&&str> =
        words.iter().filter(|word| ours.iter().any(|start| word.starts_with(start))).collect();
    assert!(flags.len() >= 8, "{flags:?}");
    for flag in flags {
        assert!(help.contains(*flag), "{flag} is no flag of the program");
    }
    let metrics = read("docs/metrics.md");
    let named = words.iter().filter(|w| {
        !w.contains(['-', '.']) && (w.starts_with("token_exporter_") || w.starts_with("connection_"))
    });
    for metric in named {
        assert!(metrics.contains(&format!("`{metric}`")), "{metric} is no metric");
    }
    let sources = all_of(&project("src"));
    let messages = guide
        .split("\n| message | means |\n")
        .nth(1)
        .expect("the table of messages")
        .lines()
        .skip(1)
        .map_while(|l| l.split('|').nth(1));
    let messages: Vec<&str> = messages.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(messages.len() > 5, "{messages:?}");
    for message in messages {
        assert!(sources.contains(&format!("\"{message}")), "nothing logs {message:?}");
    }
    let alerts = words.iter().filter(|w| {
        w.starts_with("TokenExporter") || (w.starts_with("Connection") && w.len() > "Connections".len())
    });
    for alert in alerts {
        assert!(project(&format!("docs/runbooks/{alert}.md")).is_file(), "{alert} is no alert");
    }
}

#[test]
fn the_image_holds_the_program_alone() {
    let text = read("deploy/Dockerfile").replace("\\\n", "");
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let last = lines.iter().rposition(|line| line.starts_with("FROM ")).expect("a stage");
    assert_eq!(lines[last], "FROM scratch", "no shell, no package");
    let (build, image) = lines.split_at(last);
    let of = |name: &str| {
        image.iter().filter_map(|line| line.strip_prefix(name)).map(str::trim).collect::<Vec<_>>()
    };
    assert!(
        of("USER").iter().all(|user| user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)))
            && of("USER").len() == 1
    );
    assert!(of("RUN").is_empty());
    for call in [of("ENTRYPOINT"), of("CMD"), of("HEALTHCHECK")].concat() {
        assert!(call.contains('[') && !call.contains("/bin/"), "there is no shell: {call}");
    }
    assert!(of("HEALTHCHECK")[0].ends_with(r#"["/token_exporter", "healthcheck"]"#));
    // The toolchain is at least as new as the manifest requires.
    let version = |text: &str| -> Vec<u32> { text.split('.').map_while(|n| n.parse().ok()).collect() };
    let rust = build
        .iter()
        .find_map(|line| line.strip_prefix("FROM rust:")?.split('-').next())
        .expect("a toolchain");
    assert!(version(rust) >= version(env!("CARGO_PKG_RUST_VERSION")), "{rust}");
    // Copied files exist and are not excluded from the build.
    let context: Vec<String> = read("deploy/Dockerfile.dockerignore")
        .lines()
        .filter_map(|l| Some(l.strip_prefix('!')?.to_owned()))
        .collect();
    for copied in build.iter().filter_map(|line| line.strip_prefix("COPY ")) {
        let (sources, _target) = copied.rsplit_once(' ').expect("sources and a target");
        for source in sources.split(' ') {
            assert!(project(source).exists(), "{source} is not there");
            assert!(context.iter().any(|known| known == source), "{source} is kept from the build");
        }
    }
}

#[test]
fn hadolint_has_nothing_to_say() {
    let Some(output) = tool(Command::new("hadolint").arg(project("deploy/Dockerfile"))) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Answers one request with these bytes. Returns the URL.
fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a request");
        let mut lines = BufReader::new(stream.try_clone().expect("a stream")).lines();
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        // The client may have closed the connection.
        let _ = stream.write_all(answer.as_bytes());
    });
    format!("http://{address}/-/healthy")
}

#[test]
fn healthcheck_tells_by_its_exit_code() {
    let ask = |url: &str| {
        let output = Command::new(PROGRAM).args(["healthcheck", url]).output().expect("the program");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(ask(&answering("HTTP/1.1 200 OK\r\n\r\nHealthy")), (Some(0), String::new()));
    for answer in [
        "HTTP/1.1 503 Service Unavailable\r\n\r\n",
        "HTTP/1.1 401 Unauthorized\r\n\r\n",
        "200\r\n",
        "",
        "\r\n",
    ] {
        let (code, said) = ask(&answering(answer));
        assert_eq!(code, Some(1), "{answer:?}");
        assert!(said.starts_with("http://127.0.0.1:"), "{said}");
    }
    // Nothing listens there any more.
    let closed = TcpListener::bind("127.0.0.1:0").expect("loopback").local_addr().expect("an address");
    assert_eq!(ask(&format!("http://{closed}/")).0, Some(1));
    assert!(ask("https://127.0.0.1/").1.contains("--health.listen-address"));
}

#[test]
fn healthcheck_finds_the_program_healthy() {
    let (demo, address, _log) = crate::prometheus::start_demo(&[]);
    let url = format!("http://{address}/-/healthy");
    // On a busy machine a health check may time out.
    let healthy =
        || Command::new(PROGRAM).args(["healthcheck", &url]).output().expect("the program").status.success();
    assert!((0..20).any(|_| healthy()));
    drop(demo);
}

/// Whether these licences satisfy an SPDX licence expression.
fn permitted(expression: &str, allowed: &BTreeSet<String>) -> bool {
    /// `OR` binds weaker than `AND`, and both weaker than brackets.
    fn any<'t>(
        words: &mut std::iter::Peekable<impl Iterator<Item = &'t str>>,
        allowed: &BTreeSet<String>,
    ) -> bool {
        let mut met = all(words, allowed);
        while words.next_if(|word| *word == "OR").is_some() {
            met |= all(words, allowed);
        }
        met
    }
    fn all<'t>(
        words: &mut std::iter::Peekable<impl Iterator<Item = &'t str>>,
        allowed: &BTreeSet<String>,
    ) -> bool {
        let mut met = true;
        loop {
            met &= match words.next() {
                Some("(") => {
                    let inner = any(words, allowed);
                    words.next_if(|word| *word == ")").is_some() && inner
                }
                Some(name) => {
                    // A licence with an exception permits at least as much as the licence alone.
                    if words.next_if(|word| *word == "WITH").is_some() {
                        words.next();
                    }
                    allowed.contains(name)
                }
                None => false,
            };
            if words.next_if(|word| *word == "AND").is_none() {
                return met;
            }
        }
    }
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    any(&mut spaced.split_whitespace().peekable(), allowed)
}

/// The quoted texts in a list of `deny.toml`, without comments.
fn listed(text: &str, list: &str) -> Vec<String> {
    let start = text.find(&format!("\n{list} = [")).unwrap_or_else(|| panic!("deny.toml has no {list}"));
    let lines = text[start..]
        .lines()
        .skip(2)
        .take_while(|line| *line != "]")
        .filter(|line| !line.trim().starts_with('#'));
    lines.map(|line| line.split('"').nth(1).expect("a quoted text").to_owned()).collect()
}

/// A quick part of `cargo deny`; `make deny` runs all of it.
#[test]
fn what_is_shipped_may_be_shipped() {
    let deny = read("deny.toml");
    let allowed: BTreeSet<String> = listed(&deny, "allow").into_iter().collect();
    let banned = listed(&deny, "deny");
    assert!(allowed.contains("MIT") && banned.contains(&"openssl-sys".to_owned()));
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let metadata = Command::new(cargo)
        .args([
            "metadata",
            "--locked",
            "--offline",
            "--format-version=1",
            "--filter-platform=x86_64-unknown-linux-gnu",
            "--manifest-path",
        ])
        .arg(project("Cargo.toml"))
        .output()
        .expect("cargo");
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() > 50, "{}", packages.len());
    let mut wrong = Vec::new();
    for package in packages {
        let (name, licence) =
            (package["name"].as_str().unwrap_or_default(), package["license"].as_str().unwrap_or_default());
        if !permitted(licence, &allowed) {
            wrong.push(format!("{name}: {licence:?} is not allowed"));
        }
        if banned.iter().any(|b| b == name) {
            wrong.push(format!("{name} is banned"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let mit = BTreeSet::from(["MIT".to_owned(), "ISC".to_owned()]);
    for (expression, met) in [
        ("MIT", true),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("(GPL-3.0 OR MIT) AND ISC", true),
        ("GPL-3.0 OR ISC AND Zlib", false),
        ("GPL-2.0 WITH Classpath-exception-2.0 OR MIT", true),
        ("", false),
    ] {
        assert_eq!(permitted(expression, &mit), met, "{expression}");
    }
}
