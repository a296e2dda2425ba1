//! The mails: templates of Alertmanager, made from a layout and the catalogues of sentences.
//!
//! A layout holds markers in double brackets:
//! - `[[mail.deadline; date: $date]]`: a sentence; an action takes the place of each placeholder.
//! - `[["mail.deadline"]]`: a sentence as a string within an action.
//! - `[[> part]]`: another file of the layout.
//! - `[[date $date]]`: an action that puts an English text of an alert into the language.
//! - `[[reasons]]`: a list of the program as a chain of conditions, and others of this kind.

use std::fmt::Write as _;

use crate::model::{Capability, FixedBy, Language, Reader, Reason, Reconnecting};
use crate::network::NetworkId;
use crate::wording::Catalogue;

const SHARED: &str = include_str!("templates/mail/shared.tmpl");

/// The files of the layout that hold templates, one set for each language.
const TEMPLATES: [&str; 5] = ["subject", "text", "html", "steps", "words"];

fn part(name: &str) -> &'static str {
    match name {
        "head" => include_str!("templates/mail/head.tmpl"),
        "heading" => include_str!("templates/mail/heading.tmpl"),
        "html" => include_str!("templates/mail/html.tmpl"),
        "html_rows" => include_str!("templates/mail/html_rows.tmpl"),
        "lead" => include_str!("templates/mail/lead.tmpl"),
        "logins" => include_str!("templates/mail/logins.tmpl"),
        "network" => include_str!("templates/mail/network.tmpl"),
        "next" => include_str!("templates/mail/next.tmpl"),
        "opens" => include_str!("templates/mail/opens.tmpl"),
        "order" => include_str!("templates/mail/order.tmpl"),
        "pick" => include_str!("templates/mail/pick.tmpl"),
        "reader" => include_str!("templates/mail/reader.tmpl"),
        "reminder" => include_str!("templates/mail/reminder.tmpl"),
        "renew" => include_str!("templates/mail/renew.tmpl"),
        "steps" => include_str!("templates/mail/steps.tmpl"),
        "style" => include_str!("templates/mail/style.tmpl"),
        "subject" => include_str!("templates/mail/subject.tmpl"),
        "text" => include_str!("templates/mail/text.tmpl"),
        "words" => include_str!("templates/mail/words.tmpl"),
        "text_rows" => include_str!("templates/mail/text_rows.tmpl"),
        _ => "",
    }
}

/// The files of `alerts/templates/`, by name: one for each language, and one that chooses among them.
pub fn mail_templates() -> Vec<(String, String)> {
    let of_language = |language: &Language| {
        let mail = Mail { language: *language, words: Catalogue::of(*language) };
        let text: String = TEMPLATES.iter().map(|name| mail.fill(part(name)) + "\n").collect();
        let name = format!("token_exporter.{}.tmpl", language.code());
        (name, format!("{{{{/* Made by `make golden` of token_exporter. */}}}}\n{}\n", text.trim_end()))
    };
    let english = Mail { language: Language::En, words: Catalogue::of(Language::En) };
    let shared = ("token_exporter.tmpl".to_owned(), english.fill(SHARED));
    std::iter::once(shared).chain(Language::ALL.iter().map(of_language)).collect()
}

/// A layout in one language.
struct Mail {
    language: Language,
    words: &'static Catalogue,
}

impl Mail {
    /// Replaces the markers, the inner ones first.
    fn fill(&self, layout: &str) -> String {
        let mut text = layout.to_owned();
        let mut from = 0;
        while let Some(end) = text.get(from..).and_then(|rest| rest.find("]]")).map(|i| from + i) {
            let Some(start) = text.get(..end).and_then(|before| before.rfind("[[")) else {
                from = end + 2;
                continue;
            };
            let value = self.value(text.get(start + 2..end).unwrap_or_default());
            text.replace_range(start..end + 2, &value);
            from = start;
        }
        text
    }

