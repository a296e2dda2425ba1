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
