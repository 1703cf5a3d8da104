//! Numbers as people read them.

use std::time::Duration;

/// `1234567` as `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1234567` as `1.2 MB`.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if number < 1000 {
        return format!("{number} B");
    }
    let mut value = number as f64 / 1000.0;
    let mut units = UNITS.into_iter();
    let mut unit = units.next().unwrap_or_default();
    // 999.95 would be shown as 1000.0.
    while value >= 999.95 {
        let Some(next) = units.next() else { break };
        (value, unit) = (value / 1000.0, next);
    }
    format!("{value:.1} {unit}")
}

/// `1.2 ms`, `850 ms`, `2.5 s`, `3 min 05 s`: about three digits.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match time.as_micros() {
        0..10_000 => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        10_000..1_000_000 => format!("{} ms", time.as_millis()),
        1_000_000..60_000_000 => format!("{:.1} s", time.as_secs_f64()),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

/// A bar of that many cells, filled to that part.
pub(crate) fn bar(part: f64, cells: usize) -> String {
    let filled = (part.clamp(0.0, 1.0) * cells as f64).round() as usize;
    "█".repeat(filled) + &"░".repeat(cells - filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_three() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn bytes_change_their_unit_before_they_need_four_digits() {
        assert_eq!(
            [999, 1000, 999_949, 999_950, 41_300_000].map(bytes),
            ["999 B", "1.0 kB", "999.9 kB", "1.0 MB", "41.3 MB"]
        );
    }

    #[test]
    fn spans_have_about_three_digits() {
        let spans = [350, 42_000, 2_500_000, 185_000_000].map(Duration::from_micros);
        assert_eq!(spans.map(span), ["0.3 ms", "42 ms", "2.5 s", "3 min 05 s"]);
    }

    #[test]
    fn a_bar_is_as_long_as_asked_whatever_the_part() {
        assert_eq!(
            [-1.0, 0.5, 7.0, f64::NAN].map(|part| bar(part, 4)),
            ["░░░░", "██░░", "████", "░░░░"]
        );
    }
}