    fn value(&self, marker: &str) -> String {
        let (name, argument) = marker.split_once(' ').unwrap_or((marker, ""));
        match name {
            "lang" => self.language.code().to_owned(),
            ">" => part(argument).trim_end().to_owned(),
            "dispatch" => dispatch(argument),
            "networks" => networks(),
            "reasons" => self.by_reason(|reason| reason.info().short, ".", "reReplaceAll \"_\" \" \" ."),
            "meanings" => {
                let unknown = "template \"token_exporter.plain\" (or .Annotations.description \"\")";
                self.by_reason(|reason| reason.info().meaning, ".Labels.reason", unknown)
            }
            "steps" => self.steps(match argument {
                "admin" => Reader::Admin,
                "operator" => Reader::Operator,
                _ => Reader::Connector,
            }),
            "pointless" => labels(|reason| reason.info().reconnecting == Reconnecting::DoesNotHelp),
            "by_operator" => labels(|reason| reason.info().fixed_by == FixedBy::Operator),
            "key" => key(argument),
            "kind" | "stops" | "left" | "span" | "date" | "date_day" | "date_short" => {
                format!("template \"token_exporter.{}.{name}\" {argument}", self.language.code())
            }
            "translated" => match argument {
                "kind" => self.kind(),
                "stops" => self.stops(),
                "left" => self.left(),
                "span" => self.span(),
                "date_day" => self.date("mail.date_day", false),
                "date_short" => self.date("mail.date_short", true),
                _ => self.date("mail.date", false),
            },
            "clock" => replaced(argument, &[("^.*, (\\d+:\\d+ UTC\\S*)$", "$1")]),
            "sortable" => sortable(argument),
            _ => self.sentence(marker),
        }
    }

