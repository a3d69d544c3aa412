//! Broken on purpose: lines of the engine that are made wrong, one at a time, and the tests that have to notice.
//!
//! The list is the table under "Broken on purpose" in `tests/README.md`: what is broken, where, the exact text, what it
//! becomes, and the tests that fail then. [`run`] makes a clone of what is committed below the target directory, shows
//! there that these tests pass, and then breaks one line after another and shows that each of its tests fails.
//!
//! It does not look for lines to break: each one in the list was chosen because somebody could write it by mistake.
//!
//! Invariants:
//! - The checkout itself is only read.
//! - A text that does not stand in its file exactly once, or that does not compile when broken, is not caught. A quick test
//!   (`mutations::tests`) looks for the texts in every ordinary test run, so that the list cannot rot unseen.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{self, Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the list stands, from the root of the checkout.
const LIST: &str = "tests/README.md";

/// The head of its table.
const HEAD: [&str; 5] = ["what is broken", "file", "from", "to", "caught by"];

/// Seconds after which a test counts as failed: a broken line may make it wait for ever. The slowest in the list, sixty
/// simulated swarms, takes one minute on two idle processors.
const TEST_TIME_S: u32 = 900;

/// The exit code of `timeout` when that time is over.
const OUT_OF_TIME: i32 = 124;

/// A line that is broken on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutation {
    /// What is wrong then.
    pub what: String,
    /// The file, from the root of the checkout.
    pub file: PathBuf,
    /// What stands there.
    pub from: String,
    /// What stands there when it is broken.
    pub to: String,
    /// The tests that fail then, each of them.
    pub caught_by: Vec<TestName>,
}

/// A test as `cargo test` is asked for it, written in the list as `PACKAGE TARGET PATH`, the target as cargo takes it:
/// `shoal-shard --lib cache::tests::NAME`, `shoal-tests --test it simulation::NAME`. What is in a module `models` is
/// a loom model, which is built with `--cfg loom`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TestName {
    package: String,
    target: Vec<String>,
    path: String,
}

/// What became of a mutation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Each of its tests failed.
    Caught,
    /// These tests passed all the same.
    Missed(Vec<TestName>),
    /// Its text stands in its file so often, which is not once.
    DoesNotApply(usize),
    /// The compiler refused it, with this first error.
    DoesNotCompile(String),
}

/// How a run of tests ended.
enum Ran {
    Passed,
    Failed,
    DidNotCompile(String),
}

impl TestName {
    fn parse(text: &str) -> Option<TestName> {
        let mut words = text.split_whitespace().map(str::to_owned);
        let package = words.next()?;
        let mut target: Vec<String> = words.collect();
        let path = target.pop()?;
        Some(TestName {
            package,
            target,
            path,
        })
    }

    fn is_model(&self) -> bool {
        self.path.split("::").any(|module| module == "models")
    }
}

impl fmt::Display for TestName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} {} {}",
            self.package,
            self.target.join(" "),
            self.path
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Caught => formatter.write_str("caught"),
            Verdict::Missed(tests) => {
                let tests: Vec<String> = tests.iter().map(TestName::to_string).collect();
                write!(formatter, "NOT CAUGHT by {}", tests.join(", "))
            }
            Verdict::DoesNotApply(count) => {
                write!(formatter, "DOES NOT APPLY: the text stands there {count} times")
            }
            Verdict::DoesNotCompile(error) => write!(formatter, "DOES NOT COMPILE: {error}"),
        }
    }
}

/// The list of the checkout at `root`.
///
/// # Errors
/// If it cannot be read, or a row of it cannot be understood.
pub fn list(root: &Path) -> io::Result<Vec<Mutation>> {
    let markdown = fs::read_to_string(root.join(LIST))?;
    let mut rows = markdown.lines().skip_while(|line| cells(line) != HEAD);
    rows.next();
    let rows = rows.take_while(|line| line.starts_with('|')).skip(1);
    rows.map(|row| {
        mutation(row).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{LIST}: {row}")))
    })
    .collect()
}

/// The cells of a row. A bar inside a cell is written `\|`, as Markdown has it.
fn cells(row: &str) -> Vec<String> {
    const BAR: &str = "\0";
    let row = row.trim().replace("\\|", BAR);
    let Some(inner) = row.strip_prefix('|').and_then(|row| row.strip_suffix('|')) else {
        return Vec::new();
    };
    inner
        .split('|')
        .map(|cell| cell.trim().replace(BAR, "|"))
        .collect()
}

/// What stands in backticks.
fn codes(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn mutation(row: &str) -> Option<Mutation> {
    let [what, file, from, to, caught_by] = cells(row).try_into().ok()?;
    let tests: Option<Vec<TestName>> = codes(&caught_by).map(TestName::parse).collect();
    Some(Mutation {
        what,
        file: codes(&file).next()?.into(),
        from: codes(&from).next()?.to_owned(),
        // A cell without code is a line that is left out.
        to: codes(&to).next().unwrap_or_default().to_owned(),
        caught_by: tests.filter(|tests| !tests.is_empty())?,
    })
}

impl Mutation {
    /// How often its text stands in its file, which should be once.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn count(&self, root: &Path) -> io::Result<usize> {
        let text = fs::read_to_string(root.join(&self.file))?;
        Ok(text.matches(&self.from).count())
    }
}

