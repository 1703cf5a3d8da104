//! Plain columns, as wide as what is in them.

pub fn print<const N: usize>(head: [&str; N], rows: &[[String; N]]) {
    print_all(&head.map(str::to_owned), rows);
}

/// Where it depends on the day how many columns there are. Each row has as many as the head.
pub fn print_all(head: &[String], rows: &[impl AsRef<[String]>]) {
    for line in lines(head, rows) {
        println!("{line}");
    }
}

fn lines(head: &[String], rows: &[impl AsRef<[String]>]) -> Vec<String> {
    let all = || std::iter::once(head).chain(rows.iter().map(AsRef::as_ref));
    let width =
        |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    all()
        .map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["a longer cell".to_owned(), "x".to_owned()]];
        assert_eq!(
            lines(&["item", "state"].map(str::to_owned), &rows),
            ["item           state", "a longer cell  x"]
        );
    }
}
