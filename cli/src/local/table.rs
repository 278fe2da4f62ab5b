//! Columns of text.

/// Rows below headings, each column as wide as its widest entry.
pub(super) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = headings.map(|heading| heading.chars().count());
    for row in rows {
        for (width, entry) in widths.iter_mut().zip(row) {
            *width = (*width).max(entry.chars().count());
        }
    }
    let line = |entries: [&str; N]| {
        let padded = entries.iter().zip(widths).map(|(entry, width)| format!("{entry:width$}"));
        format!("{}\n", padded.collect::<Vec<_>>().join("   ").trim_end())
    };
    let rows = rows.iter().map(|row| line(std::array::from_fn(|n| row[n].as_str())));
    line(headings) + &rows.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let row = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
        assert_eq!(table(["A", "BB"], &[row("one", "x"), row("ä", "")]), "A     BB\none   x\nä\n");
    }
}
