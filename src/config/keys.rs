//! The keys that the configuration may hold.

pub(super) const MAIN: &[&str] = &[
    "global",
    "apps",
    "credentials",
    "accounts",
    "account_files",
    "sources",
    "reporters",
    "schedule",
    "people",
    "smtp",
    "digest",
];
/// Account files hold one of these, or a list of accounts.
pub(super) const ACCOUNT_FILE: &[&str] = &["credentials", "accounts"];
pub(super) const GLOBAL: &[&str] =
    &["probe_interval", "probe_timeout", "probe_concurrency", "notify", "allow_private_networks"];

const APP_START: &[&str] = &["id", "network", "api", "client_id"];
pub(super) const CLIENT_SECRET: &[&str] = &["client_secret_file", "client_secret_env", "client_secret"];
const APP_END: &[&str] = &["api_version", "base_url", "rate_limit"];
pub(super) const APP: &[&[&str]] = &[APP_START, CLIENT_SECRET, APP_END];
/// The endpoints of an app of a generic provider.
pub(super) const ENDPOINTS: &[&str] = &["issuer", "introspection_url", "userinfo_url", "probe_url"];
/// How the answers of a generic provider's probe URL are read.
pub(super) const PROBE_RULES: &[&str] = &["probe_expect", "probe_refused"];
pub(super) const PROBE_FIELD: &[&str] = &["pointer", "value"];
pub(super) const PROBE_REFUSAL: &[&str] = &["status", "reason"];
pub(super) const GENERIC_APP: &[&[&str]] = &[APP_START, CLIENT_SECRET, APP_END, ENDPOINTS, PROBE_RULES];

pub(super) const TOKEN: &[&str] = &["token_file", "token_env", "token_command", "token"];
pub(super) const TOKEN_SECRET: &[&str] =
    &["token_secret_file", "token_secret_env", "token_secret_command", "token_secret"];
const GRANT_START: &[&str] = &["app", "connected_by"];
const GRANT_END: &[&str] = &["expires_at", "refresh_expires_at", "auto_refresh", "scopes", "base_url"];
/// What describes a token: keys of credentials, and of accounts that have a token of their own.
pub(super) const GRANT: &[&[&str]] = &[GRANT_START, TOKEN, TOKEN_SECRET, GRANT_END, PROBE_RULES];
pub(super) const CREDENTIAL: &[&[&str]] =
    &[&["id", "network"], GRANT_START, TOKEN, TOKEN_SECRET, GRANT_END, PROBE_RULES];
const ACCOUNT_START: &[&str] =
    &["id", "name", "network", "kind", "external_id", "credential", "needs", "use"];
const ACCOUNT_END: &[&str] = &[
    "labels",
    "notify",
    "notify_opt_out",
    "language",
    "reconnect_url",
    "probe_interval",
    "next_use",
    "state",
];
pub(super) const ACCOUNT: &[&[&str]] =
    &[ACCOUNT_START, ACCOUNT_END, GRANT_START, TOKEN, TOKEN_SECRET, GRANT_END, PROBE_RULES];

/// Where a source's accounts are; it has one of these.
pub(super) const SOURCE_KINDS: &[&str] = &["file", "http", "sql"];
const SOURCE_START: &[&str] = &["id"];
const SOURCE_END: &[&str] = &["refresh_interval", "map", "values", "defaults", "apps"];
pub(super) const SOURCE: &[&[&str]] = &[SOURCE_START, SOURCE_KINDS, SOURCE_END];

/// How a source's columns are encrypted; what else belongs there depends on the scheme.
pub(super) const DECRYPT: &[&str] = &["scheme", "columns"];
pub(super) const DECRYPT_KEY: &[&str] = &["key_file", "key_env", "key_command", "key"];
pub(super) const DECRYPT_PREVIOUS: &[&str] =
    &["previous_keys_file", "previous_keys_env", "previous_keys_command", "previous_keys"];
pub(super) const DECRYPT_SALT: &[&str] = &[
    "key_derivation_salt_file",
    "key_derivation_salt_env",
    "key_derivation_salt_command",
    "key_derivation_salt",
];
pub(super) const DECRYPT_GCM: &[&str] = &["key_form", "iv_column", "tag_column"];

