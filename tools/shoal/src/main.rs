//! The `shoal` command: torrents made, looked at, checked and served.
//!
//! A command reads its arguments, calls the engine, and writes what came of it; all that it does lies in the engine's
//! crates. Here is only what people and scripts see: help, results, progress, sentences for errors, exit codes.
//!
//! Invariants: results go to stdout, all else to stderr; every failure is one sentence and an exit code
//! ([`failure::Exit`]); nothing is shown that moves, unless stderr is a terminal.

mod args;
mod commands;
mod failure;
mod output;
mod progress;
mod serve;
mod settings;
mod signals;

use args::Arguments;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use failure::{Exit, Failure};
use shoal::printable::Printable;
use std::process::ExitCode;

/// Sessions allocate from many threads at once; the system's allocator would have them wait for each other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = arguments().and_then(|arguments| match arguments {
        Some(arguments) => commands::run(arguments),
        None => Ok(Exit::Done),
    });
    let exit = outcome.unwrap_or_else(|failure| {
        output::diagnostic(failure.message);
        failure.exit
    });
    ExitCode::from(exit as u8)
}

/// The arguments, or nothing when they asked for help or the version, which was printed.
fn arguments() -> Result<Option<Arguments>, Failure> {
    let error = match Arguments::try_parse() {
        Ok(arguments) => return Ok(Some(arguments)),
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Help that nobody reads to its end is no failure.
            let _ = error.print();
            Ok(None)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Err(Failure::bad_input(format!(
            "no command given; see {} --help",
            command_typed()
        ))),
        _ => {
            let sentence = one_sentence(&error.to_string());
            Err(Failure::bad_input(format!(
                "{sentence}; see {} --help",
                command_typed()
            )))
        }
    }
}

/// The several lines of an argument error as one: what is wrong, and what is similar.
fn one_sentence(error: &str) -> String {
    let before_usage = error.split("\n\nUsage:").next().unwrap_or(error);
    let before_usage = before_usage
        .split("\n\nFor more information")
        .next()
        .unwrap_or(before_usage);
    let lines: Vec<&str> = before_usage
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let text = lines.join(" ");
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    Printable(&text.replace(" tip: ", "; ")).to_string()
}

/// `shoal` with as many commands as the arguments begin with.
fn command_typed() -> String {
    let mut command = Arguments::command();
    let mut typed = "shoal".to_owned();
    for argument in std::env::args().skip(1) {
        let Some(found) = command.find_subcommand(&argument) else {
            break;
        };
        typed = format!("{typed} {argument}");
        command = found.clone();
    }
    typed
}
