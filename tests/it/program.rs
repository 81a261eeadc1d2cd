//! A Rust program that declares assets has every command of the command line, beside the assets of files.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use giornata::api::{Cell, Io, Launch, Mapping, Parts, Project, Table, job, op, resource};
use giornata::base::FixedClock;
use giornata::cli::{self, Source};
use serde_json::json;

const ARGUMENTS: &str = "GIORNATA_TEST_PROGRAM";
/// Says that the program declares less, and what is around it.
const SURROUNDED: &str = "GIORNATA_TEST_SURROUNDED";
const MARK: &str = "--- the program\n";

/// Not a test of its own: the program that the tests below start, with its arguments in a variable.
#[test]
#[expect(clippy::disallowed_methods, reason = "it is started as a program")]
fn is_a_program() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    print!("\n{MARK}");
    let mut project = Project::with_files(".");
    match std::env::var(SURROUNDED) {
        Ok(_) => declare_surroundings(&mut project),
        Err(_) => declare(&mut project),
    }
    let words = std::iter::once("program").chain(arguments.split_whitespace());
    let code = cli::run(words.map(Into::into), Source::Program(Box::new(project)));
    // `ExitCode` cannot be asked; success is told apart here and the rest by what is printed.
    std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
}

fn declare(project: &mut Project) {
    let rain = project.existing::<Table>("rain");
    let daily =
        project.asset("daily").version("1").each(&rain).input(&rain).compute(|ctx, rain: Table| {
            let mm: f64 =
                (0..rain.rows.len()).filter_map(|at| rain.cell(at, "mm")?.as_real()).sum();
            let mut day = Table::with_columns(["day", "mm"]);
            day.rows.push(vec![ctx.partition().as_str().into(), mm.into()]);
            Ok(day)
        });
    let _ = daily;
    let heavy = project.existing::<Table>("heavy");
    project.asset("report").version("1").input_with(&heavy, Mapping::All).compute(
        |_, days: Parts<Table>| {
            let wet =
                days.values().filter(|day| day.cell(0, "mm").and_then(Cell::as_real).is_some());
            Ok(format!("{} heavy days", wet.count()))
        },
    );
}

/// What there is around the program: variables and the time.
fn declare_surroundings(project: &mut Project) {
    project.env("GREETING", "program");
    project.clock(Arc::new(FixedClock("2014-07-03T12:00:00Z".parse().unwrap())));
    project.asset("day").version("1").daily("2014-07-01").compute(|_| Ok(String::new()));
    let tell = op("tell").config(json!({"word": "string"})).run(|ctx| {
        std::fs::write("told.txt", ctx.setting::<String>("word")?)?;
        Ok("done".to_owned())
    });
    project.job(job("tells").io(&Io::files("out")).define(|g| {
        tell.call(g);
    }));
}

const SURROUNDED_FILES: &[(&str, &str)] = &[
    ("giornata.toml", "name = \"greetings\"\n"),
    (".env", "GREETING=file\nNAME=file\n"),
    ("assets/all.yaml", "assets: {greeting: {run: 'echo \"$GREETING $NAME\" > \"$output\"'}}\n"),
];

const FILES: &[(&str, &str)] = &[
    ("giornata.toml", "name = \"weather\"\n"),
    ("rain.csv", "day,mm\nmon,1\nmon,7\ntue,2\n"),
    ("assets/sources.yaml", "sources:\n  rain: {files: rain.csv, split_by: day}\n"),
    (
        "assets/heavy.sql",
        "-- /// asset\n-- partitions = \"each(rain)\"\n-- ///\nSELECT day, mm FROM daily WHERE mm > 5\n",
    ),
];

fn project() -> tempfile::TempDir {
    with(FILES)
}

fn with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

/// Starts the program; its whole output.
fn start(root: &Path, arguments: &str) -> (bool, String, String) {
    run(program(root, arguments))
}

fn program(root: &Path, arguments: &str) -> Command {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", "program::is_a_program", "--nocapture"]);
    program.env(ARGUMENTS, arguments).current_dir(root);
    program
}

