//! A digest as plain text.

use std::fmt::Write as _;

use super::Letter;
use super::letter::LoginText;

impl Letter {
    pub fn text(&self) -> String {
        let mut out = format!("{}\n\n{}\n", self.greeting, self.intro);
        for chapter in &self.sections {
            // Writing to a text does not fail.
            let _ = write!(out, "\n\n{}\n", chapter.title.to_uppercase());
            chapter.logins.iter().for_each(|login| write_login(&mut out, login, self.colon));
            if let Some((text, page)) = &chapter.more {
                let page = page.as_ref().map(|page| format!("{} {page}", self.colon)).unwrap_or_default();
                let _ = writeln!(out, "\n{text}{page}");
            }
            if let Some(text) = &chapter.hint {
                let _ = writeln!(out, "\n{text}");
            }
        }
        if let Some((text, url)) = &self.page {
            let _ = write!(out, "\n\n{text}{}\n{url}\n", self.colon);
        }
        // What mail programs take for a signature.
        out.push_str("\n-- \n");
        for text in &self.footer {
            let _ = writeln!(out, "{text}");
        }
        if let Some((text, url)) = &self.stop {
            let _ = writeln!(out, "{text}{} {url}", self.colon);
        }
        out
    }
}

fn write_login(out: &mut String, login: &LoginText, colon: &str) {
    let _ = writeln!(out, "\n{}", login.title);
    for part in &login.parts {
        for account in &part.accounts {
            let _ = writeln!(out, "- {account}");
        }
        for (label, text) in &part.facts {
            let _ = writeln!(out, "{label}{colon} {text}");
        }
        for advice in &part.advice {
            let _ = writeln!(out, "{}", advice.lead);
            for (number, step) in (1..).zip(&advice.steps) {
                let _ = writeln!(out, "{number}. {step}");
            }
        }
    }
    if let Some((text, url)) = &login.reconnect {
        let _ = writeln!(out, "{text}{colon} {url}");
    }
}
