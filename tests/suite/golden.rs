//! Golden files: texts that people read, which change only after a review.

use std::path::Path;

/// Compares a text with its golden file, or writes the file if `UPDATE_GOLDEN` is set (`make
/// golden`).
pub(crate) fn assert_golden(path: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, found).expect("a golden file written");
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if let Some((number, (want, is))) =
        expected.lines().zip(found.lines()).enumerate().find(|(_, (want, is))| want != is)
    {
        panic!(
            "{} differs at line {}:\nexpected: {want}\nfound:    {is}\n`make golden` accepts the new text",
            path.display(),
            number + 1
        );
    }
    assert_eq!(
        expected.lines().count(),
        found.lines().count(),
        "{} has another length; `make golden` accepts the new text",
        path.display()
    );
}

/// Compares the part of a file between two texts, or writes it as [`assert_golden`] does.
pub(crate) fn assert_golden_part(path: &str, start: &str, end: &str, found: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(path);
    let text = std::fs::read_to_string(&file).expect("the file");
    let (before, rest) = text.split_once(start).unwrap_or_else(|| panic!("{path} has no {start:?}"));
    let (_, after) = rest.split_once(end).unwrap_or_else(|| panic!("{path} has no {end:?}"));
    assert_golden(path, &format!("{before}{start}{found}{end}{after}"));
}