fn run(mut program: Command) -> (bool, String, String) {
    let Output { status, stdout, stderr } = program.output().unwrap();
    let stdout = String::from_utf8(stdout).unwrap();
    let (_, told) = stdout.split_once(MARK).unwrap();
    (status.success(), told.to_owned(), String::from_utf8(stderr).unwrap())
}

#[test]
fn files_and_functions_read_each_other() {
    let dir = project();
    let (success, told, _) = start(dir.path(), "m --all");
    assert!(success && told.contains("ran 5"), "{told}");
    assert_eq!(start(dir.path(), "cat report").1, "1 heavy days");
    assert_eq!(start(dir.path(), "cat heavy@mon").1, "day,mm\nmon,8.0\n");

    let (_, told, _) = start(dir.path(), "m --all");
    assert!(told.contains("up to date"), "{told}");
    // Monday's rows alone: its day and what is made of it, on both sides.
    std::fs::write(dir.path().join("rain.csv"), "day,mm\nmon,1\nmon,2\ntue,2\n").unwrap();
    let (_, plan, _) = start(dir.path(), "plan --all --json");
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    assert_eq!(plan["certain"], 1, "{plan}");
    let (success, told, _) = start(dir.path(), "m --all");
    assert!(success && told.contains("ran 3"), "{told}");
    assert_eq!(start(dir.path(), "cat report").1, "0 heavy days");
}

#[test]
fn what_a_program_says_of_its_surroundings_holds_for_the_commands() {
    let dir = with(SURROUNDED_FILES);
    let start = |arguments: &str| {
        let mut program = program(dir.path(), arguments);
        program.env(SURROUNDED, "").env_remove("GREETING").env_remove("NAME");
        let (success, told, talk) = run(program);
        assert!(success, "{arguments}: {told}\n{talk}");
        told
    };
    // Its variables go before those of `.env`.
    start("m greeting");
    assert_eq!(start("cat greeting"), "program file\n");
    for (variable, told) in [("GREETING", "program"), ("NAME", "file")] {
        start(&format!("run tells --set tell.word.env={variable}"));
        assert_eq!(std::fs::read_to_string(dir.path().join("told.txt")).unwrap(), told);
    }
    // Where its jobs put values holds there, too.
    let put = dir.path().join("out/tells/tell+result.txt");
    assert_eq!(std::fs::read_to_string(put).unwrap(), "done");
    // Two days are over by its clock, and `--now` wins over that.
    let days = |arguments: &str| start(arguments).matches("  missing\n").count();
    assert_eq!(days("partitions day"), 2);
    assert_eq!(days("partitions day --now 2014-07-05"), 4);
}

#[test]
fn a_program_alone_has_the_same_surroundings() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(".env"), "WORD_OF_THE_DAY=file\nOTHER_WORD=file\nno line\n")
        .unwrap();
    let word = |variable: &'static str| resource(variable, move |setup| setup.env(variable));
    let (one, other) = (word("WORD_OF_THE_DAY"), word("OTHER_WORD"));
    let mut project = Project::new("greetings", dir.path());
    project.env("WORD_OF_THE_DAY", "program");
    let both = project.asset("both").uses(&one).uses(&other);
    let both =
        both.compute(move |ctx| Ok(format!("{} {}", ctx.resource(&one)?, ctx.resource(&other)?)));
    assert_eq!(project.get(&both, ()).unwrap(), "program file");
    assert_eq!(project.warnings(), ["`.env:3` is left out: it is not `NAME=value`"]);

    // A job on the store is configured with the same, and by its launch before that.
    let told = Arc::new(Mutex::new(String::new()));
    let tells = told.clone();
    let tell = op("tell").config(json!({"word": "string"})).run(move |ctx| {
        *tells.lock().unwrap() = ctx.setting("word")?;
        Ok(())
    });
    project.job(job("tells").define(|g| {
        tell.call(g);
    }));
    let launch = |variable: &str| Launch::new().set(&format!("tell.word.env={variable}"));
    let mut tell = |launch: &Launch| {
        assert!(project.run("tells", launch).unwrap().is_success());
        std::mem::take(&mut *told.lock().unwrap())
    };
    assert_eq!(tell(&launch("OTHER_WORD")), "file");
    assert_eq!(tell(&launch("WORD_OF_THE_DAY")), "program");
    assert_eq!(tell(&launch("WORD_OF_THE_DAY").env("WORD_OF_THE_DAY", "launch")), "launch");
    let error = project.run("tells", &launch("OTHER_WORD").root(dir.path())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a launch of the job `tells` on the store has the root of the project; leave `root` out"
    );
}

