//! One file for each command.

mod check;
mod config;
mod create;
mod download;
mod magnet;
mod manual;
mod seed;
mod share;
mod show;

use crate::args::{Arguments, Command};
use crate::failure::{Exit, Failure};

/// Runs the command; failures are told by the caller.
pub(crate) fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let json = arguments.json;
    match arguments.command {
        Command::Create(create) => create::run(&create, json),
        Command::Show(show) => show::run(&show, json),
        Command::Magnet(magnet) => magnet::run(&magnet, json),
        Command::Check(check) => check::run(&check, json),
        Command::Seed(seed) => seed::run(&seed, json),
        Command::Share(share) => share::run(&share, json),
        Command::Download(download) => download::run(&download, json),
        Command::Config(config) => config::run(&config, json),
        Command::Completions { shell } => manual::completions(shell, json),
        Command::Man { command } => manual::man(command.as_deref(), json),
    }
}
