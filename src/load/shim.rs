//! Stand-ins for what `defs::partition` decides.

use crate::defs::partition::TimeWindowDef;
use crate::defs::{MappingDef, PartitionsDef};

pub(super) fn validate_window(def: &TimeWindowDef) -> Result<(), String> {
    def.validate().map_err(|error| error.to_string())
}

pub(super) fn parse_mapping(text: &str) -> Result<MappingDef, String> {
    use crate::defs::partition::{WindowOffset, WindowUnit};
    let offset = |text: &str| -> Option<WindowOffset> {
        let count = text.trim().trim_end_matches('d').parse().ok()?;
        Some(WindowOffset { count, unit: WindowUnit::Days })
    };
    let window = || {
        let (from, to) = text.strip_prefix("window(")?.strip_suffix(')')?.split_once(',')?;
        Some(MappingDef::Window { from: offset(from)?, to: offset(to)? })
    };
    match text {
        "all" => Ok(MappingDef::All),
        "identity" => Ok(MappingDef::Identity),
        _ => window().ok_or_else(|| format!("`{text}` is no mapping")),
    }
}

pub(super) fn validate_mapping(
    _mapping: &MappingDef,
    _upstream: &PartitionsDef,
    _downstream: &PartitionsDef,
) -> Result<(), String> {
    Ok(())
}
