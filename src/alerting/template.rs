//! Fills in templates: files that look like what they make, with placeholders of the form `@NAME@`.

/// Replaces each `@NAME@` with its value. A placeholder alone on its line stands for lines: each is
/// indented like the placeholder, and an empty value leaves no line.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let value = |name: &str| values.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| *value);
    let mut out = String::with_capacity(template.len() * 2);
    for line in template.lines() {
        let text = line.trim_start();
        let (indent, _) = line.split_at(line.len() - text.len());
        match text.strip_prefix('@').and_then(|t| t.strip_suffix('@')).filter(|name| !name.contains('@')) {
            Some(name) => value(name).lines().for_each(|l| out.extend([indent, l, "\n"])),
            None => {
                let parts = line.split('@').enumerate();
                out.extend(parts.map(|(i, part)| if i % 2 == 0 { part } else { value(part) }));
                out.push('\n');
            }
        }
    }
    out
}
