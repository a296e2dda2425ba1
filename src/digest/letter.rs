//! A digest in words: the same for the text and for the HTML of the mail.

use url::Url;

use super::report::{Facts, Known, Login, Report, Section};
use super::times;
use crate::config::ADDRESS;
use crate::inventory::Person;
use crate::model::{Capability, FixedBy, Reader, Reason, escape_bidi, percent_encode};
use crate::network::{NetworkId, advice, is_passed_on};
use crate::wording::Catalogue;

/// Maximum number of steps that a digest shows; the status page shows all.
const MAX_STEPS: usize = 3;

/// Where a digest leads to.
#[derive(Clone, Debug, Default)]
pub struct Links {
    /// The status page.
    pub page: Option<Url>,
    /// Where mails can be stopped; may hold [`ADDRESS`].
    pub unsubscribe: Option<String>,
    /// The address of the operator.
    pub operator: Option<String>,
}

/// A digest in the language of its reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    pub language: &'static str,
    /// What stands between a label and its text.
    pub(super) colon: &'static str,
    pub to: String,
    pub name: Option<String>,
    pub subject: String,
    pub(super) greeting: String,
    pub(super) intro: String,
    pub(super) sections: Vec<Chapter>,
    /// A text, and where it leads to.
    pub(super) page: Option<(String, String)>,
    pub(super) footer: Vec<String>,
    /// A text, and where mails can be stopped.
    pub stop: Option<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chapter {
    pub(super) title: String,
    pub(super) logins: Vec<LoginText>,
    /// How many connections are not listed, and where the page shows them.
    pub(super) more: Option<(String, Option<String>)>,
    pub(super) hint: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LoginText {
    pub(super) title: String,
    pub(super) parts: Vec<PartText>,
    /// The word on the link, and where it leads to.
    pub(super) reconnect: Option<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PartText {
    pub(super) accounts: Vec<String>,
    /// What each line is about, and what it says.
    pub(super) facts: Vec<(String, String)>,
    pub(super) advice: Vec<Advice>,
}

/// What to do, in order, and what stands in front of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Advice {
    pub(super) lead: String,
    pub(super) steps: Vec<String>,
}

/// A text of somebody else in one line.
fn line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    escape_bidi(&plain).into_owned()
}

impl Letter {
    pub fn new(report: &Report, links: &Links) -> Self {
        let person = &report.person;
        let language = person.language.unwrap_or_default();
        let writer =
            Writer { words: Catalogue::of(language), report, person, said: Vec::new(), has_warned: false };
        writer.letter(language.code(), links)
    }
}

struct Writer<'r> {
    words: &'static Catalogue,
    report: &'r Report,
    person: &'r Person,
    /// The advice that has been given already.
    said: Vec<Advice>,
    /// Whether it has been said what to do before reconnecting.
    has_warned: bool,
}