#[test]
fn the_commands_know_both_sides() {
    let dir = project();
    let (_, list, _) = start(dir.path(), "list");
    for name in ["rain", "daily", "heavy", "report"] {
        assert!(list.contains(name), "{list}");
    }
    let (success, graph, _) = start(dir.path(), "graph --format dot");
    assert!(success && graph.contains("\"daily\" -> \"heavy\""), "{graph}");
    let (_, why, _) = start(dir.path(), "why heavy@mon");
    assert!(why.contains("daily"), "{why}");
    let (success, _, _) = start(dir.path(), "check");
    assert!(success);
}

#[test]
fn a_broken_file_stops_what_needs_it_and_nothing_else() {
    let dir = project();
    std::fs::write(
        dir.path().join("assets/heavy.sql"),
        "-- /// asset\n-- partitions = 3\n-- ///\nSELECT 1\n",
    )
    .unwrap();
    let (success, told, _) = start(dir.path(), "m daily");
    assert!(success && told.contains("ran 2"), "{told}");
    let (success, _, told) = start(dir.path(), "m report");
    assert!(!success && told.contains("assets/heavy.sql"), "{told}");
    let mut project = Project::with_files(dir.path());
    let heavy = project.existing::<Table>("heavy");
    let error = project.get(&heavy, "mon").unwrap_err().to_string();
    assert!(error.starts_with("`heavy` cannot be used: assets/heavy.sql:2: "), "{error}");
}

#[test]
fn what_does_not_fit_is_said_of_the_line_that_declares_it() {
    let dir = project();
    let check = |declare: fn(&mut Project), expect: &str| {
        let mut project = Project::with_files(dir.path());
        declare(&mut project);
        let error = match project.resolve(Path::new("")) {
            Err(error) => error.to_string(),
            Ok(program) => {
                let files = program.files.unwrap();
                files
                    .diagnostics
                    .iter()
                    .map(|it| format!("{} {}", it.position().0, it.message))
                    .collect()
            }
        };
        assert!(error.contains(expect), "{error}");
    };
    check(
        |project| _ = project.existing::<Table>("rian"),
        "`rian`: no file declares it; did you mean `rain`?",
    );
    check(
        |project| {
            let rain = project.existing::<Table>("rain");
            project.asset("all").input(&rain).compute(|_, rain| Ok(rain));
        },
        "a partition reads several of `rain`",
    );
    check(
        |project| _ = project.asset("heavy").compute(|_| Ok(String::new())),
        "`heavy` is declared twice",
    );
    check(
        |project| _ = project.timezone("Europe/Berlin"),
        "the time zone of a project of files is `timezone` in its `giornata.toml`",
    );
    let dir = tempfile::tempdir().unwrap();
    let mut elsewhere = Project::with_files(dir.path());
    let rain = elsewhere.existing::<Table>("rain");
    let error = elsewhere.get(&rain, "mon").unwrap_err().to_string();
    assert!(error.starts_with("there is no `giornata.toml` in"), "{error}");
}

#[test]
fn names_of_files_mean_nothing_where_there_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut project = Project::new("p", dir.path());
    let rain = project.existing::<Table>("rain");
    let error = project.get(&rain, "mon").unwrap_err().to_string();
    assert!(error.ends_with("`rain`: no file declares it"), "{error}");
}
