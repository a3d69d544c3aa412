//! A swarm in a box: real shards in a simulated world, on virtual time, with faults.
//!
//! A [`Simulation`] holds daemons (each its cores: a `shoal_shard::Shard` over a [`world::World`]), scripted counterparts, and
//! what they have in common: one clock, one network, the disks. Everything that happens is an [`Event`] on the clock's heap;
//! every random decision comes from the dice of its subsystem; so a seed decides everything, and the same seed gives the
//! same trace. [`swarm`] makes a whole scenario of a seed and judges it.
//!
//! What judges stands outside of what is judged: the taps on the wire, the owners of each byte of memory, the ledger of the
//! network. They share no code with the engine; only this module and `fuzz` use the engine at all.
//!
//! It simulates what the contract of `shoal-world` says and what `tests/world` shows the kernel to do, not the kernel's
//! inside: no congestion control, no page cache, no scheduler. A turn of a core costs a little virtual time, so
//! that completions come in batches as they do in life.

pub mod cast;
pub mod clock;
pub mod crowd;
pub mod daemon;
pub mod dice;
pub mod disk;
pub mod errno;
pub mod exchange;
pub mod faults;
pub mod flock;
pub mod manners;
pub mod memory;
pub mod network;
pub mod payload;
pub mod scripts;
pub(crate) mod stream;
pub mod swarm;
pub mod sweeps;
pub mod taps;
pub mod torrent;
pub mod trace;
pub mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use shoal_world::Time;

use clock::Clock;
use daemon::{Chore, Daemon};
use disk::Disk;
use faults::Faults;
use manners::Manners;
use network::{End, Network, Notice, Party, Travel};
use scripts::{Alarm, Script};
use swarm::Step;
use taps::Taps;
use trace::Trace;
use world::Due;

/// Time after a stop in which the last operations end.
const DRAIN_TIME: Duration = Duration::from_secs(15);

/// What happens.
#[derive(Debug)]
pub enum Event {
    /// Something arrives, or leaves.
    Network(Travel),
    /// The counterpart's end of a connection is gone without a word.
    Vanish(End),
    /// Something that a core asked for in this life of its process is done.
    Core(Party, u32, Due),
    /// A core takes a turn.
    Turn(Party),
    /// A counterpart wakes up.
    Script(Party, Alarm),
    /// The owner of the daemon with this party does something.
    Chore(Party, Chore),
    /// The scenario takes a step.
    Step(Step),
}

/// What everybody shares.
#[derive(Debug)]
pub struct Commons {
    /// Virtual time.
    pub clock: Clock<Event>,
    /// All hosts and connections.
    pub network: Network,
    /// The disks of the daemons.
    pub disks: Vec<Disk>,
    /// What happened.
    pub trace: Trace,
    /// What is listened to.
    pub taps: Taps,
    /// What daemons that fetch are held to.
    pub manners: Manners,
}

impl Commons {
    /// A world without anything in it.
    pub fn new(seed: u64) -> Commons {
        Commons {
            clock: Clock::default(),
            network: Network::new(seed),
            disks: Vec::new(),
            trace: Trace::default(),
            taps: Taps::default(),
            manners: Manners::default(),
        }
    }
}

/// Who a party is.
#[derive(Clone, Copy, Debug)]
enum Role {
    Core { daemon: usize, core: usize },
    Script(usize),
}

/// Daemons, counterparts, and the world around them.
#[derive(Debug)]
pub struct Simulation {
    /// What everybody shares.
    pub commons: Commons,
    /// The daemons.
    pub daemons: Vec<Daemon>,
    /// The counterparts.
    pub scripts: Vec<Script>,
    roles: Vec<Role>,
    /// Cores that something happened to since their last turn.
    touched: BTreeSet<Party>,
    /// Steps of the scenario that are due.
    steps: Vec<Step>,
}

impl Simulation {
    /// A simulation without anybody.
    pub fn new(seed: u64) -> Simulation {
        Simulation {
            commons: Commons::new(seed),
            daemons: Vec::new(),
            scripts: Vec::new(),
            roles: Vec::new(),
            touched: BTreeSet::new(),
            steps: Vec::new(),
        }
    }

    /// The parties of the next daemon, one for each of its cores.
    pub fn parties_for_daemon(&mut self, cores: u16) -> Vec<Party> {
        let daemon = self.daemons.len();
        let core = |core| Role::Core {
            daemon,
            core: usize::from(core),
        };
        let first = self.roles.len() as u32;
        self.roles.extend((0..cores).map(core));
        (first..first + u32::from(cores)).map(Party).collect()
    }

    /// The party of the next counterpart.
    pub fn party_for_script(&mut self) -> Party {
        self.roles.push(Role::Script(self.scripts.len()));
        Party(self.roles.len() as u32 - 1)
    }

