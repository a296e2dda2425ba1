//! The receivers of an Alertmanager configuration: mails, chats, webhooks and pagers.

use super::alertmanager::{MailSettings, quoted};
use super::template::fill;

const EMAIL: &str = include_str!("templates/email.receiver.yml.tmpl");
const MESSAGES: [(Kind, &str); 6] = [
    (Kind::Slack, include_str!("templates/slack.receiver.yml.tmpl")),
    (Kind::Msteams, include_str!("templates/msteams.receiver.yml.tmpl")),
    (Kind::Telegram, include_str!("templates/telegram.receiver.yml.tmpl")),
    (Kind::Webhook, include_str!("templates/webhook.receiver.yml.tmpl")),
    (Kind::Pagerduty, include_str!("templates/pagerduty.receiver.yml.tmpl")),
    (Kind::Opsgenie, include_str!("templates/opsgenie.receiver.yml.tmpl")),
];
/// As Slack wants it: `<!channel>` in a name would notify everybody in the channel.
const ESCAPED: &str =
    r#"{{ . | reReplaceAll "&" "&amp;" | reReplaceAll "<" "&lt;" | reReplaceAll ">" "&gt;" }}"#;
const PAGER: &str = include_str!("templates/pager.receiver.yml.tmpl");

/// What takes the place of mails or of the pager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Slack,
    Msteams,
    Pagerduty,
    Opsgenie,
    Telegram,
    Webhook,
}

impl Kind {
    pub const ALL: [Self; 6] =
        [Self::Slack, Self::Msteams, Self::Pagerduty, Self::Opsgenie, Self::Telegram, Self::Webhook];

    pub fn label(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::Msteams => "msteams",
            Self::Pagerduty => "pagerduty",
            Self::Opsgenie => "opsgenie",
            Self::Telegram => "telegram",
            Self::Webhook => "webhook",
        }
    }

    /// Whether it takes the place of the pager, and not of mails.
    fn pages(self) -> bool {
        matches!(self, Self::Pagerduty | Self::Opsgenie)
    }

    /// The first version of Alertmanager, 0.x, that has it with all that is used here.
    fn version(self) -> u32 {
        match self {
            Self::Msteams => 28,
            Self::Telegram => 26,
            Self::Slack | Self::Pagerduty | Self::Opsgenie | Self::Webhook => 25,
        }
    }
}

/// The version 0.x of Alertmanager that some receivers need.
pub(super) fn version(kinds: &[Kind]) -> u32 {
    kinds.iter().map(|kind| kind.version()).max().unwrap_or(0).max(25)
}

/// The receivers `people` and `operator`, who get mails or what takes their place.
pub(super) fn readers(mail: &MailSettings, operators: &str) -> String {
    let chats: Vec<Kind> = mail.receivers.iter().copied().filter(|kind| !kind.pages()).collect();
    let one = |name: &str, to: &str| {
        let configs = if chats.is_empty() { email(mail, to) } else { messages(mail, &chats) };
        format!("- name: {name}\n{configs}")
    };
    one("people", "{{ .GroupLabels.notify }}") + &one("operator", &quoted(operators))
}

/// The configuration of the receiver `pager`.
pub(super) fn pager(mail: &MailSettings) -> String {
    let kinds: Vec<Kind> = mail.receivers.iter().copied().filter(|kind| kind.pages()).collect();
    if kinds.is_empty() {
        return fill(PAGER, &[("PAGER", &quoted(&mail.pager))]);
    }
    messages(mail, &kinds)
}

fn messages(mail: &MailSettings, kinds: &[Kind]) -> String {
    let texts = MESSAGES.iter().filter(|(kind, _)| kinds.contains(kind));
    let escaped = define("escaped", ESCAPED);
    texts.map(|(_, text)| fill(text, &[("PAGE", &quoted(&page(mail))), ("ESCAPED", &escaped)])).collect()
}

/// The URL of the status page; the template's argument is a query for it.
fn page(mail: &MailSettings) -> String {
    mail.page_url.as_ref().map_or_else(String::new, |url| define("page", &format!("{url}{{{{ . }}}}")))
}

fn email(mail: &MailSettings, to: &str) -> String {
    let tls: Vec<String> =
        mail.tls_files().iter().map(|(key, path)| format!("{key}: '{}'", quoted(path))).collect();
    let tls = if tls.is_empty() { tls.concat() } else { format!("tls_config: {{{}}}", tls.join(", ")) };
    let unsubscribe = define("unsubscribe", &mail.unsubscribe());
    let all = format!("{}{}{unsubscribe}", page(mail), define("operator", mail.operator()));
    fill(
        EMAIL,
        &[
            ("TO", to),
            ("TLS", &tls),
            ("UNSUBSCRIBE", &quoted(&unsubscribe)),
            ("TEXT", &quoted(&all)),
            ("HTML", &quoted(&all.replace('&', "&amp;"))),
        ],
    )
}

/// Replaces a setting of the templates; they have empty ones.
fn define(name: &str, value: &str) -> String {
    format!("{{{{ define \"token_exporter.{name}\" }}}}{value}{{{{ end }}}}")
}
