use proptest::prelude::*;

use super::{InfoHash, InfoHashError};

const HEX: &str = "14ffe5dd23188fd5cb53a1d47f1289db70abf31e";

fn check(text: &str, expected: Result<&str, InfoHashError>) {
    assert_eq!(
        text.parse::<InfoHash>().map(|hash| hash.to_string()),
        expected.map(str::to_owned)
    );
}

#[test]
fn forty_hex_digits_of_either_case_are_version_1() {
    check(HEX, Ok(HEX));
    check(&HEX.to_uppercase(), Ok(HEX));
}

#[test]
fn sixty_four_hex_digits_are_version_2() {
    let text = "d8dd32ac93357c368556af3ac1d95c9d76bd0dff6fa9833ecdac3d53134efabb";
    check(text, Ok(text));
    let hash: InfoHash = text.parse().unwrap();
    assert_eq!(hash.on_wire(), text[..40].parse().unwrap());
}

#[test]
fn thirty_two_digits_are_base32() {
    // RFC 4648: the twenty bytes of the text "foobarfoobarfoobarfo".
    check(
        "MZXW6YTBOJTG633CMFZGM33PMJQXEZTP",
        Ok("666f6f626172666f6f626172666f6f626172666f"),
    );
    check(
        "mzxw6ytbojtg633cmfzgm33pmjqxeztp",
        Ok("666f6f626172666f6f626172666f6f626172666f"),
    );
}

#[test]
fn case_18_bad_digits_and_lengths_are_named() {
    check("", Err(InfoHashError::Length { len: 0 }));
    check(&HEX[1..], Err(InfoHashError::Length { len: 39 }));
    check(
        &HEX.replace('f', "g"),
        Err(InfoHashError::Digit {
            at: 2,
            base: "hexadecimal",
        }),
    );
    check(
        "MZXW6YTBOJTG633CMFZGM33PMJQXEZT1",
        Err(InfoHashError::Digit {
            at: 31,
            base: "base32",
        }),
    );
    check(
        "MZXW6YTBOJTG633CMFZGM33PMJQXEZé",
        Err(InfoHashError::Digit {
            at: 30,
            base: "base32",
        }),
    );
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,70}") {
        let _ = text.parse::<InfoHash>();
    }

    #[test]
    fn what_is_written_reads_back(v1: [u8; 20], v2: [u8; 32]) {
        for hash in [InfoHash::V1(v1), InfoHash::V2(v2)] {
            prop_assert_eq!(hash.to_string().parse(), Ok(hash));
        }
    }
}