/// How a source over HTTP is authorized: one of these at most.
pub(super) const HTTP_AUTHORIZATION: &[&str] = &["authorization", "basic_auth", "oauth2"];
const HTTP_CONNECTION: &[&str] = &["tls_config", "proxy_url"];
pub(super) const HTTP: &[&[&str]] = &[&["url"], HTTP_AUTHORIZATION, HTTP_CONNECTION];
pub(super) const CREDENTIALS: &[&str] =
    &["credentials_file", "credentials_env", "credentials_command", "credentials"];
pub(super) const AUTHORIZATION: &[&[&str]] = &[&["type"], CREDENTIALS];
pub(super) const PASSWORD: &[&str] = &["password_file", "password_env", "password_command", "password"];
pub(super) const BASIC_AUTH: &[&[&str]] = &[&["username"], PASSWORD];
pub(super) const OAUTH2: &[&[&str]] =
    &[&["client_id"], CLIENT_SECRET, &["token_url", "scopes"], HTTP_CONNECTION];
pub(super) const TLS_CONFIG: &[&str] = &["ca_file", "cert_file", "key_file"];

/// Keys of a source that is a database.
pub(super) const SQL: &[&str] = &["driver", "database", "timeout", "decrypt"];
pub(super) const SQL_SERVER: &[&str] = &["host", "port", "user", "tls_config", "plaintext"];
pub(super) const DSN: &[&str] = &["dsn_file", "dsn_env", "dsn_command", "dsn"];
/// One of these lists the accounts.
pub(super) const QUERY: &[&str] = &["query", "query_file", "recipe"];

pub(super) const REPORTER: &[&str] = &["id", "networks", "accounts"];
pub(super) const REPORTER_TOKEN: &[&str] = &["token_file", "token_env", "token"];

pub(super) const PERSON: &[&str] = &["mail", "name", "mails", "time_zone", "language", "days", "hours"];
/// As in the global section of Alertmanager, without `smtp_`, and where mails can be stopped.
pub(super) const SMTP: &[&str] =
    &["smarthost", "from", "auth_username", "require_tls", "tls_config", "unsubscribe_url"];
pub(super) const SMTP_PASSWORD: &[&str] =
    &["auth_password_file", "auth_password_env", "auth_password_command", "auth_password"];
pub(super) const DIGEST: &[&str] = &["exporters", "page_url"];

pub(super) const SCHEDULE_RULE: &[&str] = &["match", "notices"];
pub(super) const SCHEDULE_MATCH: &[&str] = &["network", "use"];

/// Every key, in the order of the sections; a key of several sections occurs several times.
pub fn keys() -> impl Iterator<Item = &'static str> {
    let rules: &[&[&str]] = &[ENDPOINTS, PROBE_FIELD, PROBE_REFUSAL];
    let http = [HTTP, AUTHORIZATION, BASIC_AUTH, OAUTH2, &[TLS_CONFIG]];
    let sql: &[&[&str]] = &[SQL, SQL_SERVER, DSN, PASSWORD, QUERY];
    let decrypt: &[&[&str]] = &[DECRYPT, DECRYPT_KEY, DECRYPT_PREVIOUS, DECRYPT_SALT, DECRYPT_GCM];
    let sources = [SOURCE].into_iter().chain(http).chain([sql, decrypt]);
    let mails: &[&[&str]] = &[PERSON, SMTP, SMTP_PASSWORD, DIGEST];
    let rest: &[&[&str]] = &[MAIN, GLOBAL, REPORTER, SCHEDULE_RULE, SCHEDULE_MATCH];
    let sections = [APP, rules, ACCOUNT].into_iter().chain(sources).chain([mails, rest]);
    sections.flatten().copied().flatten().copied()
}

/// The keys of accounts, and those of credentials.
pub fn row_keys() -> [Vec<&'static str>; 2] {
    [ACCOUNT, CREDENTIAL].map(|keys| keys.iter().copied().flatten().copied().collect())
}
