//! A whole shard in the simulator: the input chooses the faults and is what two peers say.

use std::rc::Rc;
use std::time::Duration;

use shoal_world::Time;

use crate::sim::Simulation;
use crate::sim::cast::{self, Guest};
use crate::sim::dice::Dice;
use crate::sim::disk::Drive;
use crate::sim::faults::Faults;
use crate::sim::scripts::Babbler;
use crate::sim::torrent::Torrent;

/// Bytes of the input that are taken: longer ones only say the same for longer.
const INPUT_LEN_MAX: usize = 4_096;

/// Virtual time in which the peers have said everything, or are not listened to any more.
const TIME_MAX: Duration = Duration::from_secs(1_200);

/// The first two bytes choose the faults; the first half of the rest is one peer's program, the other half another's.
/// Whatever they say, the taps hold the shard to the protocol, the world to the contract, and nothing is left at the end.
pub fn shard(data: &[u8]) {
    let data = &data[..data.len().min(INPUT_LEN_MAX)];
    let Some((seed, programs)) = data.split_first_chunk::<2>() else {
        return;
    };
    let seed = u64::from(u16::from_be_bytes(*seed));
    let mut simulation = Simulation::new(seed);
    let torrent = Rc::new(Torrent::new(3, 32_768, &[70_000, -5_000, 0, 40_000]));
    let torrents: Rc<[Rc<Torrent>]> = vec![torrent.clone()].into();
    let options = cast::options(&mut simulation, 1, seed, Drive::FLASH);
    cast::start(&mut simulation, options, &torrents);
    if seed % 4 > 0 {
        let faults = Faults::SWARM.subset(&mut Dice::new(seed, "fuzz"));
        simulation.set_faults(&faults);
    }
    let (first, second) = programs.split_at(programs.len() / 2);
    for (host, program) in [first, second].into_iter().enumerate() {
        let guest = Guest {
            host: host as u16,
            link: cast::NARROW,
            daemon: 0,
            behaviour: Box::new(Babbler::new(&torrent, program.to_vec())),
            appetite: (host == 1).then_some((3_000, Duration::from_millis(40))),
            arrives: Duration::ZERO,
            seed,
        };
        cast::invite(&mut simulation, &torrents, guest);
    }
    let until = Time::ZERO + TIME_MAX;
    while simulation.scripts.iter().any(|script| !script.is_satisfied()) && simulation.next(until) {}
    simulation.set_faults(&Faults::NONE);
    simulation.stop_and_drain();
}
