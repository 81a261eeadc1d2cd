//! `giornata completions`: the script that makes a shell complete this program's command line.
//!
//! The scripts for bash, zsh and fish ask the program itself (`__complete`), which knows the names of
//! assets and partitions; those for the other shells know verbs and options.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Done;
use super::args::Cli;
use super::error::CliError;
use super::session::Session;

/// Print a script that completes names of verbs, assets and partitions
///
/// For bash: `source <(giornata completions bash)` in `~/.bashrc`; for zsh the same in `~/.zshrc`
/// after `compinit`; for fish: `giornata completions fish | source`.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    #[arg(value_enum)]
    shell: Shell,
}

const BASH: &str = r#"_giornata() {
    COMPREPLY=()
    local name
    while IFS= read -r name; do
        COMPREPLY+=("$name")
    done < <("${COMP_WORDS[0]}" __complete --shell bash --breaks "$COMP_WORDBREAKS" --line "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
}
complete -o default -F _giornata giornata
"#;

const ZSH: &str = r#"#compdef giornata
_giornata() {
    local -a names
    names=("${(@f)$("${words[1]}" __complete --shell zsh -- "${(@Q)words[1,CURRENT]}" 2>/dev/null)}")
    if [[ -n "${names[1]}" ]]; then
        _describe giornata names
    else
        _files
    fi
}
if [[ "${funcstack[1]}" == "_giornata" ]]; then
    _giornata "$@"
else
    compdef _giornata giornata
fi
"#;

const FISH: &str = "complete -c giornata -a '(giornata __complete --shell fish -- \
                    (commandline -opc) (commandline -ct))'\n";

pub(super) fn run(args: &CompletionsArgs, session: Session<'_>) -> Result<Done, CliError> {
    match args.shell {
        Shell::Bash => session.term.print(BASH),
        Shell::Zsh => session.term.print(ZSH),
        Shell::Fish => session.term.print(FISH),
        shell => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "giornata", &mut script);
            session.term.print_bytes(&script);
        }
    }
    Ok(Done::Fine)
}
