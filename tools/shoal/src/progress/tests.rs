use super::{Activity, Line, shortened};
use std::time::Duration;

const MOVING: Activity = Activity::Moving {
    bytes_per_s: 812 << 10,
    peers: 1,
    left: Some(Duration::from_secs(192)),
};

fn check(activity: &Activity, columns: usize, template: &str, name: &str, text: &str) {
    let line = Line::of("debian-13.1.0-amd64-netinst.iso", activity, columns);
    assert_eq!(
        (line.template, line.name.as_str(), line.text.as_str()),
        (template, name, text)
    );
}

#[test]
fn the_line_of_a_fetch_fits_its_terminal() {
    let figures = " 812 KiB/s  3m left  1 peer";
    let bar = "{prefix}  [{wide_bar:.cyan}] {percent:>3}%  {msg}";
    check(&MOVING, 200, bar, "debian-13.1.0-amd64-netinst.i…", figures);
    check(&MOVING, 80, bar, "debian-13.1.0-amd64…", figures);
    let narrow = format!("{figures}  debian-13…");
    check(&MOVING, 40, "{percent:>3}%  {wide_msg}", "", &narrow);
}

#[test]
fn a_reason_has_the_room_of_the_bar() {
    let waiting = Activity::Standing("waiting for\u{1b}[2J peers".to_owned());
    let template = "{prefix}  {percent:>3}%  {wide_msg}";
    check(
        &waiting,
        80,
        template,
        "debian-13.1.0-amd64…",
        "waiting for\u{fffd}[2J peers",
    );
}

#[test]
fn what_cannot_be_said_is_not() {
    let stuck = Activity::Moving {
        bytes_per_s: 0,
        peers: 12,
        left: None,
    };
    assert_eq!(Line::of("x", &stuck, 100).text, "     0 B/s  ? left  12 peers");
}

#[test]
fn names_are_measured_in_columns() {
    assert_eq!(shortened("short", 30), "short");
    assert_eq!(shortened("日本語日本語", 7), "日本語…");
}
