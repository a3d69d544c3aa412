//! Daemons that fetch from each other, out of a seed: seeders, fetchers, liars, faults, and the verdict.
//!
//! Every fetcher knows some of the others, and by them, over corners at least, a seeder. Faults happen for half a minute of
//! virtual time: the network's, slow and full disks, writes and syncs that fail, daemons that die at any moment and come
//! back with what they were told is durable. Then the world is sound, and everybody finishes ([`LIVENESS_TIME`]) with the
//! right bytes on a disk that would survive a crash; whoever lied to a fetcher long enough is banned and nobody else.
//!
//! The seeders' files are left alone here: what becomes of changed files is the other scenario's (`swarm`).

mod build;

use std::net::IpAddr;
use std::time::Duration;

use shoal_world::Time;

use super::daemon::Daemon;
use super::dice::Dice;
use super::faults::Faults;
use super::swarm::{Defect, LIVENESS_TIME, Outcome, Preset, Step, caught};
use super::{DRAIN_TIME, Event, Simulation};

/// When faults begin, and when they are over.
const FAULTS_BEGIN: Duration = Duration::from_secs(1);
const FAULTS_END: Duration = Duration::from_secs(31);

/// How often the limits are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Operations of one core in a second at most. A fetcher of the fastest link here moves 100 MiB/s, which are 6,400 blocks
/// that arrive in as many portions and leave again; one that turns in circles makes 100,000.
const OPERATIONS_PER_SECOND_MAX: u64 = 30_000;

/// The command that repeats the run of a seed.
pub fn command(preset: Preset, seed: u64) -> String {
    format!(
        "cargo run --release -p shoal-tests -- swarm --fetch --preset {} --seed {seed} --trace",
        preset.name()
    )
}

/// A scenario under way.
#[derive(Debug)]
pub struct Exchange {
    /// What happens.
    pub simulation: Simulation,
    faults: Faults,
    dice: Dice,
    faults_over: bool,
    /// Operations performed when it was looked at last.
    performed: u64,
}

impl AsMut<Simulation> for Exchange {
    fn as_mut(&mut self) -> &mut Simulation {
        &mut self.simulation
    }
}

/// Runs the scenario of a seed to its end.
///
/// # Errors
/// What was broken.
pub fn run(preset: Preset, seed: u64, prints: bool) -> Result<Outcome, Defect> {
    let mut exchange = Exchange::new(preset, seed);
    exchange.simulation.commons.trace.prints = prints;
    caught(exchange, Exchange::run)
}

impl Exchange {
    /// The scenario of a seed, before anything has happened.
    pub fn new(preset: Preset, seed: u64) -> Exchange {
        let mut dice = Dice::new(seed, "exchange");
        let faults = preset.faults().subset(&mut dice);
        let simulation = build::simulation(seed, &mut dice);
        let mut exchange = Exchange {
            simulation,
            faults,
            dice,
            faults_over: false,
            performed: 0,
        };
        exchange.plan();
        exchange
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
        while !self.is_over() {
            assert!(
                self.advance(until),
                "not finished within {LIVENESS_TIME:?} without faults: {}",
                self.describe_unfinished()
            );
        }
        self.finish()
    }

    fn is_over(&self) -> bool {
        // Seeds with a trick stay for ever.
        let mut daemons = self.simulation.daemons.iter();
        daemons.all(|daemon| !daemon.fetches() || daemon.has_finished())
    }

    fn describe_unfinished(&self) -> String {
        let daemons = self.simulation.daemons.iter();
        let left = daemons.filter(|daemon| daemon.fetches() && !daemon.has_finished());
        let left: Vec<String> = left.map(Daemon::describe_progress).collect();
        left.join("\n")
    }

