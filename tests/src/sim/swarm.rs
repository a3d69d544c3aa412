//! A whole scenario out of a seed: a daemon, its torrents, a crowd of peers, faults, and the verdict.
//!
//! The seed chooses everything: how many cores, how much memory, which limits; files of every shape; who comes when, how
//! fast and with which intentions; which faults happen. Faults happen for half a minute of virtual time. Then the world is
//! sound again, and everything that can finish must do so ([`LIVENESS_TIME`]); the daemon stops, and nothing may be left.
//!
//! Whatever is broken panics with a sentence. [`run`] catches it and gives the seed, the sentence and the last lines.

mod build;

use std::net::IpAddr;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use shoal_world::{PAGE_LEN, Time};

use super::daemon::Daemon;
use super::dice::Dice;
use super::faults::Faults;
use super::torrent::Torrent;
use super::{DRAIN_TIME, Simulation};

/// When faults begin, and when they are over.
const FAULTS_BEGIN: Duration = Duration::from_secs(3);
const FAULTS_END: Duration = Duration::from_secs(33);

/// Time in which everybody must have what they came for once nothing goes wrong any more. The slowest peer needs 4 minutes
/// for what it wants, silent ones are closed after 3, and with one slot for 20 peers a turn comes round every 200 s.
pub const LIVENESS_TIME: Duration = Duration::from_secs(3600);

/// How often the limits are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Operations of all cores in a second at most. Twenty peers that take four megabytes each in a second make 20,000 with
/// the smallest blocks; a daemon that turns in circles makes 100,000.
const OPERATIONS_PER_SECOND_MAX: u64 = 30_000;

/// Something that the scenario does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Faults begin.
    Begin,
    /// Faults are over.
    End,
    /// The daemon dies.
    Kill,
    /// It is started again.
    Start,
    /// The daemon is stopped in order.
    Stop,
    /// It has had its time for that.
    Stopped,
    /// Two hosts cannot reach each other.
    Cut,
    /// Somebody does something to a file.
    Change,
    /// A page cannot be read any more.
    Damage,
    /// A page is another one.
    Rot,
    /// The disk is full for a while.
    Fill,
    /// The limits are looked at.
    Look,
}

/// How wild a swarm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// [`Faults::LITE`].
    Lite,
    /// [`Faults::SWARM`].
    Swarm,
}

impl Preset {
    /// The preset of this name.
    pub fn named(name: &str) -> Option<Preset> {
        match name {
            "lite" => Some(Preset::Lite),
            "swarm" => Some(Preset::Swarm),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Preset::Lite => "lite",
            Preset::Swarm => "swarm",
        }
    }

    /// What goes wrong in it.
    pub(super) fn faults(self) -> Faults {
        match self {
            Preset::Lite => Faults::LITE,
            Preset::Swarm => Faults::SWARM,
        }
    }
}

/// What a run was like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The hash of the whole trace.
    pub hash: u64,
    /// How many lines it had.
    pub lines: u64,
    /// Virtual time that passed.
    pub time: Duration,
    /// Bytes of blocks that arrived.
    pub delivered_bytes: u64,
    /// Operations that cores performed.
    pub operations: u64,
    /// Torrents that were given up, and why.
    pub failures: Vec<(String, u32)>,
}

/// What went wrong in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defect {
    /// The sentence.
    pub message: String,
    /// The last lines of the trace.
    pub tail: Vec<String>,
}

impl Defect {
    /// What a person needs: the sentence, what came before it, and the command that shows all of it.
    pub fn report(&self, command: &str) -> String {
        format!(
            "{}\nthe last lines before it:\n{}\nto see all of them:\n    {command}",
            self.message,
            self.tail.join("\n"),
        )
    }
}

/// The command that repeats the run of a seed.
pub fn command(preset: Preset, seed: u64) -> String {
    format!(
        "cargo run --release -p shoal-tests -- swarm --preset {} --seed {seed} --trace",
        preset.name()
    )
}

/// A scenario under way.
#[derive(Debug)]
pub struct Swarm {
    /// What happens.
    pub simulation: Simulation,
    torrents: Rc<[Rc<Torrent>]>,
    faults: Faults,
    dice: Dice,
    faults_over: bool,
    /// Operations performed when it was looked at last.
    performed: u64,
}

/// Runs the scenario of a seed to its end.
///
/// # Errors
/// What was broken.
pub fn run(preset: Preset, seed: u64, prints: bool) -> Result<Outcome, Defect> {
    let mut swarm = Swarm::new(preset, seed);
    swarm.simulation.commons.trace.prints = prints;
    caught(swarm, Swarm::run)
}

/// Runs something that may panic, and says what happened last if it does.
///
/// # Errors
/// The panic.
pub(super) fn caught<S: AsMut<Simulation>, T>(
    mut state: S,
    act: impl FnOnce(&mut S) -> T,
) -> Result<T, Defect> {
    panic::catch_unwind(AssertUnwindSafe(|| act(&mut state))).map_err(|payload| {
        let text = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied());
        Defect {
            message: text.unwrap_or("a panic without words").to_owned(),
            tail: state.as_mut().commons.trace.tail().map(str::to_owned).collect(),
        }
    })
}

