//! Jobs of selections: launched with a configuration that is checked before anything starts.

use super::bench::Bench;

const TRAIN: &str = r#"
assets:
  features: {run: 'echo 1 > "$output"'}
  model:
    deps: [features]
    config: {lr: 0.01, kind: fast, opt: {depth: 3}}
    run: 'echo "$GIORNATA_CONFIG" > "$output"'
jobs:
  retrain:
    select: "+model"
    description: Train anew
    config:
      lr: {type: float, min: 0}
      kind: {enum: [fast, full], default: fast}
      opt: {depth: {type: int, default: 3}}
    presets:
      slow: {lr: 0.001, kind: full}
    tags: {team: ml}
"#;

#[test]
fn a_job_brings_what_it_selects_up_to_date_with_its_configuration() {
    let bench = Bench::new(TRAIN);
    bench
        .run(&["run", "retrain", "--set", "lr=0.5", "--dry-run"])
        .ends(0)
        .says("1 step to run, up to 1 more");
    bench.run(&["run", "retrain", "--set", "lr=0.5"]).ends(0).says("ran 2 ");
    let model = bench.run(&["cat", "model"]).out;
    assert!(model.contains(r#""lr":0.5"#) && model.contains(r#""kind":"fast""#), "{model}");
    bench.run(&["run", "retrain", "--set", "lr=0.5"]).ends(0).says("everything up to date");
    bench.run(&["run", "retrain", "--preset", "slow"]).ends(0).says("ran 1 ");
    assert!(bench.run(&["cat", "model"]).out.contains(r#""kind":"full""#));
    // What was made with those values before comes back.
    bench.run(&["run", "retrain", "--set", "lr=0.5"]).ends(0).says("1 restored");
}

#[test]
fn everything_that_is_wrong_is_told_before_anything_starts() {
    let bench = Bench::new(TRAIN);
    bench.write("values.yaml", "kind: ful\nopt: {deep: 1}\n");
    let said = bench.run(&["run", "retrain", "--config", "values.yaml", "--set", "lr=-1"]).ends(2);
    said.says("`lr` must be a number of at least 0, not `-1.0` (`--set lr`)")
        .says("did you mean `full`? (`values.yaml`)")
        .says("`opt.deep` is not defined; known is `depth`");
    bench.run(&["run", "retrain"]).ends(2).says("`lr` is missing");
    bench.run(&["run", "retrai"]).ends(2).says("did you mean `retrain`?");
    bench.run(&["run"]).ends(2).says("there are `retrain`");
    bench.run(&["run", "retrain", "--preset", "x"]).ends(2).says("there are `slow`");
    bench.run(&["status"]).ends(0).says("model").says_not("running");
}

#[test]
fn the_three_buttons_of_the_launchpad() {
    let bench = Bench::new(TRAIN);
    bench.write("values.yaml", "kind: full\nold: 1\n");
    let scaffold = bench.run(&["config", "scaffold", "retrain"]).ends(0);
    assert_eq!((scaffold.out.as_str(), scaffold.err.as_str()), ("lr: 0.0\n", "added `lr`\n"));
    let prune = bench.run(&["config", "prune", "retrain", "--config", "values.yaml"]).ends(0);
    assert_eq!((prune.out.as_str(), prune.err.as_str()), ("kind: \"full\"\n", "removed `old`\n"));
    bench.run(&["config", "check", "retrain", "--config", "values.yaml"]).ends(2).says("`old`");
    bench.write("scaffold.yaml", &scaffold.out);
    let check = bench.run(&["config", "check", "retrain", "--config", "scaffold.yaml"]).ends(0);
    assert_eq!(check.out, "lr: 0.0\nkind: \"fast\"\nopt:\n  depth: 3\n");
}

#[test]
fn a_secret_reaches_no_value_that_is_recorded() {
    let bench = Bench::new(TRAIN);
    bench.edit("lr: {type: float, min: 0}", "lr: {type: string, secret: true}");
    bench.edit("slow: {lr: 0.001, kind", "slow: {kind");
    bench.write(".env", "TOKEN=hunter2\n");
    let said = bench.run(&["run", "retrain", "--set", "lr.env=TOKEN"]).ends(2);
    said.says("`lr` is secret").says("under `env`").says_not("hunter2");
    let check = bench.run(&["config", "check", "retrain", "--set", "lr.env=TOKEN"]).ends(0);
    check.says("env: \"TOKEN\"").says_not("hunter2");
}

#[test]
fn a_job_that_makes_no_sense_is_refused() {
    let refused = |from: &str, to: &str, message: &str| {
        let bench = Bench::new(TRAIN);
        bench.edit(from, to);
        bench.run(&["check"]).ends(2).says(message);
    };
    refused("select: \"+model\"", "select: \"+modle\"", "did you mean `model`?");
    refused("select: \"+model\"", "select: \"status:stale\"", "asks for states");
    refused("type: float", "type: flaot", "there is no type `flaot`");
    refused("slow: {lr: 0.001", "slow: {lr: -1", "the preset `slow` of job `retrain`");
    refused("    tags:", "    tag:", "did you mean `tags`?");
    let bench = Bench::new(TRAIN);
    bench.edit("      lr: {type", "      rate: int?\n      lr: {type");
    bench.run(&["check"]).ends(0).says("configures `rate`, which no asset has");
}
