//! Values from the command line and from a file that replace configured ones.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::error::CliError;
use crate::base::AssetKey;
use crate::defs::Project;
use crate::engine::SetValue;

/// Reads `--config FILE` and then each `--set [ASSET.]NAME=VALUE`, which win.
pub(super) fn settings(
    project: &Project,
    file: Option<&Path>,
    sets: &[String],
) -> Result<Vec<SetValue>, CliError> {
    let mut settings = Vec::new();
    if let Some(path) = file {
        settings.extend(from_file(project, path)?);
    }
    for text in sets {
        settings.push(from_text(project, text)?);
    }
    Ok(settings)
}

/// Replaced values as a run records them: by `name` or `asset.name`.
pub(super) fn record(settings: &[SetValue]) -> Value {
    let entry = |(asset, name, value): &SetValue| {
        let name = asset.as_ref().map_or_else(|| name.clone(), |asset| format!("{asset}.{name}"));
        (name, value.clone())
    };
    Value::Object(settings.iter().map(entry).collect())
}

/// What [`record`] has recorded; what no asset has any more is left out.
pub(super) fn recorded(project: &Project, config: &Value) -> Vec<SetValue> {
    let setting = |(name, value): (&String, &Value)| {
        let (asset, name) = scoped(project, name);
        declared(project, asset.as_ref(), &name).ok()?;
        Some((asset, name, value.clone()))
    };
    config.as_object().into_iter().flatten().filter_map(setting).collect()
}

fn from_text(project: &Project, text: &str) -> Result<SetValue, CliError> {
    let Some((name, value)) = text.split_once('=') else {
        let message = format!("`--set {text}` has no value");
        return Err(CliError::user(message).hint("write `--set name=value`"));
    };
    let (asset, name) = scoped(project, name.trim());
    let declared = declared(project, asset.as_ref(), &name)?;
    Ok((asset, name, read(value, &declared)))
}

/// `asset.name`, or a name alone.
fn scoped(project: &Project, name: &str) -> (Option<AssetKey>, String) {
    match name.split_once('.') {
        Some((asset, rest)) if project.assets.contains_key(asset) => {
            (AssetKey::parse(asset).ok(), rest.to_owned())
        }
        Some(_) | None => (None, name.to_owned()),
    }
}

/// The values that the name has now; an error if it has none.
fn declared<'p>(
    project: &'p Project,
    asset: Option<&AssetKey>,
    name: &str,
) -> Result<Vec<&'p Value>, CliError> {
    let concerned =
        || project.assets.values().filter(|a| asset.is_none_or(|asset| *asset == a.key));
    let values: Vec<&Value> = concerned().filter_map(|asset| asset.config.get(name)).collect();
    if !values.is_empty() {
        return Ok(values);
    }
    let of = asset.map_or_else(|| "any asset".to_owned(), |asset| format!("`{asset}`"));
    let error = CliError::user(format!("`{name}` is not a configuration value of {of}"));
    let names: BTreeSet<&str> =
        concerned().flat_map(|asset| asset.config.keys().map(String::as_str)).collect();
    if names.is_empty() {
        return Err(error.hint("there are none: values are declared under `config`"));
    }
    let names: Vec<&str> = names.into_iter().collect();
    Err(error.hint(format!("there are `{}`", names.join("`, `"))))
}

/// JSON where it is JSON, else text; always text where the declared value is text.
fn read(text: &str, declared: &[&Value]) -> Value {
    if declared.iter().all(|value| value.is_string()) {
        return Value::String(text.to_owned());
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// The values in a TOML, YAML or JSON file.
pub(super) fn read_file(path: &Path) -> Result<Value, CliError> {
    let problem = |error: String| CliError::user(format!("`{}`: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| problem(error.to_string()))?;
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or("");
    let value: Value = match ending {
        "json" => serde_json::from_str(&text).map_err(|error| problem(error.to_string()))?,
        "yaml" | "yml" => {
            serde_saphyr::from_str(&text).map_err(|error| problem(error.to_string()))?
        }
        "toml" => toml::from_str(&text).map_err(|error| problem(error.to_string()))?,
        other => {
            let error = problem(format!("cannot tell what `.{other}` holds"));
            return Err(error.hint("the file ends in `.toml`, `.yaml` or `.json`"));
        }
    };
    match value {
        Value::Object(_) => Ok(value),
        Value::Null => Ok(Value::Object(Default::default())),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(problem("it holds no names with values".to_owned()))
        }
    }
}

fn from_file(project: &Project, path: &Path) -> Result<Vec<SetValue>, CliError> {
    let value = read_file(path)?;
    let map = value.as_object().cloned().unwrap_or_default();
    let mut settings = Vec::new();
    for (name, value) in map {
        match (project.assets.get_key_value(name.as_str()), value) {
            (Some((asset, _)), Value::Object(values)) => {
                for (name, value) in values {
                    declared(project, Some(asset), &name)?;
                    settings.push((Some(asset.clone()), name, value));
                }
            }
            (_, value) => {
                let (asset, name) = scoped(project, &name);
                declared(project, asset.as_ref(), &name)?;
                settings.push((asset, name, value));
            }
        }
    }
    Ok(settings)
}

/// Reads `--tag KEY=VALUE`; a tag without a value has an empty one.
pub(super) fn tag(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    if name.is_empty() {
        return Err("a tag is written as `name=value`".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_stays_text_where_text_is_declared() {
        assert_eq!(read("1.10", &[&json!("x")]), json!("1.10"));
        assert_eq!(read("0.5", &[&json!(1)]), json!(0.5));
        assert_eq!(read("fast", &[&json!(1)]), json!("fast"));
    }
}