impl AsMut<Simulation> for Swarm {
    fn as_mut(&mut self) -> &mut Simulation {
        &mut self.simulation
    }
}

impl Swarm {
    /// The scenario of a seed, before anything has happened.
    pub fn new(preset: Preset, seed: u64) -> Swarm {
        let mut dice = Dice::new(seed, "swarm");
        let faults = preset.faults().subset(&mut dice);
        let (simulation, torrents) = build::simulation(seed, &mut dice);
        let mut swarm = Swarm {
            simulation,
            torrents,
            faults,
            dice,
            faults_over: false,
            performed: 0,
        };
        swarm.plan();
        swarm
    }

    /// Lets everything happen, and judges.
    pub fn run(&mut self) -> Outcome {
        let faults_end = Time::ZERO + FAULTS_END;
        while !self.faults_over {
            assert!(
                self.advance(faults_end + Duration::from_secs(1)),
                "the scenario's steps are on the clock"
            );
        }
        let until = faults_end + LIVENESS_TIME;
        while self
            .simulation
            .scripts
            .iter()
            .any(|script| !script.is_satisfied())
        {
            assert!(
                self.advance(until),
                "not finished within {LIVENESS_TIME:?} without faults: {}",
                self.simulation.describe_unsatisfied()
            );
        }
        self.finish()
    }

    fn finish(&mut self) -> Outcome {
        let simulation = &mut self.simulation;
        simulation.stop_and_drain();
        // Steps that came while everything ended are not the scenario's any more.
        simulation.take_steps();
        let commons = &simulation.commons;
        Outcome {
            hash: commons.trace.hash(),
            lines: commons.trace.lines(),
            time: commons.clock.now().since(Time::ZERO),
            delivered_bytes: commons.taps.delivered_bytes(),
            operations: simulation.daemons.iter().map(Daemon::performed_ever).sum(),
            failures: simulation
                .daemons
                .iter()
                .flat_map(|daemon| daemon.failures().clone())
                .collect(),
        }
    }

    /// Lets the next thing happen. Whether there was one.
    fn advance(&mut self, until: Time) -> bool {
        let more = self.simulation.next(until);
        for step in self.simulation.take_steps() {
            self.step(step);
        }
        more
    }

    fn plan(&mut self) {
        let mut steps = vec![
            (FAULTS_BEGIN, Step::Begin),
            (FAULTS_END, Step::End),
            (LOOK_EVERY, Step::Look),
        ];
        let mut often = |times: u32, step: Step, dice: &mut Dice| {
            for _ in 0..times {
                steps.push((
                    dice.duration(FAULTS_BEGIN..=FAULTS_END - Duration::from_secs(2)),
                    step,
                ));
            }
        };
        let faults = &self.faults;
        often(faults.crashes, Step::Kill, &mut self.dice);
        often(faults.restarts, Step::Stop, &mut self.dice);
        often(faults.partitions, Step::Cut, &mut self.dice);
        often(faults.files_changed, Step::Change, &mut self.dice);
        often(faults.bad_sectors, Step::Damage, &mut self.dice);
        often(faults.rotten_sectors, Step::Rot, &mut self.dice);
        often(faults.full, Step::Fill, &mut self.dice);
        for (after, step) in steps {
            self.simulation
                .commons
                .clock
                .after(after, super::Event::Step(step));
        }
    }

    fn step(&mut self, step: Step) {
        let now = self.simulation.commons.clock.now();
        self.simulation
            .commons
            .trace
            .note(now, "scenario", format_args!("{step:?}"));
        match step {
            Step::Begin => self.simulation.set_faults(&self.faults),
            Step::End => self.end_faults(),
            Step::Kill => self.kill(),
            Step::Start => {
                let Simulation { daemons, commons, .. } = &mut self.simulation;
                for daemon in daemons.iter_mut().filter(|daemon| !daemon.is_up()) {
                    daemon.start(commons);
                }
            }
            Step::Stop => self.stop(),
            Step::Stopped => self.stopped(),
            Step::Cut => self.cut(),
            Step::Change => self.change_file(),
            Step::Damage => {
                if let Some((path, page)) = self.any_page() {
                    let disk = &mut self.simulation.commons.disks[0];
                    let inode = disk.find(&path).expect("the page is one of a file");
                    disk.damage(inode, page);
                    self.simulation.daemons[0].harm(&path);
                }
            }
            Step::Rot => self.rot(),
            Step::Fill => {
                let until = now + self.dice.duration(Duration::ZERO..=self.faults.full_max);
                self.simulation.commons.disks[0].fill_up(until);
            }
            Step::Look => self.look(),
        }
    }

    fn look(&mut self) {
        self.assert_diligent();
        for daemon in &self.simulation.daemons {
            daemon.assert_within_limits();
        }
        self.simulation.assert_conserved();
        self.simulation
            .commons
            .clock
            .after(LOOK_EVERY, super::Event::Step(Step::Look));
    }

