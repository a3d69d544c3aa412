use super::{crc32c, peer_priority};

fn check(one: &str, other: &str, expected: u32) {
    let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
    assert_eq!(peer_priority(one, other), expected);
    assert_eq!(peer_priority(other, one), expected, "the other way round");
}

#[test]
fn the_examples_of_bep_40_have_its_values() {
    check("123.213.32.10:1", "98.76.54.32:1", 0xec2d_7224);
    check("123.213.32.10:1", "123.213.32.234:1", 0x9956_8189);
}

#[test]
fn the_sum_is_that_of_castagnoli() {
    assert_eq!(crc32c(b"123456789".iter().copied()), 0xe306_9283);
}

#[test]
fn ends_of_one_address_differ_by_port() {
    let priority = |port: u16| {
        let other = format!("192.0.2.1:{port}").parse().unwrap();
        peer_priority("192.0.2.1:6881".parse().unwrap(), other)
    };
    assert_ne!(priority(1), priority(2));
}

#[test]
fn most_of_a_distant_address_does_not_matter() {
    let priority = |other: &str| peer_priority("192.0.2.1:1".parse().unwrap(), other.parse().unwrap());
    assert_eq!(priority("10.1.0.0:1"), priority("10.1.170.170:9"));
    assert_ne!(priority("10.1.0.0:1"), priority("10.2.0.0:1"));
    assert_ne!(priority("[2001:db8::1]:1"), priority("[2001:db9::1]:1"));
}
