//! One generator for each subsystem: a fault more in one does not shift what the others do.

use std::ops::RangeInclusive;
use std::time::Duration;

use shoal_world::Rng;

/// How often something happens, in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chance(pub u32);

impl Chance {
    /// It never happens.
    pub const NEVER: Chance = Chance(0);

    /// Once in so many times. `one_in(0)` is never.
    pub const fn one_in(times: u32) -> Chance {
        match 1_000_000_u32.checked_div(times) {
            Some(millionths) => Chance(millionths),
            None => Chance(0),
        }
    }

    /// So many times as often, at most every second time.
    #[must_use]
    pub fn times(self, factor: u32) -> Chance {
        Chance(self.0.saturating_mul(factor).min(500_000))
    }
}

/// The dice of one subsystem of one run.
#[derive(Clone, Debug)]
pub struct Dice {
    rng: Rng,
}

impl Dice {
    /// The dice of `subsystem` in the run of `seed`.
    pub fn new(seed: u64, subsystem: &str) -> Dice {
        // FNV-1a over the name, so that each subsystem has a stream of its own.
        let name = subsystem.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Dice {
            rng: Rng::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ name),
        }
    }

    /// Whether it happens this time. What never happens throws no dice.
    pub fn happens(&mut self, chance: Chance) -> bool {
        chance != Chance::NEVER && self.rng.below(1_000_000) < chance.0
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: u32) -> u32 {
        self.rng.below(bound)
    }

    /// A number of the range.
    pub fn within(&mut self, range: RangeInclusive<u32>) -> u32 {
        let (first, last) = range.into_inner();
        first + self.rng.below(last - first + 1)
    }

    /// A duration of the range, in whole microseconds.
    pub fn duration(&mut self, range: RangeInclusive<Duration>) -> Duration {
        let micros = |duration: &Duration| u32::try_from(duration.as_micros()).unwrap_or(u32::MAX - 1);
        Duration::from_micros(u64::from(
            self.within(micros(range.start())..=micros(range.end())),
        ))
    }

    /// One of several.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.rng.below(choices.len() as u32) as usize]
    }

    /// 64 random bits.
    pub fn word(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Puts `items` into another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (2..=items.len()).rev() {
            items.swap(end - 1, self.rng.below(end as u32) as usize);
        }
    }
}
