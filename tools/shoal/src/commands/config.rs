//! `shoal config check` and `shoal config show`.

use crate::args::{Config as Arguments, ConfigCommand};
use crate::failure::{Exit, Failure};
use crate::output;
use serde_json::{Map, Value, json};
use shoal::config::{Config, ConfigError};
use std::path::Path;

pub(crate) fn run(arguments: &Arguments, json: bool) -> Result<Exit, Failure> {
    match &arguments.command {
        ConfigCommand::Check { file } => check(file, json),
        ConfigCommand::Show { file } => show(file.as_deref(), json),
    }
}

fn check(file: &Path, json: bool) -> Result<Exit, Failure> {
    let result = Config::load(file);
    if json {
        output::json(&json!({
            "file": file.to_string_lossy(),
            "valid": result.is_ok(),
            "problems": result.as_ref().err().map_or_else(Vec::new, problems),
        }))?;
    }
    result.map_err(Failure::bad_input)?;
    if !json {
        output::line(format!("{}: valid", file.display()))?;
    }
    Ok(Exit::Done)
}

fn show(file: Option<&Path>, json: bool) -> Result<Exit, Failure> {
    let config = match file {
        Some(file) => Config::load(file).map_err(Failure::bad_input)?,
        None => Config::default(),
    };
    if json {
        let entries = config
            .entries()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), Value::String(value)));
        output::json(&Value::Object(entries.collect::<Map<_, _>>()))?;
    } else {
        output::line(config.file_text().trim_end())?;
    }
    Ok(Exit::Done)
}

/// Every mistake for a program to read. A file that could not be read as text has one, without a place.
fn problems(error: &ConfigError) -> Vec<Value> {
    let ConfigError::Invalid { problems, .. } = error else {
        return vec![json!({ "line": null, "column": null, "problem": error.to_string() })];
    };
    let problem = |problem: &shoal::config::Problem| {
        json!({
            "line": problem.place.line,
            "column": problem.place.column,
            "problem": problem.kind.to_string(),
        })
    };
    problems.iter().map(problem).collect()
}
