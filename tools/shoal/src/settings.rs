//! The engine's settings as a command gets them: defaults, then the configuration file, then options.

use crate::args::Settings;
use crate::failure::Failure;
use shoal::config::{Config, SettingError};
use shoal::printable::Printable;

/// The settings, with options winning over the file.
pub(crate) fn config(settings: &Settings) -> Result<Config, Failure> {
    let mut config = match &settings.config {
        Some(file) => Config::load(file)?,
        None => Config::default(),
    };
    let options = [
        ("--listen", "listen", &settings.listen),
        ("--cores", "cores", &settings.cores),
        ("--slots", "upload_slots", &settings.slots),
    ];
    for (option, name, text) in options {
        set(&mut config, option, name, text.as_deref())?;
    }
    Ok(config)
}

/// Sets what an option stands for, if it was given.
pub(crate) fn set(config: &mut Config, option: &str, name: &str, text: Option<&str>) -> Result<(), Failure> {
    let Some(text) = text else { return Ok(()) };
    config.set(name, text).map_err(|error| match error {
        SettingError::Value(expected) => {
            Failure::bad_input(format!("{option}: `{}`: it takes {expected}", Printable(text)))
        }
        SettingError::Unknown { .. } => panic!("{option} stands for the setting {name}"),
    })
}
