//! Texts in columns and paragraphs, for terminals and pipes.

use std::fmt::Write as _;

use console::{Alignment, measure_text_width, pad_str, truncate_str};

use crate::model::escape_bidi;

/// Writes a line for each row, with all columns within `width`. Columns that do not fit are cut, the
/// widest first, but to no less than their minimum as long as the minimums fit.
pub fn columns<const N: usize>(rows: &[[String; N]], minimums: [usize; N], width: usize) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = measure_text_width(text).max(*width);
        }
    }
    let room = width.saturating_sub(N - 1);
    while widths.iter().sum::<usize>() > room {
        let over = |(width, minimum): &(&mut usize, usize)| width.saturating_sub(*minimum);
        let widest = widths.iter_mut().zip(minimums).max_by_key(over);
        let Some((width, _)) = widest.filter(|column| over(column) > 0) else { break };
        *width -= 1;
    }
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| {
            let cut = truncate_str(cell, width, "…");
            pad_str(&cut, width, Alignment::Left, None).into_owned()
        });
        let line = cells.collect::<Vec<_>>().join(" ");
        // Writing to a text does not fail.
        let _ = writeln!(text, "{}", escape_bidi(&truncate_str(line.trim_end(), width, "…")));
    }
    text
}

/// Writes a text in lines of at most `width` columns. The first line begins with `first`, the others
/// with `indent`. Words that do not fit into a line are broken.
pub fn paragraph(first: &str, indent: &str, text: &str, width: usize) -> String {
    let (mut lines, mut line) = (String::new(), first.to_owned());
    let mut begins = true;
    let longest = width.saturating_sub(indent.len()).max(1);
    let parts = |word: &str| {
        let letters: Vec<char> = word.chars().collect();
        letters.chunks(longest).map(String::from_iter).collect::<Vec<String>>()
    };
    for word in text.split_whitespace().flat_map(parts) {
        if !begins && measure_text_width(&line) + 1 + measure_text_width(&word) > width {
            lines += &std::mem::replace(&mut line, indent.to_owned());
            lines.push('\n');
            begins = true;
        }
        line += if begins { "" } else { " " };
        line += &word;
        begins = false;
    }
    escape_bidi(&(lines + &line + "\n")).into_owned()
}