/// A clone of what is committed, in which lines are broken.
struct Workshop {
    tree: PathBuf,
    target: PathBuf,
}

impl Workshop {
    /// A fresh clone in `directory`, beside what earlier runs built there.
    fn open(checkout: &Path, directory: &Path) -> io::Result<Workshop> {
        // Commands run in the clone, from where a relative path would lead elsewhere.
        let directory = path::absolute(directory)?;
        let workshop = Workshop {
            tree: directory.join("tree"),
            target: directory.join("target"),
        };
        match fs::remove_dir_all(&workshop.tree) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir_all(&directory)?;
        let cloned = Command::new("git")
            .args(["clone", "--quiet"])
            .args([checkout, &workshop.tree])
            .status()?;
        if cloned.success() {
            Ok(workshop)
        } else {
            Err(io::Error::other("git does not clone the checkout"))
        }
    }

    /// Breaks a line, runs its tests, mends it.
    fn try_out(&self, mutation: &Mutation) -> io::Result<Verdict> {
        let count = mutation.count(&self.tree)?;
        if count != 1 {
            return Ok(Verdict::DoesNotApply(count));
        }
        let file = self.tree.join(&mutation.file);
        let sound = fs::read_to_string(&file)?;
        fs::write(&file, sound.replace(&mutation.from, &mutation.to))?;
        let verdict = self.judge(&mutation.caught_by);
        fs::write(&file, sound)?;
        verdict
    }

    fn judge(&self, tests: &[TestName]) -> io::Result<Verdict> {
        let mut missed = Vec::new();
        for test in tests {
            match self.run(test)? {
                Ran::Failed => {}
                Ran::Passed => missed.push(test.clone()),
                Ran::DidNotCompile(error) => return Ok(Verdict::DoesNotCompile(error)),
            }
        }
        Ok(if missed.is_empty() {
            Verdict::Caught
        } else {
            Verdict::Missed(missed)
        })
    }

    /// Builds and runs one test. The path is exact: a test that was renamed does not run, so it does not fail.
    fn run(&self, test: &TestName) -> io::Result<Ran> {
        let built = self.cargo(test, "cargo").arg("--no-run").output()?;
        if !built.status.success() {
            let said = String::from_utf8_lossy(&built.stderr);
            let error = said.lines().find(|line| line.starts_with("error"));
            return Ok(Ran::DidNotCompile(error.unwrap_or(&said).to_owned()));
        }
        let ended = self
            .cargo(test, "timeout")
            .args(["--", "--exact", &test.path])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        Ok(match ended.code() {
            Some(0) => Ran::Passed,
            Some(OUT_OF_TIME) => {
                println!("{test} did not end in {TEST_TIME_S} s");
                Ran::Failed
            }
            _ => Ran::Failed,
        })
    }

    /// `cargo test` of a test's target, by itself or under `timeout`.
    fn cargo(&self, test: &TestName, program: &str) -> Command {
        let mut command = Command::new(program);
        if program == "timeout" {
            command.args(["--kill-after=10", &TEST_TIME_S.to_string(), "cargo"]);
        }
        command
            .args(["test", "--quiet", "--package", &test.package])
            .args(&test.target)
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.target)
            // A failure is all that is asked for, not the smallest one, and nothing of it is kept.
            .env("PROPTEST_MAX_SHRINK_ITERS", "0");
        if test.is_model() {
            command.env("RUSTFLAGS", "--cfg loom");
            command.env("CARGO_TARGET_DIR", self.target.join("loom"));
        }
        command
    }
}

/// Tries out the whole list of the checkout at `checkout`, or its row `only`, counted from 1, and prints what became of each.
/// Everything happens in `directory`. Whether all were caught.
///
/// # Errors
/// If the clone cannot be made or used, or a test fails with nothing broken.
pub fn run(checkout: &Path, directory: &Path, only: Option<usize>) -> io::Result<bool> {
    let workshop = Workshop::open(checkout, directory)?;
    let chosen: Vec<(usize, Mutation)> = (1..)
        .zip(list(&workshop.tree)?)
        .filter(|(number, _)| only.is_none_or(|only| only == *number))
        .collect();
    let tests: BTreeSet<&TestName> = chosen
        .iter()
        .flat_map(|(_, mutation)| &mutation.caught_by)
        .collect();
    println!("{} tests with nothing broken", tests.len());
    for test in tests {
        if !matches!(workshop.run(test)?, Ran::Passed) {
            return Err(io::Error::other(format!("{test} fails with nothing broken")));
        }
    }
    let mut caught = 0;
    for (number, mutation) in &chosen {
        let verdict = workshop.try_out(mutation)?;
        println!("{number}. {}: {verdict}", mutation.what);
        caught += usize::from(verdict == Verdict::Caught);
    }
    println!("{caught} of {} are caught", chosen.len());
    Ok(caught == chosen.len() && caught > 0)
}

#[cfg(test)]
mod tests;
