use super::Rng;

/// The reference C code of the authors (prng.di.unimi.it, public domain) started from state {1, 2, 3, 4}.
#[test]
fn it_is_xoshiro256_plus_plus() {
    let mut rng = Rng { state: [1, 2, 3, 4] };
    let first: Vec<u64> = (0..4).map(|_| rng.next_u64()).collect();
    assert_eq!(
        first,
        [
            41_943_041,
            58_720_359,
            3_588_806_011_781_223,
            3_591_011_842_654_386
        ]
    );
}

#[test]
fn below_stays_below_and_reaches_everything() {
    let mut rng = Rng::new(7);
    let mut seen = [false; 10];
    for _ in 0..1_000 {
        seen[rng.below(10) as usize] = true;
    }
    assert_eq!(seen, [true; 10]);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let mut bytes = [[0; 13]; 2];
    for b in &mut bytes {
        Rng::new(42).fill(b);
    }
    assert_eq!(bytes[0], bytes[1]);
    assert_ne!(bytes[0], [0; 13]);
}
