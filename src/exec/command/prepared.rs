//! Commands that are kept after they have run, to be started again with the variables of another step.
//!
//! To put an environment of fifty variables together from nothing takes longer than anything else that is done
//! here for a small command. A step differs from the one before it in a few of them.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::exec::Step;

/// So many command lines are kept: a run takes turns with those of a few assets.
const KEPT_MAX: usize = 8;

/// The commands of one worker.
#[derive(Default)]
pub(super) struct Prepared(Vec<Kept>);

struct Kept {
    command: Command,
    /// From which its variables come, beside those of the step.
    env: Arc<Vec<(OsString, OsString)>>,
    /// The names of the last step's own variables, in order.
    ours: Vec<String>,
}

impl Prepared {
    /// The process for a program and its arguments, with all the variables that the step inherits, and `ours`,
    /// in the order of their names.
    pub(super) fn command<'a>(
        &mut self,
        program: PathBuf,
        arguments: &[OsString],
        step: &Step,
        ours: impl Iterator<Item = (&'a String, &'a OsString)>,
    ) -> &mut Command {
        let known = self.0.iter().position(|kept| kept.is_of(&program, arguments, step));
        let place = known.unwrap_or_else(|| {
            if self.0.len() == KEPT_MAX {
                self.0.remove(0);
            }
            self.0.push(Kept::new(program, arguments, step));
            self.0.len() - 1
        });
        let kept = &mut self.0[place];
        kept.set(ours);
        &mut kept.command
    }
}

impl Kept {
    fn new(program: PathBuf, arguments: &[OsString], step: &Step) -> Kept {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&step.paths.root).env_clear();
        let inherited = step.env.iter().filter(|(name, _)| !is_ours(name));
        command.envs(inherited.map(|(name, value)| (name, value)));
        command.process_group(0);
        let nothing = File::open("/dev/null").map_or_else(|_| Stdio::null(), Stdio::from);
        command.stdin(nothing).stdout(Stdio::null()).stderr(Stdio::null());
        Kept { command, env: step.env.clone(), ours: Vec::new() }
    }

    fn is_of(&self, program: &Path, arguments: &[OsString], step: &Step) -> bool {
        let Kept { command, env, .. } = self;
        command.get_program() == program.as_os_str()
            && command.get_args().eq(arguments.iter().map(OsString::as_os_str))
            && command.get_current_dir() == Some(&step.paths.root)
            && Arc::ptr_eq(env, &step.env)
    }

    /// Puts the variables of a step in the place of those of the step before; in the order of their names.
    fn set<'a>(&mut self, ours: impl Iterator<Item = (&'a String, &'a OsString)>) {
        let before = std::mem::take(&mut self.ours);
        for (name, value) in ours {
            self.command.env(name, value);
            self.ours.push(name.clone());
        }
        for name in before {
            if self.ours.binary_search(&name).is_ok() {
                continue;
            }
            let inherited = |(known, _): &&(OsString, OsString)| known.as_os_str() == name.as_str();
            match self.env.iter().rfind(inherited).filter(|(known, _)| !is_ours(known)) {
                Some((_, value)) => self.command.env(&name, value),
                None => self.command.env_remove(&name),
            };
        }
    }
}

/// Variables of an outer run are not this step's.
fn is_ours(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"GIORNATA_")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::exec::testing::StepBuilder;

    /// The variables of a command, as `name=value`.
    fn variables(command: &Command) -> String {
        let shown = |(name, value): (&OsStr, Option<&OsStr>)| {
            format!("{}={}", name.display(), value.expect("none is taken away").display())
        };
        command.get_envs().map(shown).collect::<Vec<_>>().join(" ")
    }

    fn ours(pairs: &[(&str, &str)]) -> BTreeMap<String, OsString> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.into())).collect()
    }

    #[test]
    fn a_command_has_nothing_of_the_step_before() {
        let step = StepBuilder::shell("true").env("raw", "inherited").env("GIORNATA_OUTER", "x");
        let step = step.build();
        let mut prepared = Prepared::default();
        let mut check = |pairs: &[(&str, &str)], expected: &str| {
            let ours = ours(pairs);
            let command = prepared.command("/bin/true".into(), &[], &step, ours.iter());
            assert_eq!(variables(command).replace("/usr/local/bin:/usr/bin:/bin", "P"), expected);
        };
        check(&[("output", "1")], "PATH=P output=1 raw=inherited");
        check(&[("output", "2"), ("raw", "2")], "PATH=P output=2 raw=2");
        check(&[("GIORNATA_OUTER", "3"), ("raw", "3")], "GIORNATA_OUTER=3 PATH=P raw=3");
        check(&[], "PATH=P raw=inherited");
    }

    #[test]
    fn what_is_another_command_is_not_mixed_up() {
        let step = StepBuilder::shell("true").build();
        let other = StepBuilder::shell("true").env("a", "b").build();
        let mut prepared = Prepared::default();
        let mut kept = |program: &str, argument: &str, step: &Step| {
            let (ours, arguments) = (BTreeMap::new(), [argument.into()]);
            prepared.command(program.into(), &arguments, step, ours.iter());
            prepared.0.len()
        };
        assert_eq!(kept("/bin/sh", "a", &step), 1);
        assert_eq!(kept("/bin/sh", "a", &step), 1, "it is the same");
        assert_eq!(kept("/bin/sh", "b", &step), 2);
        assert_eq!(kept("/bin/bash", "b", &step), 3);
        assert_eq!(kept("/bin/sh", "a", &other), 4, "another environment");
        for number in 0..20 {
            assert!(kept("/bin/sh", &number.to_string(), &step) <= KEPT_MAX);
        }
    }
}
