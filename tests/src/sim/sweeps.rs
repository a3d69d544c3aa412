//! Sweeps over one small conversation: the N-th operation fails, the stream is cut at byte N, the daemon dies after operation
//! N, for every N until a run ends without reaching it.
//!
//! The scenario is always the same: a daemon on one core with little memory, a torrent of files of every kind, and three
//! peers, one that knows the extensions, one that does not, one that reads slowly. Whatever happens to them, all three have
//! their blocks in the end, and nothing is left after the stop.

use std::rc::Rc;
use std::time::Duration;

use shoal_world::Time;

use super::Simulation;
use super::cast::{self, Guest};
use super::disk::Drive;
use super::scripts::{Fetcher, Wishes};
use super::swarm::{Defect, caught};
use super::torrent::Torrent;

/// Virtual time in which the three peers have everything, whatever happened: waiting for a silent connection takes three
/// minutes, and no more than one thing goes wrong.
const TIME_MAX: Duration = Duration::from_secs(600);

/// What is different in one run of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// This operation fails.
    Fails(u64),
    /// The first connection breaks when so many bytes went this way.
    Breaks {
        /// From the peer to the daemon.
        to_daemon: bool,
        /// How many bytes went.
        after: u64,
    },
    /// The daemon is killed after this operation.
    Dies {
        /// How many operations it performed.
        after: u64,
        /// The machine loses its power.
        power: bool,
    },
}

impl Mishap {
    /// The command that repeats the run with this mishap.
    pub fn command(self) -> String {
        let (what, number) = match self {
            Mishap::Fails(operation) => ("fails", operation),
            Mishap::Dies { after, power: false } => ("dies", after),
            Mishap::Dies { after, power: true } => ("loses-power", after),
            Mishap::Breaks {
                to_daemon: true,
                after,
            } => ("breaks", after),
            Mishap::Breaks {
                to_daemon: false,
                after,
            } => ("breaks-back", after),
        };
        format!("cargo run --release -p shoal-tests -- sweep {what} {number} --trace")
    }
}

/// Runs the small scenario with one mishap. Whether the run came to it.
///
/// # Errors
/// What was broken.
pub fn run(mishap: Mishap, prints: bool) -> Result<bool, Defect> {
    let mut small = small();
    small.commons.trace.prints = prints;
    caught(Small(small), |small| small.run(mishap))
}

struct Small(Simulation);

impl AsMut<Simulation> for Small {
    fn as_mut(&mut self) -> &mut Simulation {
        &mut self.0
    }
}

impl Small {
    fn run(&mut self, mishap: Mishap) -> bool {
        let simulation = &mut self.0;
        let mut reached = false;
        match mishap {
            Mishap::Fails(operation) => simulation.daemons[0].fails(operation),
            Mishap::Breaks { to_daemon, after } => {
                simulation.commons.network.break_first(to_daemon, after);
            }
            Mishap::Dies { .. } => {}
        }
        let until = Time::ZERO + TIME_MAX;
        while simulation.scripts.iter().any(|script| !script.is_satisfied()) {
            assert!(
                simulation.next(until),
                "not everybody finished after {mishap:?}: {}",
                simulation.describe_unsatisfied()
            );
            if let Mishap::Dies { after, power } = mishap
                && !reached
                && simulation.daemons[0].performed() >= after
            {
                reached = true;
                let Simulation { daemons, commons, .. } = &mut *simulation;
                daemons[0].kill(commons, power);
                daemons[0].start(commons);
            }
        }
        let performed = simulation.daemons[0].performed();
        simulation.stop_and_drain();
        match mishap {
            Mishap::Fails(operation) => performed >= operation,
            Mishap::Breaks { .. } => simulation.commons.network.broke_first(),
            Mishap::Dies { .. } => reached,
        }
    }
}

fn small() -> Simulation {
    let mut simulation = Simulation::new(1);
    let torrent = Torrent::new(77, 32_768, &[200_000, -1_000, 3, 0, 300_000]);
    let torrents: Rc<[Rc<Torrent>]> = vec![Rc::new(torrent)].into();
    let mut options = cast::options(&mut simulation, 1, 1, Drive::FLASH);
    options.settings.files_open_max = 2;
    cast::start(&mut simulation, options, &torrents);
    for (index, extended) in [true, false, true].into_iter().enumerate() {
        let wishes = Wishes {
            blocks: torrents[0].blocks().collect(),
            extended,
            pipeline: 3,
            ..Wishes::plain(&torrents[0])
        };
        let guest = Guest {
            host: index as u16 + 1,
            link: cast::NARROW,
            daemon: 0,
            behaviour: Box::new(Fetcher::new(wishes)),
            appetite: (index == 2).then_some((6_000, Duration::from_millis(5))),
            arrives: Duration::from_millis(index as u64),
            seed: index as u64,
        };
        cast::invite(&mut simulation, &torrents, guest);
    }
    simulation
}