impl Writer<'_> {
    fn letter(mut self, language: &'static str, links: &Links) -> Letter {
        let (words, person) = (self.words, self.person);
        let day = times::day(words, person.zone(), self.report.at);
        let news: Vec<String> = self.report.sections.iter().map(|known| self.news(known)).collect();
        let address = percent_encode(&person.mail);
        let page = links.page.as_ref().map(|page| format!("{page}?recipient={address}"));
        let stop = match (&links.unsubscribe, &links.operator) {
            (Some(url), _) => Some(url.replace(ADDRESS, &address)),
            (None, Some(operator)) => {
                let subject = words.say("digest.stop_subject", &[("address", &person.mail)]);
                Some(format!("mailto:{operator}?subject={}", percent_encode(&subject)))
            }
            (None, None) => None,
        };
        let mut footer = vec![
            words.say("digest.why", &[("address", &person.mail)]),
            words.say("digest.zone", &[("zone", person.zone().name())]),
        ];
        if let Some(operator) = &links.operator {
            footer.push(words.say("digest.operator", &[("address", operator)]));
        }
        let sections =
            self.report.sections.iter().map(|known| self.chapter(known, page.as_deref())).collect();
        Letter {
            language,
            colon: words.sentence("mail.colon"),
            to: person.mail.clone(),
            name: person.name.clone(),
            subject: words.say("digest.subject", &[("news", &news.join(words.sentence("digest.separator")))]),
            greeting: match &person.name {
                Some(name) => words.say("digest.greeting", &[("name", name)]),
                None => words.sentence("digest.greeting_unknown").to_owned(),
            },
            intro: words.say("digest.intro", &[("day", &day)]),
            sections,
            page: page.map(|url| (words.sentence("digest.page").to_owned(), url)),
            footer,
            stop: stop.map(|url| (words.sentence("mail.stop_link").to_owned(), url)),
        }
    }

    /// A section in the subject.
    fn news(&self, known: &Known) -> String {
        let key = match (known.section, known.total) {
            (Section::Broken, 1) => "digest.one_broken",
            (Section::Broken, _) => "digest.many_broken",
            (Section::Ending, 1) => "digest.one_ending",
            (Section::Ending, _) => "digest.many_ending",
            (Section::Degraded, 1) => "digest.one_degraded",
            (Section::Degraded, _) => "digest.many_degraded",
            (Section::Back, 1) => "digest.one_back",
            (Section::Back, _) => "digest.many_back",
        };
        self.words.say(key, &[("number", &known.total.to_string())])
    }

    /// `page` shows all connections of the person.
    fn chapter(&mut self, known: &Known, page: Option<&str>) -> Chapter {
        let (title, filter) = match known.section {
            Section::Broken => ("digest.broken", "&state=disconnected"),
            Section::Ending => ("digest.ending", "&expires_within=14d"),
            Section::Degraded => ("digest.degraded", "&state=degraded"),
            Section::Back => ("digest.back", ""),
        };
        let more = known.total.saturating_sub(known.listed());
        let logins: Vec<LoginText> =
            known.logins.iter().map(|login| self.login(known.section, login)).collect();
        let reconnects = logins.iter().any(|login| login.reconnect.is_some());
        let hint = match known.section {
            Section::Back => Some("mail.after_check"),
            _ if reconnects && !self.has_warned => {
                self.has_warned = true;
                Some("mail.before_reconnecting")
            }
            _ => None,
        };
        Chapter {
            title: self.words.sentence(title).to_owned(),
            logins,
            more: (more > 0).then(|| {
                let text = self.words.say("mail.and_more", &[("number", &more.to_string())]);
                (text, page.map(|page| format!("{page}{filter}")))
            }),
            hint: hint.map(|key| self.words.sentence(key).to_owned()),
        }
    }

    fn is_own(&self, login: &Login) -> bool {
        self.person.name.is_some() && self.person.name == login.connected_by
    }

    fn login(&mut self, section: Section, login: &Login) -> LoginText {
        let words = self.words;
        let title = match &login.connected_by {
            _ if self.is_own(login) => words.say("mail.login_of_yours_on", &[("network", &login.title)]),
            Some(person) => {
                words.say("mail.login_of_person_on", &[("person", person), ("network", &login.title)])
            }
            None => words.say("mail.login_on", &[("network", &login.title), ("login", &login.credential)]),
        };
        let reconnect = login.reconnect_url.clone();
        LoginText {
            title: line(&title),
            parts: login.parts.iter().map(|part| self.part(section, login, part)).collect(),
            reconnect: reconnect.map(|url| (words.sentence("mail.reconnect").to_owned(), line(&url))),
        }
    }

    fn part(&mut self, section: Section, login: &Login, part: &super::report::Part) -> PartText {
        let (words, zone) = (self.words, self.person.zone());
        let accounts = part.accounts.iter().map(|(name, next_use)| match next_use {
            Some(at) if section != Section::Back => {
                let date = times::date_short(words, zone, *at);
                format!("{} ({})", line(name), words.say("mail.next_post", &[("date", &date)]))
            }
            _ => line(name),
        });
        let accounts = accounts.collect();
        let facts = self.facts(section, &part.facts);
        let advice = match section {
            Section::Broken | Section::Degraded => {
                part.facts.losses.iter().map(|(reason, _)| self.advice(login, *reason)).collect()
            }
            Section::Ending => vec![self.once(self.renewal(login), Vec::new())],
            Section::Back => Vec::new(),
        };
        PartText { accounts, facts, advice: advice.into_iter().filter(|one| !one.lead.is_empty()).collect() }
    }

    fn facts(&self, section: Section, facts: &Facts) -> Vec<(String, String)> {
        let (words, zone) = (self.words, self.person.zone());
        let separator = words.sentence("digest.separator");
        let mut lines = Vec::new();
        let mut add = |key: &str, text: String| lines.push((words.sentence(key).to_owned(), text));
        if let Some(at) = facts.broken_since {
            add("digest.broken_since", times::date(words, zone, at));
        }
        match facts.since {
            Some(at) if section == Section::Back => add("digest.works_since", times::date(words, zone, at)),
            Some(at) => add("mail.since", times::date(words, zone, at)),
            None => {}
        }
        if let Some(at) = facts.deadline {
            add("mail.deadline", times::date(words, zone, at));
        }
        for (reason, capabilities) in &facts.losses {
            if !capabilities.is_empty() {
                let stopped = |capability: &Capability| words.text(capability.stops()).to_owned();
                add("mail.not_working", capabilities.iter().map(stopped).collect::<Vec<_>>().join(separator));
            }
            if let Some(reason) = reason {
                add("mail.reason", words.text(reason.info().meaning).to_owned());
            }
        }
        lines
    }

    /// What to do about a loss.
    fn advice(&mut self, login: &Login, reason: Option<Reason>) -> Advice {
        let words = self.words;
        let (Some(reason), Some(network)) = (reason, login.network) else {
            return self.once(words.sentence("mail.unknown_reason").to_owned(), Vec::new());
        };
        let reader = if self.is_own(login) { Reader::Connector } else { Reader::Admin };
        let steps = advice(reason, network, reader).iter().take(MAX_STEPS);
        let steps = steps.map(|step| words.text(step).to_owned()).collect();
        self.once(self.lead(login, reason, network, reader), steps)
    }

    /// What stands in front of the steps.
    fn lead(&self, login: &Login, reason: Reason, network: NetworkId, reader: Reader) -> String {
        let words = self.words;
        let fixed_by = reason.info().fixed_by;
        match (reader, fixed_by, &login.connected_by) {
            (_, FixedBy::Operator, _) => words.sentence("mail.lead_by_operator").to_owned(),
            (Reader::Connector, _, _) => words.sentence("mail.lead_you").to_owned(),
            (_, _, Some(person)) if is_passed_on(reason, network, reader) => {
                words.say("mail.lead_pass_on", &[("person", person)])
            }
            (_, _, None) if is_passed_on(reason, network, reader) => {
                words.sentence("mail.lead_pass_on_unknown").to_owned()
            }
            (_, _, Some(person)) => words.say("mail.lead_help", &[("person", person)]),
            (_, _, None) => words.sentence("mail.lead_help_unknown").to_owned(),
        }
    }

    /// What to do ahead of a deadline.
    fn renewal(&self, login: &Login) -> String {
        let words = self.words;
        match &login.connected_by {
            _ if self.is_own(login) => words.sentence("mail.renew_you").to_owned(),
            Some(person) => words.say("mail.renew_admin", &[("person", person)]),
            None => words.sentence("mail.renew_admin_unknown").to_owned(),
        }
    }

    /// Advice, or that it is the same as that above.
    fn once(&mut self, lead: String, steps: Vec<String>) -> Advice {
        let advice = Advice { lead: line(&lead), steps };
        if !self.said.contains(&advice) {
            self.said.push(advice.clone());
            return advice;
        }
        Advice { lead: self.words.sentence("mail.same_steps").to_owned(), steps: Vec::new() }
    }
}
