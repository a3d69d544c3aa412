use super::{exact_duration, exact_size, parse_count, parse_duration, parse_size, rounded_size, utc_time};
use std::time::Duration;

#[test]
fn sizes_are_read_in_powers_of_1024() {
    let check = |text: &str, expected: Option<u64>| assert_eq!(parse_size(text), expected, "{text:?}");
    check("1048576", Some(1 << 20));
    check("256KiB", Some(256 << 10));
    check("1MiB", Some(1 << 20));
    check("1 mib", Some(1 << 20));
    check("3GiB", Some(3 << 30));
    check("2TiB", Some(2 << 40));
    check("7B", Some(7));
    check("0", Some(0));
}

#[test]
fn sizes_that_could_mean_two_things_are_refused() {
    let ambiguous = [
        "1MB", "1M", "1.5GiB", "017", "0x10", "1e9", "1_000", "-1", "+1", "", "MiB", "1  MiB",
    ];
    for text in ambiguous {
        assert_eq!(parse_size(text), None, "{text:?}");
    }
    assert_eq!(
        parse_size("18446744073709551615KiB"),
        None,
        "a size that overflows is refused"
    );
}

#[test]
fn counts_are_plain_decimal_digits() {
    let check = |text: &str, expected: Option<u64>| assert_eq!(parse_count(text), expected, "{text:?}");
    check("0", Some(0));
    check("2000", Some(2000));
    check("1000000000", Some(1_000_000_000));
    check("18446744073709551615", Some(u64::MAX));
    check("18446744073709551616", None);
    check("00", None);
    check("0o17", None);
    check("１", None);
}

#[test]
fn durations_need_their_unit() {
    let check = |text: &str, expected: Option<u64>| {
        assert_eq!(
            parse_duration(text),
            expected.map(Duration::from_millis),
            "{text:?}"
        );
    };
    check("10s", Some(10_000));
    check("500ms", Some(500));
    check("2m", Some(120_000));
    check("1h", Some(3_600_000));
    check("10", None);
    check("1.5s", None);
    check("1d", None);
    check("10S", None);
}

#[test]
fn what_is_written_can_be_read_back() {
    for bytes in [0, 1, 1000, 1 << 10, 64 << 20, (1 << 30) + 1, 5 << 40, u64::MAX] {
        assert_eq!(parse_size(&exact_size(bytes)), Some(bytes));
    }
    for milliseconds in [1, 999, 1_000, 90_000, 7_200_000] {
        let duration = Duration::from_millis(milliseconds);
        assert_eq!(parse_duration(&exact_duration(duration)), Some(duration));
    }
    assert_eq!(exact_size(64 << 20), "64MiB");
    assert_eq!(exact_duration(Duration::from_secs(120)), "2m");
}

#[test]
fn rounded_sizes_have_three_or_four_digits() {
    let check = |bytes: u64, expected: &str| assert_eq!(rounded_size(bytes), expected);
    check(0, "0 B");
    check(1023, "1023 B");
    check(1024, "1.00 KiB");
    check(831_488, "812 KiB");
    check(4 << 30, "4.00 GiB");
    check(123_456_789_012, "115 GiB");
}

#[test]
fn moments_are_written_as_date_and_time() {
    let check = |seconds: u64, expected: &str| assert_eq!(utc_time(seconds), expected);
    check(0, "1970-01-01 00:00:00 UTC");
    check(951_782_399, "2000-02-28 23:59:59 UTC");
    check(951_782_400, "2000-02-29 00:00:00 UTC");
    check(1_795_250_090, "2026-11-21 08:34:50 UTC");
    check(4_107_542_400, "2100-03-01 00:00:00 UTC");
}