    fn finish(&mut self) -> Outcome {
        let simulation = &mut self.simulation;
        simulation.stop_and_drain();
        // Steps that came while everything ended are not the scenario's any more.
        simulation.take_steps();
        let commons = &simulation.commons;
        for daemon in &simulation.daemons {
            daemon.assert_claims(commons);
            daemon.assert_liar_found();
        }
        Outcome {
            hash: commons.trace.hash(),
            lines: commons.trace.lines(),
            time: commons.clock.now().since(Time::ZERO),
            delivered_bytes: simulation.daemons.iter().map(Daemon::written_bytes).sum(),
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
                let at = dice.duration(FAULTS_BEGIN..=FAULTS_END - Duration::from_secs(2));
                steps.push((at, step));
            }
        };
        let faults = &self.faults;
        // Every daemon may die, and half of all deaths come early, while most is under way.
        often(2 * faults.crashes, Step::Kill, &mut self.dice);
        often(faults.restarts, Step::Stop, &mut self.dice);
        often(faults.partitions, Step::Cut, &mut self.dice);
        often(faults.full, Step::Fill, &mut self.dice);
        if faults.crashes > 0 {
            let early = self
                .dice
                .duration(FAULTS_BEGIN..=FAULTS_BEGIN + Duration::from_secs(4));
            steps.push((early, Step::Kill));
        }
        for (after, step) in steps {
            self.simulation.commons.clock.after(after, Event::Step(step));
        }
    }

    fn step(&mut self, step: Step) {
        let now = self.simulation.commons.clock.now();
        let text = format_args!("{step:?}");
        self.simulation.commons.trace.note(now, "scenario", text);
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
            Step::Fill => {
                let until = now + self.dice.duration(Duration::ZERO..=self.faults.full_max);
                let disks = &mut self.simulation.commons.disks;
                let disk = self.dice.below(disks.len() as u32) as usize;
                disks[disk].fill_up(until);
            }
            Step::Look => self.look(),
            Step::Change | Step::Damage | Step::Rot => unreachable!("{step:?} was not planned"),
        }
    }

    fn look(&mut self) {
        let daemons = &self.simulation.daemons;
        let performed = daemons.iter().map(Daemon::performed_ever).sum::<u64>();
        let operations = performed - std::mem::replace(&mut self.performed, performed);
        assert!(
            operations < OPERATIONS_PER_SECOND_MAX * daemons.len() as u64,
            "{operations} operations in a second: a daemon turns in circles"
        );
        for daemon in daemons {
            daemon.assert_within_limits();
        }
        self.simulation.assert_conserved();
        let look = Event::Step(Step::Look);
        self.simulation.commons.clock.after(LOOK_EVERY, look);
    }

    fn end_faults(&mut self) {
        self.faults_over = true;
        self.simulation.set_faults(&Faults::NONE);
        self.step(Step::Start);
    }

    fn any_daemon(&mut self) -> usize {
        self.dice.below(self.simulation.daemons.len() as u32) as usize
    }

    /// A daemon dies, with its machine or alone.
    fn kill(&mut self) {
        let number = self.any_daemon();
        let machine_too = self.dice.below(2) == 0;
        let Simulation { daemons, commons, .. } = &mut self.simulation;
        if daemons[number].is_up() {
            daemons[number].kill(commons, machine_too);
            let again = Duration::from_millis(100)..=Duration::from_secs(8);
            let again = self.dice.duration(again);
            commons.clock.after(again, Event::Step(Step::Start));
        }
    }

    /// A daemon is stopped in the middle of everything.
    fn stop(&mut self) {
        let number = self.any_daemon();
        let Simulation { daemons, commons, .. } = &mut self.simulation;
        if daemons[number].is_up() && !daemons[number].is_stopping() {
            daemons[number].stop(commons);
            commons.clock.after(DRAIN_TIME, Event::Step(Step::Stopped));
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

    /// Two daemons cannot reach each other, in one direction or in both.
    fn cut(&mut self) {
        let (one, other) = (self.any_daemon(), self.any_daemon());
        let Simulation { daemons, commons, .. } = &mut self.simulation;
        let (one, other) = (daemons[one].address().ip(), daemons[other].address().ip());
        let longest = self.faults.partition_max;
        let until = commons.clock.now() + self.dice.duration(Duration::from_millis(100)..=longest);
        let mut one_way = |from: IpAddr, to: IpAddr| commons.network.cut(from, to, until);
        one_way(one, other);
        if self.dice.below(2) == 0 {
            one_way(other, one);
        }
    }
}