    /// Adds a daemon and starts it.
    pub fn add_daemon(&mut self, mut daemon: Daemon) {
        daemon.start(&mut self.commons);
        self.daemons.push(daemon);
    }

    /// Lets the next thing happen that happens not later than `until`. Whether there was one.
    pub fn next(&mut self, until: Time) -> bool {
        let Some(event) = self.commons.clock.next(until) else {
            return false;
        };
        match event {
            Event::Network(travel) => {
                let Commons { network, clock, .. } = &mut self.commons;
                network.travelled(clock, travel);
            }
            Event::Vanish(end) => self.vanish(end),
            Event::Core(party, life, due) => {
                let (daemon, core) = self.core_of(party);
                self.daemons[daemon].due(&mut self.commons, core, life, due);
                self.touched.insert(party);
            }
            Event::Turn(party) => {
                let (daemon, core) = self.core_of(party);
                self.daemons[daemon].wakes(self.commons.clock.now(), core);
                self.touched.insert(party);
            }
            Event::Script(party, alarm) => {
                if let Role::Script(script) = self.roles[party.0 as usize] {
                    self.scripts[script].wakes(&mut self.commons, alarm);
                }
            }
            Event::Chore(party, chore) => {
                let (daemon, _) = self.core_of(party);
                self.daemons[daemon].does(&mut self.commons, chore);
            }
            Event::Step(step) => self.steps.push(step),
        }
        self.settle();
        true
    }

    /// Steps of the scenario that are due since this was asked last.
    pub fn take_steps(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.steps)
    }

    /// Delivers what the network has to tell and lets the cores that it is for take their turns.
    pub fn settle(&mut self) {
        loop {
            while let Some((party, notice)) = self.commons.network.next_notice() {
                self.tell(party, notice);
            }
            let Some(party) = self.touched.pop_first() else {
                break;
            };
            let (daemon, core) = self.core_of(party);
            self.daemons[daemon].turn(&mut self.commons, core);
        }
    }

    /// What goes wrong everywhere from now on.
    pub fn set_faults(&mut self, faults: &Faults) {
        for daemon in &mut self.daemons {
            daemon.set_faults(faults);
        }
        for disk in &mut self.commons.disks {
            disk.faults = faults.clone();
        }
        self.commons.network.faults = faults.clone();
    }

    /// Who misses what, for people.
    pub fn describe_unsatisfied(&self) -> String {
        let left = self.scripts.iter().filter(|script| !script.is_satisfied());
        let left: Vec<String> = left.map(Script::describe).collect();
        format!("{} peers are left: {}", left.len(), left.join("; "))
    }

    /// Stops every daemon, lets the last operations end, and looks at what is left.
    ///
    /// # Panics
    /// If anything is.
    pub fn stop_and_drain(&mut self) {
        for daemon in &mut self.daemons {
            daemon.stop(&mut self.commons);
        }
        let until = self.commons.clock.now() + DRAIN_TIME;
        while self.next(until) {}
        for daemon in &self.daemons {
            assert!(daemon.has_stopped(), "a core did not say that it stopped");
            daemon.assert_idle();
        }
        self.assert_conserved();
    }

    /// Panics unless every byte that a socket took is accounted for.
    pub fn assert_conserved(&self) {
        let network = &self.commons.network;
        assert_eq!(network.unaccounted_bytes(), 0, "the network lost bytes");
        let taken = network.ledger().taken;
        let uploaded: u64 = self.daemons.iter().map(Daemon::uploaded_bytes).sum();
        assert!(
            uploaded <= taken,
            "{uploaded} bytes are said to be uploaded, sockets took {taken}"
        );
    }

    fn tell(&mut self, party: Party, notice: Notice) {
        match self.roles[party.0 as usize] {
            Role::Core { daemon, core } => {
                self.daemons[daemon].noticed(&mut self.commons, core, notice);
                self.touched.insert(party);
            }
            Role::Script(script) => self.scripts[script].noticed(&mut self.commons, &notice),
        }
    }

    /// Whichever end is a counterpart's vanishes; a daemon's never does while the daemon lives.
    fn vanish(&mut self, end: End) {
        for end in [end, end.other()] {
            let script = self.scripts.iter_mut().find(|script| script.end() == Some(end));
            if let Some(script) = script {
                self.commons.network.vanish(end);
                script.vanished(&mut self.commons);
                return;
            }
        }
    }

    fn core_of(&self, party: Party) -> (usize, usize) {
        match self.roles[party.0 as usize] {
            Role::Core { daemon, core } => (daemon, core),
            Role::Script(_) => panic!("a counterpart has no cores"),
        }
    }
}
