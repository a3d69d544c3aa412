//! The order of SHA-1's 80 rounds, for kernels that hold one word of all messages in each register.
//!
//! A round renames the five words of the state instead of moving them, so five rounds in a row are written out with
//! the names going around (FIPS 180-4, section 6.1.2).

/// Calls `$round!(number, function, constant, a b c d e)` for all rounds. The functions are the names of `Ch`, `Parity` and
/// `Maj` where the macro is used.
macro_rules! eighty_rounds {
    ($round:ident, $state:tt, $choose:ident $parity:ident $majority:ident) => {
        $crate::hash::rounds::twenty_rounds!($round, $state, 0, $choose, 0x5A82_7999_u32);
        $crate::hash::rounds::twenty_rounds!($round, $state, 20, $parity, 0x6ED9_EBA1_u32);
        $crate::hash::rounds::twenty_rounds!($round, $state, 40, $majority, 0x8F1B_BCDC_u32);
        $crate::hash::rounds::twenty_rounds!($round, $state, 60, $parity, 0xCA62_C1D6_u32);
    };
}

/// Twenty rounds with one function and one constant.
macro_rules! twenty_rounds {
    ($round:ident, $state:tt, $first:expr, $function:ident, $constant:expr) => {
        $crate::hash::rounds::five_rounds!($round, $state, $first, $function, $constant);
        $crate::hash::rounds::five_rounds!($round, $state, $first + 5, $function, $constant);
        $crate::hash::rounds::five_rounds!($round, $state, $first + 10, $function, $constant);
        $crate::hash::rounds::five_rounds!($round, $state, $first + 15, $function, $constant);
    };
}

/// Five rounds, after which every word has its name again.
macro_rules! five_rounds {
    ($round:ident, ($a:ident $b:ident $c:ident $d:ident $e:ident), $first:expr, $function:ident, $constant:expr) => {
        $round!($first, $function, $constant, $a $b $c $d $e);
        $round!($first + 1, $function, $constant, $e $a $b $c $d);
        $round!($first + 2, $function, $constant, $d $e $a $b $c);
        $round!($first + 3, $function, $constant, $c $d $e $a $b);
        $round!($first + 4, $function, $constant, $b $c $d $e $a);
    };
}

pub(super) use {eighty_rounds, five_rounds, twenty_rounds};
