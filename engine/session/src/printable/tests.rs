use super::Printable;

#[test]
fn what_would_not_stay_in_its_place_is_replaced() {
    let check = |text: &str, expected: &str| assert_eq!(Printable(text).to_string(), expected);
    check("ünï cöde 日本", "ünï cöde 日本");
    check("red \u{1b}[31m", "red \u{fffd}[31m");
    check("two\nlines\r", "two\u{fffd}lines\u{fffd}");
    check("gnp.\u{202e}exe", "gnp.\u{fffd}exe");
    check("\u{2028}\u{85}\u{7f}", "\u{fffd}\u{fffd}\u{fffd}");
}
