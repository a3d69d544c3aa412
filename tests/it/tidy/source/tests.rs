use super::code_of;

fn check(source: &str, expected: &str) {
    assert_eq!(code_of(source), expected);
}

#[test]
fn what_is_only_said_is_blank() {
    check("a // b\nc", "a     \nc");
    check("a /* b\n c */ d", "a     \n      d");
    check(r#"f("a\"b", c)"#, "f(      , c)");
    check(r##"f(r#"a"b"#, c)"##, "f(        , c)");
    check("f('\\'', '\"', 'a')", "f(    ,    ,    )");
    check("&'static str; for<'a>", "&'static str; for<'a>");
    check("br\"x\" var \"y\"", "      var    ");
}
