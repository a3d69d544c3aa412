use super::{TRACKER_SCHEMES, WEB_SEED_SCHEMES, usable};

fn check(address: &[u8], expected: Option<&str>) {
    assert_eq!(
        usable(address, TRACKER_SCHEMES).as_deref(),
        expected,
        "{}",
        address.escape_ascii()
    );
}

#[test]
fn addresses_of_trackers_are_kept() {
    check(
        b"udp://tracker.example:6969/announce",
        Some("udp://tracker.example:6969/announce"),
    );
    check(b" HTTP://[::1]:80/a?b=c\n", Some("HTTP://[::1]:80/a?b=c"));
    check(b"wss://tracker.example", Some("wss://tracker.example"));
}

#[test]
fn what_nobody_can_reach_is_not() {
    check(b"", None);
    check(b"tracker.example:80", None);
    check(b"file:///etc/passwd", None);
    check(b"gopher://a/", None);
    check(b"http://", None);
    check(b"http:///announce", None);
    check(b"http://:80/", None);
    check(b"http://a/\r\nHost: b", None);
    check("http://\u{430}.example/".as_bytes(), None);
    check(&[b"http://a/".as_slice(), &[b'a'; 2048]].concat(), None);
}

#[test]
fn a_web_seed_speaks_http() {
    assert_eq!(usable(b"udp://a/", WEB_SEED_SCHEMES), None);
    assert_eq!(
        usable(b"https://a/", WEB_SEED_SCHEMES).as_deref(),
        Some("https://a/")
    );
}