    /// What a daemon does in a second is bounded by what it is asked: nobody asks for more than this.
    fn assert_diligent(&mut self) {
        let performed = self
            .simulation
            .daemons
            .iter()
            .map(Daemon::performed_ever)
            .sum::<u64>();
        let operations = performed - std::mem::replace(&mut self.performed, performed);
        assert!(
            operations < OPERATIONS_PER_SECOND_MAX,
            "{operations} operations in a second: the daemon turns in circles"
        );
    }

    fn end_faults(&mut self) {
        self.faults_over = true;
        self.simulation.set_faults(&Faults::NONE);
        for disk in &mut self.simulation.commons.disks {
            disk.heal();
        }
        self.step(Step::Start);
    }

    fn kill(&mut self) {
        let Simulation { daemons, commons, .. } = &mut self.simulation;
        if let Some(daemon) = daemons.iter_mut().find(|daemon| daemon.is_up()) {
            daemon.kill(commons, self.dice.below(2) == 0);
            let again = self
                .dice
                .duration(Duration::from_millis(100)..=Duration::from_secs(8));
            commons.clock.after(again, super::Event::Step(Step::Start));
        }
    }

    /// Stops the daemon in the middle of everything.
    fn stop(&mut self) {
        let Simulation { daemons, commons, .. } = &mut self.simulation;
        if let Some(daemon) = daemons
            .iter_mut()
            .find(|daemon| daemon.is_up() && !daemon.is_stopping())
        {
            daemon.stop(commons);
            commons.clock.after(DRAIN_TIME, super::Event::Step(Step::Stopped));
        }
    }

    /// Whatever it was doing, everything is back; it is started again.
    fn stopped(&mut self) {
        let Simulation { daemons, commons, .. } = &mut self.simulation;
        // It may have been killed meanwhile, and started again.
        if let Some(daemon) = daemons.iter_mut().find(|daemon| daemon.is_stopping()) {
            assert!(daemon.has_stopped(), "a core did not say that it stopped");
            daemon.assert_idle();
            daemon.kill(commons, false);
            daemon.start(commons);
        }
    }

    /// Somebody cannot reach the daemon, or is not reached by it, or both.
    fn cut(&mut self) {
        let scripts = self.simulation.scripts.len() as u32;
        let Simulation {
            daemons,
            commons,
            scripts: peers,
            ..
        } = &mut self.simulation;
        let peer = peers[self.dice.below(scripts) as usize].ip();
        let daemon = daemons[0].address().ip();
        let longest = self.faults.partition_max;
        let until = commons.clock.now() + self.dice.duration(Duration::from_millis(100)..=longest);
        let mut one_way = |from: IpAddr, to: IpAddr| commons.network.cut(from, to, until);
        match self.dice.below(3) {
            0 => one_way(peer, daemon),
            1 => one_way(daemon, peer),
            _ => {
                one_way(peer, daemon);
                one_way(daemon, peer);
            }
        }
    }

    /// A file that exists, and one of its pages.
    fn any_page(&mut self) -> Option<(Arc<Path>, u64)> {
        let disk = &self.simulation.commons.disks[0];
        let files = self.torrents.iter().flat_map(|torrent| &torrent.files);
        let present: Vec<_> = files
            .filter(|file| file.len > 0 && disk.find(&file.path).is_some())
            .collect();
        let file = present.get(self.dice.below(present.len().max(1) as u32) as usize)?;
        let pages = file.len.div_ceil(u64::from(PAGE_LEN));
        // The far end of a terabyte is as good as its beginning.
        let page = u64::from(self.dice.below(pages.min(1 << 30) as u32));
        Some((file.path.clone(), page))
    }

    fn rot(&mut self) {
        let Some((path, page)) = self.any_page() else {
            return;
        };
        let disk = &mut self.simulation.commons.disks[0];
        let inode = disk.find(&path).expect("the page is one of a file");
        disk.rot(inode, page);
        for torrent in self.torrents.iter() {
            for file in torrent.files.iter().filter(|file| file.path == path) {
                let byte = file.start + page * u64::from(PAGE_LEN);
                self.simulation.commons.taps.rots(torrent, byte);
            }
        }
    }

    fn change_file(&mut self) {
        let Some((path, page)) = self.any_page() else {
            return;
        };
        let now = self.simulation.commons.clock.now();
        let disk = &mut self.simulation.commons.disks[0];
        let inode = disk.find(&path).expect("the page is one of a file");
        let offset = page * u64::from(PAGE_LEN);
        match self.dice.below(6) {
            0 => disk.touch(now, inode),
            1 => disk.truncate(now, inode, offset),
            2 => disk.delete(now, &path),
            3 => drop(disk.put(now, &path, super::disk::Content::Zeroes, offset + 5)),
            4 => disk.forge(now, inode, offset, b"forged"),
            _ => drop(disk.write(now, inode, offset, b"written")),
        }
        self.simulation.daemons[0].harm(&path);
    }
}
