//! What every kind of executor must do: one suite, applied to each kind.

use std::sync::Arc;
use std::time::Duration;

use super::testing::{StepBuilder, csv, only};
use super::{
    CommandExecutor, Control, Executor, Failure, Lifeline, NoFunctions, Produced, Retrying,
    SqlExecutor, Worker,
};
use crate::defs::{Backoff, Retries};

/// Steps of one kind that behave in the way their names say.
trait Kind {
    fn executor() -> Box<dyn Executor + Send>;
    fn success() -> StepBuilder;
    fn failure() -> StepBuilder;
    /// Never ends by itself.
    fn endless() -> StepBuilder;
    /// Makes much more than anybody wants to read; it may succeed.
    fn flood() -> StepBuilder;
    fn without_result() -> StepBuilder;
}

struct Shell;

impl Kind for Shell {
    fn executor() -> Box<dyn Executor + Send> {
        Box::new(CommandExecutor::new(Lifeline::new()))
    }

    fn success() -> StepBuilder {
        StepBuilder::shell("cat \"$t\" > \"$output\"")
    }

    fn failure() -> StepBuilder {
        StepBuilder::shell("echo oops; exit 3")
    }

    fn endless() -> StepBuilder {
        StepBuilder::shell("while :; do sleep 1; done")
    }

    fn flood() -> StepBuilder {
        StepBuilder::shell("yes | head -c 20000000; echo > \"$output\"")
    }

    fn without_result() -> StepBuilder {
        StepBuilder::shell("true")
    }
}

struct Sql;

impl Kind for Sql {
    fn executor() -> Box<dyn Executor + Send> {
        Box::new(SqlExecutor::new())
    }

    fn success() -> StepBuilder {
        StepBuilder::sql("SELECT n FROM t")
    }

    fn failure() -> StepBuilder {
        StepBuilder::sql("SELECT abs(-9223372036854775808) FROM t")
    }

    fn endless() -> StepBuilder {
        StepBuilder::sql(
            "WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n FROM i) SELECT max(n) FROM i",
        )
    }

    fn flood() -> StepBuilder {
        StepBuilder::sql("SELECT hex(zeroblob(5000000)) AS x")
    }

    fn without_result() -> StepBuilder {
        StepBuilder::sql("CREATE TABLE x (n)")
    }
}

/// The worker passes a step on as it is; asked with commands.
struct AnyKind;

impl Kind for AnyKind {
    fn executor() -> Box<dyn Executor + Send> {
        Box::new(Retrying::new(Worker::new(Lifeline::new(), Arc::new(NoFunctions))))
    }

    fn success() -> StepBuilder {
        Shell::success()
    }

    fn failure() -> StepBuilder {
        Sql::failure()
    }

    fn endless() -> StepBuilder {
        Sql::endless()
    }

    fn flood() -> StepBuilder {
        Shell::flood()
    }

    fn without_result() -> StepBuilder {
        Shell::without_result()
    }
}

fn with_input(builder: StepBuilder) -> StepBuilder {
    builder.input("t", vec![csv("", "n\n1\n")])
}

macro_rules! conformance {
    ($suite:ident, $kind:ty) => {
        mod $suite {
            use super::*;

            fn run(builder: StepBuilder) -> Result<Produced, Failure> {
                let log = format!("{}.log", stringify!($suite));
                let step = with_input(builder).edit(|step| step.paths.log.set_file_name(log));
                <$kind>::executor().run(&step.build(), &Control::new()).result.map(only)
            }

            #[test]
            fn success_gives_the_result() {
                let bytes = match run(<$kind>::success()).unwrap() {
                    Produced::Table { encoded, .. } => encoded.bytes,
                    Produced::Bytes { bytes, .. } => bytes,
                    Produced::File(path) => std::fs::read(path).unwrap(),
                    Produced::Directory(path) => panic!("{path:?}"),
                };
                assert_eq!(bytes, b"n\n1\n");
            }

            #[test]
            fn failure_says_why_and_the_next_step_runs() {
                let mut executor = <$kind>::executor();
                let failed = with_input(<$kind>::failure()).build();
                let failed = executor.run(&failed, &Control::new()).result.unwrap_err();
                assert!(!failed.is_transient() && !failed.to_string().is_empty());
                let next = with_input(<$kind>::success()).build();
                assert!(executor.run(&next, &Control::new()).result.is_ok());
            }

            #[test]
            fn what_takes_too_long_is_ended() {
                let failure = run(<$kind>::endless().timeout(Duration::from_millis(100)));
                assert!(matches!(failure, Err(Failure::TimedOut { .. })), "{failure:?}");
            }

            #[test]
            fn what_is_cancelled_is_ended() {
                let control = Control::new();
                let step = with_input(<$kind>::endless()).build();
                let result = std::thread::scope(|scope| {
                    let running = scope.spawn(|| <$kind>::executor().run(&step, &control).result);
                    control.wait(Duration::from_millis(50));
                    control.cancel();
                    running.join().unwrap()
                });
                assert_eq!(result, Err(Failure::Cancelled));
            }

            #[test]
            fn what_is_cancelled_before_never_starts() {
                let control = Control::new();
                control.cancel();
                let step = with_input(<$kind>::success()).build();
                let result = <$kind>::executor().run(&step, &control).result;
                assert_eq!(result, Err(Failure::Cancelled));
            }

            #[test]
            fn a_flood_does_no_harm() {
                let retries = Retries { backoff: Backoff::Linear, ..Retries::times(1) };
                assert!(run(<$kind>::flood().retries(retries).log_max(10_000)).is_ok());
            }

            #[test]
            fn no_result_is_a_failure() {
                assert!(run(<$kind>::without_result()).is_err());
            }
        }
    };
}

conformance!(command, Shell);
conformance!(sql, Sql);
conformance!(worker, AnyKind);
