//! A digest as HTML for mail programs: one column, styles in the tags, nothing from elsewhere.

use maud::{DOCTYPE, Markup, html};

use super::Letter;
use super::letter::{Chapter, LoginText};

const BODY: &str = "margin:0;padding:16px;font:16px/1.5 sans-serif";
const COLUMN: &str = "max-width:600px;margin:0 auto";
const TITLE: &str = "font-size:20px;margin:32px 0 8px";
const LOGIN: &str = "border-left:4px solid #8a8a8a;padding-left:12px;margin:16px 0";
const LOGIN_TITLE: &str = "font-size:16px;margin:0";
const LIST: &str = "margin:4px 0;padding-left:24px";
const LINE: &str = "margin:4px 0";
const BUTTON: &str = "display:inline-block;padding:8px 16px;border-radius:4px;background:#0b57d0;color:#fff;\
                      text-decoration:none";
const FOOTER: &str = "border-top:1px solid #8a8a8a;margin-top:32px;padding-top:8px;font-size:13px";

impl Letter {
    pub fn html(&self) -> String {
        let page = html! {
            (DOCTYPE)
            html lang=(self.language) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width";
                    meta name="color-scheme" content="light dark";
                    title { (self.subject) }
                }
                body style=(BODY) {
                    div style=(COLUMN) {
                        p { (self.greeting) }
                        p { (self.intro) }
                        @for chapter in &self.sections { (section(chapter, self.colon)) }
                        @if let Some((text, url)) = &self.page { p { a href=(url) { (text) } } }
                        div style=(FOOTER) {
                            @for text in &self.footer { p style=(LINE) { (text) } }
                            @if let Some((text, url)) = &self.stop {
                                p style=(LINE) { a href=(url) { (text) } }
                            }
                        }
                    }
                }
            }
        };
        page.into_string()
    }
}

fn section(chapter: &Chapter, colon: &str) -> Markup {
    html! {
        h2 style=(TITLE) { (chapter.title) }
        @for login in &chapter.logins { (one_login(login, colon)) }
        @match &chapter.more {
            Some((text, Some(page))) => p style=(LINE) { a href=(page) { (text) } },
            Some((text, None)) => p style=(LINE) { (text) },
            None => {},
        }
        @if let Some(text) = &chapter.hint { p style=(LINE) { (text) } }
    }
}

fn one_login(login: &LoginText, colon: &str) -> Markup {
    html! {
        div style=(LOGIN) {
            h3 style=(LOGIN_TITLE) { (login.title) }
            @for part in &login.parts {
                ul style=(LIST) { @for account in &part.accounts { li { (account) } } }
                @for (label, text) in &part.facts { p style=(LINE) { b { (label) (colon) } " " (text) } }
                @for advice in &part.advice {
                    p style=(LINE) { (advice.lead) }
                    @if !advice.steps.is_empty() {
                        ol style=(LIST) { @for step in &advice.steps { li { (step) } } }
                    }
                }
            }
            @if let Some((text, url)) = &login.reconnect {
                p style=(LINE) { a href=(url) style=(BUTTON) { (text) } }
            }
        }
    }
}
