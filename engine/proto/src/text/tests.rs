use super::{decoded, shown};

fn check(bytes: &[u8], len_max: usize, expected: Option<&str>) {
    assert_eq!(shown(bytes, len_max).as_deref(), expected);
}

#[test]
fn text_is_shown_without_what_is_none() {
    check(b"abc", 10, Some("abc"));
    check(b"\x1b[2Ja\r\nb\xff\xc3\xa4\x7f", 20, Some("[2Jab\u{e4}"));
    check(b"\n\xff", 10, None);
    check(b"", 10, None);
}

#[test]
fn text_is_cut_between_characters() {
    check("\u{e4}\u{e4}".as_bytes(), 3, Some("\u{e4}"));
    check("\u{e4}".as_bytes(), 1, None);
}

#[test]
fn decoded_text_keeps_its_lines_and_its_limit() {
    let check = |bytes: &[u8], len_max, expected: Option<&str>| {
        assert_eq!(decoded(bytes, len_max).as_deref(), expected);
    };
    check(b"a\r\n\x1bb", 10, Some("a\r\n\x1bb"));
    check(b"a\xffb", 10, Some("a\u{fffd}b"));
    check(b"", 10, None);
    // A wrong byte takes three of the limit.
    check(b"\xff\xff\xff", 8, Some("\u{fffd}\u{fffd}"));
    check("\u{e4}\u{e4}".as_bytes(), 3, Some("\u{e4}"));
    check("ab\u{1f41f}".as_bytes(), 3, Some("ab"));
}
