//! Real database servers for tests: each in a folder of its own, on loopback, as a user without rights.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use token_exporter::config::{Database, SqlAddress, SqlDriver, SqlServer, SqlSettings};
use token_exporter::inventory::SecretSource;
use token_exporter::model::Secret;

use crate::prometheus::{Process, eventually};

/// The password of the user `exporter`, with characters that a URL, a shell or SQL would read otherwise.
pub(crate) const PASSWORD: &str = "sim-p@ss:w/o?r#d%20 \"x";
/// `nobody`: servers do not run as root.
const NOBODY: u32 = 65534;

pub(crate) struct DatabaseServer {
    process: Process,
    command: Command,
    folder: tempfile::TempDir,
    driver: SqlDriver,
    pub(crate) port: u16,
}

impl Drop for DatabaseServer {
    fn drop(&mut self) {
        self.kill();
    }
}

impl DatabaseServer {
    pub(crate) async fn postgres() -> Self {
        let folder = folder();
        let data = folder.path().join("data");
        let data = data.to_str().expect("UTF-8");
        run(server_command(&postgres_program("initdb"))
            .args(["--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256", "--username=admin"])
            .args(["--encoding=UTF8", "--locale=C.UTF-8", "--pgdata", data]));
        let port = free_port();
        let mut command = server_command(&postgres_program("postgres"));
        command.args(["-D", data, "-p", &port.to_string(), "-k"]).arg(folder.path());
        for setting in ["listen_addresses=127.0.0.1", "fsync=off", "ssl=on"] {
            command.args(["-c", setting]);
        }
        for (setting, file) in [("ssl_cert_file", "server.pem"), ("ssl_key_file", "server.key")] {
            command.arg("-c").arg(format!("{setting}={}", folder.path().join(file).display()));
        }
        Self::start(command, folder, SqlDriver::Postgres, port).await
    }

    pub(crate) async fn mariadb() -> Self {
        let folder = folder();
        let data = folder.path().join("data");
        let option = |name: &str, path: &Path| format!("--{name}={}", path.display());
        run(server_command(Path::new("mariadb-install-db"))
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .arg(option("datadir", &data)));
        let port = free_port();
        let mut command = server_command(Path::new("mariadbd"));
        command.args(["--no-defaults", "--bind-address=127.0.0.1", "--innodb-flush-method=nosync"]);
        command.arg(format!("--port={port}")).arg(option("datadir", &data));
        for (name, file) in [("socket", "socket"), ("ssl-cert", "server.pem"), ("ssl-key", "server.key")] {
            command.arg(option(name, &folder.path().join(file)));
        }
        Self::start(command, folder, SqlDriver::Mysql, port).await
    }

    async fn start(mut command: Command, folder: tempfile::TempDir, driver: SqlDriver, port: u16) -> Self {
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        command.stdout(Stdio::null()).stderr(log);
        let process = Process(command.spawn().expect("a server; tests/run installs it"));
        let server = Self { process, command, folder, driver, port };
        server.answers().await;
        let quoted = PASSWORD.replace('\'', "''");
        server.execute(&match driver {
            SqlDriver::Postgres => {
                format!("CREATE ROLE exporter LOGIN PASSWORD '{quoted}'; CREATE DATABASE product")
            }
            SqlDriver::Mysql => format!(
                "CREATE DATABASE product; CREATE USER exporter@localhost IDENTIFIED BY '{quoted}'; \
                 GRANT SELECT, INSERT ON product.* TO exporter@localhost"
            ),
        });
        server
    }

    async fn answers(&self) {
        eventually("the server answers", Duration::from_secs(30), async || {
            self.client("SELECT 1").output().expect("a client").status.success().then_some(())
        })
        .await;
    }

    /// Starts the server after it was killed.
    pub(crate) async fn start_again(&mut self) {
        self.process = Process(self.command.spawn().expect("a server"));
        self.answers().await;
    }