    /// A sentence in a template, or as a string in an action.
    fn sentence(&self, marker: &str) -> String {
        if let Some(name) = marker.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            return quoted(self.words.sentence(name));
        }
        let mut parts = marker.split("; ");
        let name = parts.next().unwrap_or_default();
        let actions: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once(": ")).collect();
        let mut said = String::new();
        for (i, part) in self.words.sentence(name).split('{').enumerate() {
            let action = part.split_once('}').filter(|_| i > 0).and_then(|(name, rest)| {
                let (_, action) = actions.iter().find(|(known, _)| *known == name)?;
                Some((*action, rest))
            });
            match action {
                Some((action, rest)) => _ = write!(said, "{{{{ {action} }}}}{}", literal(rest)),
                None => said += &literal(part),
            }
        }
        said
    }

    /// A text of each reason, by its label in `subject`.
    fn by_reason(&self, text: fn(Reason) -> &'static str, subject: &str, unknown: &str) -> String {
        let cases = Reason::ALL.iter().map(|reason| {
            let text = literal(self.words.text(text(*reason)));
            (format!("eq {subject} \"{}\"", reason.label()), text)
        });
        format!("{}{{{{- else }}}}{{{{ {unknown} }}}}{{{{ end -}}}}", chain(cases, ""))
    }

    /// Sets `$steps` to those that are addressed to a reader, if `$reader` is that reader and nothing
    /// is set yet. The connector's are for all readers.
    fn steps(&self, reader: Reader) -> String {
        let numbered = |steps: &[&str]| {
            let lines: Vec<String> =
                steps.iter().enumerate().map(|(i, s)| format!("{}. {}", i + 1, self.words.text(s))).collect();
            format!("{{{{ $steps = {} }}}}", quoted(&lines.join("\n")))
        };
        let cases = |steps: &dyn Fn(Reason) -> &'static [&'static str]| {
            let listed = Reason::ALL.iter().map(|reason| (reason, steps(*reason)));
            let listed = listed.filter(|(_, steps)| !steps.is_empty());
            let cases: Vec<(String, String)> = listed
                .map(|(reason, steps)| (format!("eq $reason \"{}\"", reason.label()), numbered(steps)))
                .collect();
            if cases.is_empty() {
                String::new()
            } else {
                chain(cases.into_iter(), "    ") + "    {{- end -}}\n"
            }
        };
        let own = NetworkId::all().map(|network| {
            let own = network.description().steps;
            (format!("eq $network \"{}\"", network.name()), cases(&|reason| own(reason).list(reader)))
        });
        let own: Vec<(String, String)> = own
            .filter(|(_, c)| !c.is_empty())
            .map(|(test, cases)| (test, format!("-}}}}\n{cases}")))
            .collect();
        let own = own.iter().enumerate().map(|(i, (test, cases))| {
            format!("  {{{{- {}if {test} {cases}", if i == 0 { "" } else { "else " })
        });
        let mut own: String = own.collect();
        if !own.is_empty() {
            own += "  {{- end -}}\n";
        }
        let general = cases(&|reason| reason.info().steps.list(reader));
        let general = match general.as_str() {
            "" => String::new(),
            cases => format!("  {{{{- if not $steps -}}}}\n{cases}  {{{{- end -}}}}\n"),
        };
        let test = match reader {
            Reader::Connector => "not $steps",
            Reader::Admin => "eq $reader \"admin\"",
            Reader::Operator => "eq $reader \"operator\"",
        };
        if own.is_empty() && general.is_empty() {
            return "{{- \"\" -}}".to_owned();
        }
        format!("{{{{- if {test} -}}}}\n{own}{general}{{{{- end -}}}}")
    }

    fn kind(&self) -> String {
        let kinds = [
            ("page", "mail.kind_page"),
            ("group", "mail.kind_group"),
            ("profile", "mail.kind_profile"),
            ("channel", "mail.kind_channel"),
            ("organization", "mail.kind_organization"),
            ("location", "mail.kind_location"),
            ("business", "mail.kind_business"),
            ("creator", "mail.kind_creator"),
        ];
        let kinds = kinds.map(|(kind, key)| (format!("^{kind}$"), self.words.sentence(key)));
        let changed = kinds.iter().filter(|(kind, name)| kind.trim_matches(['^', '$']) != *name);
        let pairs: Vec<(&str, &str)> = changed.map(|(kind, name)| (kind.as_str(), *name)).collect();
        replaced(".", &pairs)
    }

    fn stops(&self) -> String {
        let pairs = Capability::ALL.iter().map(|capability| {
            let english = capability.stops();
            (escaped(english), self.words.text(english))
        });
        let pairs: Vec<(String, &str)> = pairs.filter(|(english, own)| *english != escaped(own)).collect();
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(english, own)| (english.as_str(), *own)).collect();
        replaced(".", &pairs)
    }

    fn left(&self) -> String {
        let number = &[("number", "${1}")];
        let [days, hours, minutes] =
            ["mail.left_days", "mail.left_hours", "mail.left_minutes"].map(|key| self.words.say(key, number));
        let pairs = [
            ("^1 day left$", self.words.sentence("mail.left_day")),
            ("^(\\d+) days left$", &days),
            ("^(\\d+) hours left$", &hours),
            ("^(\\d+) minutes left$", &minutes),
            ("^a moment left$", self.words.sentence("mail.left_moment")),
        ];
        replaced(".", if self.language == Language::En { &[] } else { &pairs })
    }

    /// Of a duration such as `10d` or `10 days`.
    fn span(&self) -> String {
        let number = &[("number", "${1}")];
        let [days, hours, minutes] =
            ["mail.days", "mail.hours", "mail.minutes"].map(|key| self.words.say(key, number));
        let pairs = [
            ("^1(?:d| day)$", self.words.sentence("mail.day")),
            ("^(\\d+)(?:d| days)$", &days),
            ("^1(?:h| hour)$", self.words.sentence("mail.hour")),
            ("^(\\d+)(?:h| hours)$", &hours),
            ("^1(?:m| minute)$", self.words.sentence("mail.minute")),
            ("^(\\d+)(?:m| minutes)$", &minutes),
        ];
        replaced(".", &pairs)
    }

    /// Of a date such as `Sunday 31 January 2027, 14:00 UTC`.
    fn date(&self, key: &str, is_short: bool) -> String {
        let groups = [("weekday", "${1}"), ("day", "${2}"), ("month", "${3}"), ("year", "${4}")];
        let time = if is_short { "${5}" } else { "${5} ${6}" };
        let date = self.words.say(key, &[&groups[..], &[("time", time)]].concat());
        let english = Catalogue::of(Language::En);
        let mut pairs = vec![("^(\\S+) (\\d+) (\\S+) (\\d+), (\\d+:\\d+) (UTC\\S*)$".to_owned(), date)];
        let lists = if is_short {
            [("mail.weekdays", "mail.weekdays_short"), ("mail.months", "mail.months_short")]
        } else {
            [("mail.weekdays", "mail.weekdays"), ("mail.months", "mail.months")]
        };
        for (full, key) in lists {
            let names = english.sentence(full).split(' ').zip(self.words.sentence(key).split(' '));
            let changed = names.filter(|(english, own)| english != own);
            pairs.extend(changed.map(|(english, own)| (english.to_owned(), own.to_owned())));
        }
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
        replaced(".", &pairs)
    }
}

