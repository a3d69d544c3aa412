//! What a command ends with when it does not succeed: one sentence for a person and an exit code for a script.
//!
//! This is the one place where errors of the engine become text. Every sentence has the form
//! `FILE: place: what is wrong; way out`; `main` puts `shoal: ` before it.

use shoal::config::ConfigError;
use shoal::create::CreateError;
use shoal::printable::PrintablePath;
use shoal::session::StartError;
use shoal::state::StateError;
use shoal::storage::StorageError;
use shoal::torrent_file::TorrentFileError;
use std::fmt;
use std::path::Path;

/// A command that did not do what it was asked to.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// One line for each thing that is wrong; nearly always one.
    pub(crate) message: String,
}

/// Exit codes, as `--help` documents them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    Incomplete = 1,
    BadInput = 2,
    Refused = 3,
}

impl Failure {
    /// The input is wrong: repeating the command as it is cannot help.
    pub(crate) fn bad_input(message: impl fmt::Display) -> Failure {
        Failure {
            exit: Exit::BadInput,
            message: message.to_string(),
        }
    }

    /// The input is wrong, in this file.
    pub(crate) fn bad_file(file: &Path, message: impl fmt::Display) -> Failure {
        Failure::bad_input(format!("{}: {message}", PrintablePath(file)))
    }

    /// The machine refuses what the command needs.
    pub(crate) fn refused(message: impl fmt::Display) -> Failure {
        Failure {
            exit: Exit::Refused,
            message: message.to_string(),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        Failure::bad_input(error)
    }
}

impl From<TorrentFileError> for Failure {
    fn from(error: TorrentFileError) -> Failure {
        Failure::bad_input(error)
    }
}

impl From<CreateError> for Failure {
    fn from(error: CreateError) -> Failure {
        match error {
            CreateError::Unwritable { .. } => Failure::refused(error),
            _ => Failure::bad_input(error),
        }
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Failure {
        match error {
            // Found before anything is made.
            StorageError::Longer { .. }
            | StorageError::NotRegular { .. }
            | StorageError::NotFolder { .. }
            | StorageError::LeadsOutside { .. }
            | StorageError::Occupied { .. } => Failure::bad_input(error),
            _ => Failure::refused(error),
        }
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Failure {
        match error {
            StateError::Newer { .. } | StateError::Damaged { .. } => Failure::bad_input(error),
            _ => Failure::refused(error),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Failure {
        match error {
            StartError::Cpu(_) => Failure::bad_input(error),
            _ => Failure::refused(error),
        }
    }
}
