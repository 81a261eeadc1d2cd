//! Runs the programs of `examples/`: they must work, and what they print is what they promise.

#[path = "../../examples/lecture_01_op.rs"]
#[expect(dead_code, reason = "its `main` is for `cargo run --example`")]
mod lecture_01_op;
#[path = "../../examples/lecture_02_type.rs"]
#[expect(dead_code, reason = "its `main` is for `cargo run --example`")]
mod lecture_02_type;
#[path = "../../examples/lecture_03_outputs.rs"]
#[expect(dead_code, reason = "its `main` is for `cargo run --example`")]
mod lecture_03_outputs;
#[path = "../../examples/lecture_04_config.rs"]
#[expect(dead_code, reason = "its `main` is for `cargo run --example`")]
mod lecture_04_config;
#[path = "../../examples/lecture_05_graph.rs"]
#[expect(dead_code, reason = "its `main` is for `cargo run --example`")]
mod lecture_05_graph;
#[path = "../../examples/lecture_06_branching.rs"]
#[expect(dead_code, reason = "its `main` is for `cargo run --example`")]
mod lecture_06_branching;
#[path = "../../examples/lecture_07_dynamic_graph.rs"]
#[expect(dead_code, reason = "its `main` is for `cargo run --example`")]
mod lecture_07_dynamic_graph;
#[path = "../../examples/lecture_08_job.rs"]
#[expect(dead_code, reason = "its `main` is for `cargo run --example`")]
mod lecture_08_job;
#[path = "../../examples/lecture_09_repository.rs"]
#[expect(dead_code, reason = "its `main` is for `cargo run --example`")]
mod lecture_09_repository;
#[path = "../../examples/lecture_10_partitioned_job.rs"]
#[expect(dead_code, reason = "its `main` is for `cargo run --example`")]
mod lecture_10_partitioned_job;
#[path = "../../examples/lecture_11_io_manager.rs"]
#[expect(dead_code, reason = "its `main` is for `cargo run --example`")]
mod lecture_11_io_manager;
#[path = "../../examples/lecture_12_resource.rs"]
#[expect(dead_code, reason = "its `main` is for `cargo run --example`")]
mod lecture_12_resource;
#[path = "../../examples/weather.rs"]
#[expect(dead_code, reason = "its `main` is for `cargo run --example weather`")]
mod weather;

#[test]
fn the_weather_example_prints_real_figures_and_runs_nothing_twice() {
    let mut out = Vec::new();
    weather::run(&mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    expect_test::expect![[r#"
        July 2014: 31 days, 20.7 °C, 19.6 mm of rain
        warmest on 2014-07-01 with 34.4 °C
        the week to 7 July: 20.83 °C
        asked again: 0 steps
        after a correction: daily_weather@2014-07-04
        after a correction: monthly_climate@2014-07
        rain on 4 July: 9.9 mm
        undone: 0 steps, 2 restored
        Seattle in 2014
        2014-01   6.8 °C   94.0 mm
        2014-02   5.4 °C  155.2 mm
        2014-03   9.2 °C  240.0 mm
        2014-04  11.1 °C  106.1 mm
        2014-05  15.0 °C   80.0 mm
        2014-06  16.7 °C   18.8 mm
        2014-07  20.7 °C   19.6 mm
        2014-08  20.6 °C   46.0 mm
        2014-09  18.2 °C   56.7 mm
        2014-10  14.4 °C  171.5 mm
        2014-11   7.8 °C  123.1 mm
        2014-12   7.4 °C  121.8 mm
    "#]]
    .assert_eq(&out);
}

#[track_caller]
fn check(
    example: impl FnOnce(&mut dyn std::io::Write) -> Result<(), giornata::api::BoxError>,
    expect: expect_test::Expect,
) {
    let mut out = Vec::new();
    example(&mut out).unwrap();
    expect.assert_eq(&String::from_utf8(out).unwrap());
}

#[test]
fn lecture_01_op_does_what_it_shows() {
    check(
        lecture_01_op::run,
        expect_test::expect![[r#"
        return_annotation_op: 5
    "#]],
    );
}

#[test]
fn lecture_02_type_does_what_it_shows() {
    check(
        lecture_02_type::run,
        expect_test::expect![[r#"
        4 is a MyType
        input `abc` of `my_typed_input_op`: expected MyType, got 3
    "#]],
    );
}

#[test]
fn lecture_03_outputs_does_what_it_shows() {
    check(
        lecture_03_outputs::run,
        expect_test::expect![[r#"
        emitted: int_output, str_output
        repeat: foofoofoofoofoo
    "#]],
    );
}

#[test]
fn lecture_04_config_does_what_it_shows() {
    check(
        lecture_04_config::run,
        expect_test::expect![[r#"
        context_op: My name is Ada
        configure the job `context`:
        `context_op.name` must be `string`, not `3`; write it in quotes
    "#]],
    );
}

#[test]
fn lecture_05_graph_does_what_it_shows() {
    check(
        lecture_05_graph::run,
        expect_test::expect![[r#"
        ran: inputs_and_outputs.return_one, inputs_and_outputs.add_one, inputs_and_outputs.add_one_2, inputs_and_outputs.adder
        adder: 4
    "#]],
    );
}

#[test]
fn lecture_06_branching_does_what_it_shows() {
    check(
        lecture_06_branching::run,
        expect_test::expect![[r#"
        0: branching_op success
        0: branch_1_op success
        0: branch_2_op skipped
        1: branching_op success
        1: branch_1_op skipped
        1: branch_2_op success
    "#]],
    );
}

#[test]
fn lecture_07_dynamic_graph_does_what_it_shows() {
    check(
        lecture_07_dynamic_graph::run,
        expect_test::expect![[r#"
        ran: load_pieces, compute_piece[0], compute_piece[1], compute_piece[2], merge_and_analyze
        merge_and_analyze: 55
    "#]],
    );
}

#[test]
fn lecture_08_job_does_what_it_shows() {
    check(
        lecture_08_job::run,
        expect_test::expect![[r#"
        config_param: stuff
        config_param: other
    "#]],
    );
}

#[test]
fn lecture_09_repository_does_what_it_shows() {
    check(
        lecture_09_repository::run,
        expect_test::expect![[r#"
        my_repository: assets asset1, asset2, asset3; jobs job3
    "#]],
    );
}

#[test]
fn lecture_10_partitioned_job_does_what_it_shows() {
    check(
        lecture_10_partitioned_job::run,
        expect_test::expect![[r#"
        process_data_for_date: processing data for 2020-01-05
        process_data_for_date: processing data for 2020-01-06
        process_data_for_date: processing data for 2020-01-07
    "#]],
    );
}

#[test]
fn lecture_11_io_manager_does_what_it_shows() {
    check(
        lecture_11_io_manager::run,
        expect_test::expect![[r#"
        op_1+result.json: 1
        op_2+result.json: 2
        op_2: 2
    "#]],
    );
}

#[test]
fn lecture_12_resource_does_what_it_shows() {
    check(
        lecture_12_resource::run,
        expect_test::expect![[r#"
        rows of table_1: 2
        not in the other database: table_0
    "#]],
    );
}