    /// The server's own client, as an administrator.
    fn client(&self, sql: &str) -> Command {
        match self.driver {
            SqlDriver::Postgres => {
                let mut command = Command::new("psql");
                command.args(["--no-psqlrc", "--username=admin", "--set=ON_ERROR_STOP=1", "--quiet"]);
                let exists = sql.contains("CREATE DATABASE") || sql == "SELECT 1";
                command.arg(if exists { "--dbname=postgres" } else { "--dbname=product" });
                command.arg("--host").arg(self.folder.path()).args(["--port", &self.port.to_string()]);
                for statement in sql.split(';') {
                    command.args(["--command", statement]);
                }
                command
            }
            SqlDriver::Mysql => {
                let mut command = Command::new("mariadb");
                command.args(["--no-defaults", "--user=root", "--execute", sql]);
                command.arg(format!("--socket={}", self.folder.path().join("socket").display()));
                command
            }
        }
    }

    /// Runs statements as an administrator, split at semicolons.
    pub(crate) fn execute(&self, sql: &str) {
        run(&mut self.client(sql));
    }

    /// The certificate of the authority that signed the server's, which is for `localhost`.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// The place of the Unix socket, as it is configured.
    pub(crate) fn socket(&self) -> String {
        let path = match self.driver {
            SqlDriver::Postgres => self.folder.path().to_owned(),
            SqlDriver::Mysql => self.folder.path().join("socket"),
        };
        path.to_str().expect("UTF-8").to_owned()
    }

    pub(crate) fn kill(&mut self) {
        // PostgreSQL's parent process stops its children when it is told to quit at once.
        if let Some(pid) = rustix::process::Pid::from_raw(self.process.0.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        }
        if self.driver == SqlDriver::Mysql {
            let _ = self.process.0.kill();
        }
        let _ = self.process.0.wait();
    }

    /// The server in the form of the configuration.
    pub(crate) fn yaml(&self) -> String {
        let driver = if self.driver == SqlDriver::Postgres { "postgres" } else { "mysql" };
        let password = self.folder.path().join("password");
        std::fs::write(&password, PASSWORD).expect("written");
        std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).expect("permissions");
        format!(
            "driver: {driver}, host: 127.0.0.1, port: {}, database: product, user: exporter, password_file: \
             {password:?}",
            self.port
        )
    }

    pub(crate) fn settings(&self, query: &str) -> SqlSettings {
        SqlSettings {
            database: Database::Server(SqlServer {
                driver: self.driver,
                address: SqlAddress::Parts {
                    host: "127.0.0.1".to_owned(),
                    port: Some(self.port),
                    database: "product".to_owned(),
                    user: "exporter".to_owned(),
                    password: Some(SecretSource::Inline(Secret::new(PASSWORD))),
                },
                ca_file: None,
                plaintext: false,
            }),
            query: query.to_owned(),
            bytes: Vec::new(),
            timeout: Duration::from_secs(30),
            max_rows: 100_000,
            max_bytes: 64 << 20,
        }
    }
}

/// A folder of `nobody`, with a certificate for `localhost`, its key, and the authority behind it.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("permissions");
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority =
        CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let names = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = names.signed_by(&key, &authority).expect("a certificate");
    for (name, text) in [
        ("authority.pem", authority.pem()),
        ("server.pem", certificate.pem()),
        ("server.key", key.serialize_pem()),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        let mode = if name == "server.key" { 0o600 } else { 0o644 };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("permissions");
        give_away(&path);
    }
    give_away(folder.path());
    folder
}

fn as_root() -> bool {
    rustix::process::getuid().is_root()
}

fn give_away(path: &Path) {
    if as_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("given to nobody");
    }
}

fn server_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").env("LC_ALL", "C.UTF-8");
    if as_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn postgres_program(name: &str) -> PathBuf {
    let mut found: Vec<PathBuf> = glob::glob(&format!("/usr/lib/postgresql/*/bin/{name}"))
        .expect("a pattern")
        .filter_map(Result::ok)
        .collect();
    found.sort_unstable();
    found.pop().expect("PostgreSQL; tests/run installs it")
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}; tests/run installs it"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}
