use super::Digest;

#[test]
fn a_digest_prints_as_lower_case_hex() {
    let mut bytes = [0; 20];
    bytes[..2].copy_from_slice(&[0xAB, 0x01]);
    assert_eq!(
        Digest::Sha1(bytes).to_string(),
        "ab01000000000000000000000000000000000000"
    );
}

#[test]
fn digests_of_different_functions_differ() {
    assert_ne!(Digest::Sha1([0; 20]), Digest::Sha256([0; 32]));
    assert_eq!(Digest::Sha1([7; 20]).as_bytes(), [7; 20]);
    assert_eq!(Digest::Sha256([7; 32]).as_bytes(), [7; 32]);
}
