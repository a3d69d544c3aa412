use super::Value;

#[test]
fn keys_are_put_in_order_unless_told_otherwise() {
    let value = Value::dictionary([("b", Value::Integer(-1)), ("d", Value::bytes("x"))]);
    let value = value
        .with("c", Value::texts(["y"]))
        .with("d", Value::raw("le"))
        .without("b");
    assert_eq!(value.encode(), b"d1:cl1:ye1:dlee");
    let disordered = Value::dictionary([("b", Value::Integer(1)), ("a", Value::Integer(2))]);
    assert_eq!(disordered.encode(), b"d1:bi1e1:ai2ee");
}

#[test]
fn what_was_written_reads_as_it_was() {
    let value = Value::dictionary([
        ("list", Value::List(vec![Value::Integer(-7), Value::bytes("x")])),
        ("none", Value::Dictionary(Vec::new())),
    ]);
    assert_eq!(Value::decode(&value.encode()), Some(value));
    assert_eq!(Value::decode(b"d1:a"), None);
    assert_eq!(Value::decode(b"5:abc"), None);
    assert_eq!(Value::decode(&b"l".repeat(40)), None);
}