/// Chooses the template of a mail's language.
fn dispatch(template: &str) -> String {
    let others = Language::ALL.iter().filter(|language| **language != Language::En);
    let cases = others.map(|language| {
        let code = language.code();
        let call = format!("{{{{ template \"token_exporter.{code}.{template}\" . }}}}");
        (format!("eq .CommonLabels.mail_language \"{code}\""), call)
    });
    let chain = chain(cases, "");
    format!("{chain}{{{{- else }}}}{{{{ template \"token_exporter.en.{template}\" . }}}}{{{{ end -}}}}")
}

/// Sets `$network` to a network's name for people, by `$label`.
fn networks() -> String {
    let cases = NetworkId::all().map(|network| {
        let title = format!("{{{{ $network = {} }}}}", quoted(network.description().title));
        (format!("eq $label \"{}\"", network.name()), title)
    });
    chain(cases, "").trim_end().to_owned() + "{{ end }}"
}

/// `{{ if … }}…{{ else if … }}…`, without an end.
fn chain(cases: impl Iterator<Item = (String, String)>, indent: &str) -> String {
    cases.enumerate().fold(String::new(), |mut chain, (i, (test, then))| {
        let otherwise = if i == 0 { "" } else { "else " };
        let _ = writeln!(chain, "{indent}{{{{- {otherwise}if {test} }}}}{then}");
        chain
    })
}

/// The labels of some reasons, as arguments of `eq`.
fn labels(holds: impl Fn(Reason) -> bool) -> String {
    let reasons = Reason::ALL.iter().filter(|reason| **reason != Reason::Ok && holds(**reason));
    reasons.map(|reason| quoted(reason.label())).collect::<Vec<_>>().join(" ")
}

/// What the alerts of one login have in common that a mail lists together. The network matters where
/// an account, and not the login, is to blame.
fn key(alert: &str) -> String {
    let whole_login = labels(|reason| {
        let login = [Reason::SecurityCheckpoint, Reason::DataAccessExpired, Reason::TwoFactorRequired];
        reason.info().needs_new_token || login.contains(&reason)
    });
    format!(
        "(printf \"%s %s %s %s %s\" {alert}.Labels.reason {alert}.Labels.capability \
         {alert}.Annotations.deadline {alert}.Annotations.left (or (and (or (not {alert}.Labels.reason) (eq \
         {alert}.Labels.reason {whole_login})) \"-\") {alert}.Labels.network))"
    )
}

/// A date as text that sorts by time: `2027-01-31T14:00`.
fn sortable(expression: &str) -> String {
    let months = Catalogue::of(Language::En).sentence("mail.months").split(' ').enumerate();
    let months = months.map(|(i, month)| (format!("-{month}-"), format!("-{:02}-", i + 1)));
    let mut pairs =
        vec![("^\\S+ (\\d+) (\\S+) (\\d+), (\\d+:\\d+).*$".to_owned(), "${3}-${2}-0${1}T${4}".to_owned())];
    pairs.extend(months);
    pairs.push(("-0(\\d\\d)T".to_owned(), "-${1}T".to_owned()));
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    format!("({})", replaced(&format!("or {expression} \"\""), &pairs))
}

/// An expression whose result has texts replaced, by regular expressions.
fn replaced(expression: &str, pairs: &[(&str, &str)]) -> String {
    pairs.iter().fold(expression.to_owned(), |mut all, (from, to)| {
        let _ = write!(all, " | reReplaceAll {} {}", quoted(from), quoted(to));
        all
    })
}

/// A text as a regular expression.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut all, c| {
        all.extend(c.is_ascii_punctuation().then_some('\\'));
        all.push(c);
        all
    })
}

/// A text as a string of a template's action.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// A text in a template. Where HTML needs escaping, the template does it.
fn literal(text: &str) -> String {
    if text.contains(['&', '<', '>', '{', '"', '\'']) {
        format!("{{{{ {} }}}}", quoted(text))
    } else {
        text.to_owned()
    }
}
